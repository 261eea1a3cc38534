/*
 * Connections and when they must have moved on; those that are late are cut.
 *
 * libmicrohttpd's own timeout starts again with every byte, so that a client which sends one now
 * and then holds a connection for ever. Here a deadline is set when something is finished, and only
 * then.
 *
 * Threads: internally locked; deadline_set() takes no lock.
 */
#ifndef MARQUEE_HTTP_DEADLINES_H
#define MARQUEE_HTTP_DEADLINES_H

#include "common/base/status.h"

#include <stdint.h>

struct deadlines;
struct deadline;

/* Starts its thread. */
MUST_CHECK enum status deadlines_new(
	struct deadlines **ret, uint32_t timeout_ms, struct error *err);
/* All connections are removed before. NULL is fine. */
void deadlines_free(struct deadlines *deadlines);

/* Watches a connected socket, from now on; NULL without memory. */
struct deadline *deadlines_add(struct deadlines *deadlines, int descriptor);
/* Before the socket is closed. */
void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline);
/* The timeout starts again. */
void deadline_set(struct deadlines *deadlines, struct deadline *deadline);

uint32_t deadlines_count(struct deadlines *deadlines);

#endif
