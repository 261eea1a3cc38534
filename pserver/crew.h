/*
 * Threads that help with one large piece of work at a time, where cores are free.
 *
 * A server that gets one request after the other has a core to serve it and others that wait for
 * the answer. A crew takes parts of such a request. It takes no part in a second one meanwhile:
 * where several are served at once the cores have enough to do.
 *
 * A helper looks out for more work for a moment after it has helped, since what follows a push is
 * mostly a pull; then it sleeps.
 *
 * Threads: internally locked. Helpers start with the first work.
 */
#ifndef MARQUEE_PSERVER_CREW_H
#define MARQUEE_PSERVER_CREW_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define CREW_HELPERS_MAX 7u

struct crew;

/* As many helpers as this process has cores beside the caller's, CREW_HELPERS_MAX at most. */
uint32_t crew_helpers_default(void);

/* Returns an owned crew of `helpers` threads, 1..CREW_HELPERS_MAX. */
MUST_CHECK enum status crew_new(struct crew **ret, uint32_t helpers, struct error *err);
/* Takes NULL. No work may be under way. */
void crew_free(struct crew *crew);

/* Whether the crew is the caller's now, until crew_leave(). False for NULL. Does not wait. */
bool crew_take(struct crew *crew);
void crew_leave(struct crew *crew);

/*
 * Calls part(context, i) once for each i < parts, on this thread and on the helpers that come, and
 * returns when all of them have returned. Where no helper comes this thread does it all. The crew
 * is the caller's.
 */
void crew_run(
	struct crew *crew, uint32_t parts, void (*part)(void *context, uint32_t i), void *context);

#endif
