/*
 * The digest of a checkpoint's parameters, recomputed from its files: the number that training
 * prints at its end.
 *
 * Sum over every record of every table of (random_stream(table), id, row and then slots), plus
 * dense_digest() of the dense parameters. It does not depend on the number of shards.
 *
 * Threads: pure function.
 */
#ifndef MARQUEE_CHECKPOINT_CHECKPOINT_DIGEST_H
#define MARQUEE_CHECKPOINT_CHECKPOINT_DIGEST_H

#include "common/checkpoint/manifest.h"

MUST_CHECK enum status checkpoint_digest(
	const char *path, const struct manifest *manifest, struct digest *ret, struct error *err);

#endif
