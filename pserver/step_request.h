/*
 * What a Pull, Push or PushPull asks for, with its counts compared with the bytes that are there.
 * Inside this room only.
 *
 * Threads: owner-thread only; borrows the messages.
 */
#ifndef MARQUEE_PSERVER_STEP_REQUEST_H
#define MARQUEE_PSERVER_STEP_REQUEST_H

#include "common/base/bf16.h"
#include "common/rpc/frame.h"
#include "proto/parameter_server.pb-c.h"
#include "pserver/job.h"

/* push and pull come from the request; step_request_measure() finds the rest. */
struct step_request {
	const Marquee__Ps__V1__PushRequest *push; /* NULL: none */
	const unsigned char *push_ids;
	const unsigned char *push_gradients; /* of push->dtype, until they are widened */
	size_t push_floats;
	float *widened;				  /* owned; NULL: none */
	const Marquee__Ps__V1__PullRequest *pull; /* NULL: none */
	const unsigned char *pull_ids;
	size_t reply_bytes; /* of the pull's rows, of pull->dtype */
};

/* Bytes of a number on the wire; 0 for what is no dtype. */
static inline size_t dtype_bytes(Marquee__Ps__V1__Dtype dtype)
{
	return dtype == MARQUEE__PS__V1__DTYPE__F32    ? sizeof(float)
	       : dtype == MARQUEE__PS__V1__DTYPE__BF16 ? BF16_BYTES
						       : 0;
}

/*
 * INVALID_ARGUMENT when a table or a lane is not there or not the worker's, or when the counts do
 * not account for raw exactly; RESOURCE_EXHAUSTED when the reply would be too long. Ids are not
 * looked at.
 */
MUST_CHECK enum status step_request_measure(struct step_request *request, const struct job *job,
	uint32_t worker, struct rpc_bytes raw, size_t max_message_bytes, struct error *err);

#endif
