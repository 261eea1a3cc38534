/*
 * Server processes for bench_ps: started before this process has other threads, ended with it.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BENCH_PS_CHILDREN_H
#define MARQUEE_BENCH_PS_CHILDREN_H

#include "common/base/status.h"

#include <stddef.h>

#define CHILD_URL_SIZE ((size_t)256)

struct child;

/*
 * Runs argv (NULL-terminated) and waits for its line "NAME: ready URL ...", whose URL goes to
 * ret_url.
 */
MUST_CHECK enum status child_start(struct child **ret, const char *const *argv,
	char ret_url[CHILD_URL_SIZE], struct error *err);
/* Kills. Takes NULL. */
void child_end(struct child *child);

#endif
