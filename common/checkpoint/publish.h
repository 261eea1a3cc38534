/*
 * Putting a complete directory in its place, all at once.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_CHECKPOINT_PUBLISH_H
#define MARQUEE_CHECKPOINT_PUBLISH_H

#include "common/base/status.h"

/*
 * Renames `complete` to `path`, its sibling. What stands at `path` changes places with it in one
 * call where the file system can (elsewhere it steps aside first), so that there is no moment
 * without either, and is then removed. Durable on success.
 */
MUST_CHECK enum status directory_publish(const char *complete, const char *path, struct error *err);

#endif
