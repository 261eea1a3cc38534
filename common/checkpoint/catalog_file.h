/*
 * The catalog in a safetensors file: ids, features, titles and vocabularies, so that neither a
 * resumed training nor inference ever rebuilds them. docs/checkpoint.md lists the tensors.
 *
 * A model directory's catalog also says which users and movies have been trained.
 *
 * Threads: externally locked.
 */
#ifndef MARQUEE_CHECKPOINT_CATALOG_FILE_H
#define MARQUEE_CHECKPOINT_CATALOG_FILE_H

#include "common/checkpoint/safetensors.h"
#include "common/data/catalog.h"

/* 1 where training created the entity's own row, 0 where it never met it. */
struct catalog_trained {
	uint8_t *users;	 /* [user_count], owned */
	uint8_t *movies; /* [movie_count], owned */
};

/* All zero marks for a catalog of these sizes. */
MUST_CHECK enum status catalog_trained_init(
	struct catalog_trained *ret, const struct catalog *catalog, struct error *err);
/* Takes a zeroed struct. */
void catalog_trained_fini(struct catalog_trained *trained);

/* `trained` may be NULL: no marks are written. */
MUST_CHECK enum status catalog_file_write(const char *path, const struct catalog *catalog,
	const struct catalog_trained *trained, struct file_stamp *ret_stamp, struct error *err);

/* Reads, checks and indexes the catalog; the marks too unless ret_trained is NULL. */
MUST_CHECK enum status catalog_file_read(struct catalog *ret, struct catalog_trained *ret_trained,
	const char *path, struct error *err);

#endif
