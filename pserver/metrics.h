/*
 * A parameter server's figures for Prometheus. docs/watching.md lists them.
 *
 * Nothing of it is secret: no token, no job's name, no ids, no values.
 *
 * Threads: from any thread.
 */
#ifndef MARQUEE_PSERVER_METRICS_H
#define MARQUEE_PSERVER_METRICS_H

#include "common/base/status.h"

#include <stddef.h>

struct ps_server;

/* Returns the text, owned, and its size. */
MUST_CHECK enum status ps_server_metrics(
	struct ps_server *server, char **ret_text, size_t *ret_size, struct error *err);

#endif
