/*
 * A team of threads that run the same function side by side, step after step.
 *
 * team_run(fn, context) calls fn(context, member, members) on every member, the caller being member
 * 0, and returns when all are done. Members wait by spinning for a short while and then by
 * sleeping, so a step costs microseconds and an idle team costs nothing. When members are more than
 * cores there is no spinning.
 *
 * Threads: one owner calls run; the functions it runs are on the members' threads, and everything
 * written before team_run is seen by them, everything they wrote is seen after it.
 */
#ifndef MARQUEE_WORKER_TEAM_H
#define MARQUEE_WORKER_TEAM_H

#include "common/base/status.h"

#include <stdint.h>

struct team;

typedef void team_function(void *context, uint32_t member, uint32_t members);

MUST_CHECK enum status team_new(struct team **ret, uint32_t members, struct error *err);
void team_free(struct team *team);
uint32_t team_members(const struct team *team);
void team_run(struct team *team, team_function *function, void *context);

/* Member m's share of n items: [*ret_begin, *ret_end). */
void team_share(
	uint64_t n, uint32_t member, uint32_t members, uint64_t *ret_begin, uint64_t *ret_end);

#endif
