/*
 * model.json: what a model directory says of itself, so that it is read without its checkpoint.
 *
 * docs/model-directory.md has the format.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_INFERENCE_EXPORT_ABOUT_H
#define MARQUEE_INFERENCE_EXPORT_ABOUT_H

#include "common/checkpoint/manifest.h"
#include "common/data/catalog.h"
#include "common/model/model.h"
#include "inference/export_tables.h"

/* All borrowed. */
struct export_about {
	const struct manifest *manifest; /* with the directory's files */
	const char *checkpoint;		 /* its path, for messages */
	const struct model *model;
	const struct catalog *catalog;
	const struct export_unknown *unknown; /* [model_table_count] */
	enum row_type rows;
};

/* Writes it, sealed. FAILED_PRECONDITION: the training diverged, and an unknown row is no number.
 */
MUST_CHECK enum status export_about_write(
	const struct export_about *about, const char *path, struct error *err);

#endif
