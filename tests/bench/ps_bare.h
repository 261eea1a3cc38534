/*
 * What nng alone moves: REQ/REP echoes of messages of given sizes, nothing read, nothing written.
 * For bench_ps.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BENCH_PS_BARE_H
#define MARQUEE_BENCH_PS_BARE_H

#include "common/base/clock.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define BARE_IN_FLIGHT_MAX 8u
/* Sizes of one message and its reply. */
struct bare_shape {
	size_t request_bytes, reply_bytes;
};

/*
 * Listens at the URL until the process ends, once in a process, and writes the bound one to ret_url
 * [size]. A request says in its first 8 bytes how long its reply shall be.
 */
MUST_CHECK enum status bare_listen(const char *url, char *ret_url, size_t size, struct error *err);

struct bare;

MUST_CHECK enum status bare_open(
	struct bare **ret, const char *url, uint32_t in_flight, struct error *err);
/* Takes NULL. */
void bare_close(struct bare *bare);

/* An exchange in a slot < in_flight; each start is followed by its finish. */
MUST_CHECK enum status bare_start(
	struct bare *bare, uint32_t slot, const struct bare_shape *shape, struct error *err);
MUST_CHECK enum status bare_finish(struct bare *bare, uint32_t slot, struct error *err);

#endif
