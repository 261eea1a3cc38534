/*
 * What a Pull, Push or PushPull asks for, with its counts compared with the bytes that are there.
 * Inside this room only.
 *
 * Threads: owner-thread only; borrows the messages.
 */
#ifndef MARQUEE_PSERVER_STEP_REQUEST_H
#define MARQUEE_PSERVER_STEP_REQUEST_H

#include "common/rpc/frame.h"
#include "proto/parameter_server.pb-c.h"
#include "pserver/job.h"

/* push and pull come from the request; step_request_measure() finds the rest. */
struct step_request {
	const Marquee__Ps__V1__PushRequest *push; /* NULL: none */
	const unsigned char *push_ids;
	const unsigned char *push_gradients;
	const Marquee__Ps__V1__PullRequest *pull; /* NULL: none */
	const unsigned char *pull_ids;
	size_t reply_bytes; /* of the pull's rows */
};

/*
 * INVALID_ARGUMENT when a table or a lane is not there or not the worker's, or when the counts do
 * not account for raw exactly; RESOURCE_EXHAUSTED when the reply would be too long. Ids are not
 * looked at.
 */
MUST_CHECK enum status step_request_measure(struct step_request *request, const struct job *job,
	uint32_t worker, struct rpc_bytes raw, size_t max_message_bytes, struct error *err);

#endif
