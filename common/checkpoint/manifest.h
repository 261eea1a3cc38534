/*
 * manifest.json: what makes a directory of files a checkpoint.
 *
 * It is written last, atomically, and lists every other file with its size and XXH3; it is sealed
 * itself (sealed_json.h).
 * docs/checkpoint.md has the format.
 *
 * Threads: externally locked.
 */
#ifndef MARQUEE_CHECKPOINT_MANIFEST_H
#define MARQUEE_CHECKPOINT_MANIFEST_H

#include "common/base/hash.h"
#include "common/checkpoint/data_source.h"
#include "common/checkpoint/safetensors.h"

#include <jansson.h>

#define MANIFEST_NAME		"manifest.json"
#define MANIFEST_FORMAT_VERSION 1u
#define MANIFEST_FILE_NAME_SIZE 64

struct manifest_file {
	char name[MANIFEST_FILE_NAME_SIZE]; /* inside the checkpoint's directory, no slash */
	struct file_stamp stamp;
};

struct manifest {
	uint64_t step;	/* steps that the parameters contain */
	uint64_t epoch; /* epochs completed */
	uint64_t seed;	/* of the initial values: a row that is not in the files has its initial one
			 */
	double test_rmse;	       /* stars; NAN: not measured */
	char digest[DIGEST_TEXT_SIZE]; /* over every parameter, see checkpoint_digest.h */
	struct data_source data;
	json_t *model;		     /* owned object: {"config": {...}, "sizes": {...}} */
	json_t *training;	     /* owned object: the training options, opaque here */
	json_t *cursors;	     /* owned, any value or NULL: where the lanes stand */
	json_t *servers;	     /* owned, any value or NULL: high-water marks */
	struct manifest_file *files; /* owned, malloc'ed */
	size_t file_count, file_capacity;
};

/* Releases what it holds; a zeroed manifest is fine. */
void manifest_fini(struct manifest *manifest);

/* Adds a file. INVALID_ARGUMENT for a name that is not a plain one or is there already. */
MUST_CHECK enum status manifest_add_file(struct manifest *manifest, const char *name,
	const struct file_stamp *stamp, struct error *err);
/* NULL when there is no file of this name. */
const struct manifest_file *manifest_find_file(const struct manifest *manifest, const char *name);

/* Checks size and XXH3 of every file in the directory. DATA_LOSS names the first that is not as
 * listed, and why. */
MUST_CHECK enum status manifest_verify_files(
	const struct manifest *manifest, const char *directory, struct error *err);

/* Makes every file in the directory durable. FAILED_PRECONDITION: one has not the listed size. */
MUST_CHECK enum status manifest_sync_files(
	const struct manifest *manifest, const char *directory, struct error *err);

/* The members of the file, without its checksum, as a new reference; NULL when one is missing. A
 * model directory's model.json has them too. */
json_t *manifest_to_json(const struct manifest *manifest);
/* The reverse, but for the format version. DATA_LOSS naming the member. */
MUST_CHECK enum status manifest_from_json(
	struct manifest *ret, const json_t *json, struct error *err);

/* Writes directory/manifest.json atomically: this is the commit. */
MUST_CHECK enum status manifest_write(
	const struct manifest *manifest, const char *directory, struct error *err);
/*
 * Reads and validates directory/manifest.json, not the files it lists. NOT_FOUND: there is none.
 * FAILED_PRECONDITION: another format version. DATA_LOSS: damaged.
 */
MUST_CHECK enum status manifest_read(
	struct manifest *ret, const char *directory, struct error *err);

#endif
