/*
 * A directory of checkpoints: ROOT/step-<20 digits>/{manifest.json, the files it lists} and
 * ROOT/best.json.
 *
 * Life of one: checkpoint_begin() makes an empty step-<digits>.partial, the caller writes files
 * into it and lists them in a manifest, checkpoint_commit() makes everything durable, writes the
 * manifest and renames the directory. What has no manifest, or not the plain name, is half-written:
 * no function here sees it except begin and prune, which remove it. Nothing old is removed before
 * the new one is committed, also not a checkpoint of the same step.
 *
 * Threads: one writer a root, which checkpoint_lock() sees to between processes; readers may look
 * at any time.
 */
#ifndef MARQUEE_CHECKPOINT_DIRECTORY_H
#define MARQUEE_CHECKPOINT_DIRECTORY_H

#include "common/checkpoint/manifest.h"

/* Names of the files that every checkpoint has. Its shards are shard-<5 digits>.safetensors. */
#define CHECKPOINT_DENSE_NAME	"dense.safetensors"
#define CHECKPOINT_CATALOG_NAME "catalog.safetensors"
#define CHECKPOINT_SHARD_PREFIX "shard-"

/* What is said of a path without any. */
#define CHECKPOINT_NONE                                                                            \
	"holds no checkpoint: there is no " MANIFEST_NAME                                          \
	" in it, nor in a directory step-<number> of it"

#define CHECKPOINT_NOTES_SIZE ((size_t)2048)

/* "shard-00003.safetensors". */
void checkpoint_shard_name(uint32_t shard, char name[MANIFEST_FILE_NAME_SIZE]);
/* Whether a file of a manifest is a shard. */
bool checkpoint_is_shard(const char *name);

/*
 * Makes the caller ROOT's one writer: creates ROOT, tries whether files can be written there, and
 * locks it. Another writer that is just ending is waited for, up to wait_s; FAILED_PRECONDITION:
 * it is still there. Returns a descriptor for close(), which gives the lock back, as does the end
 * of the process.
 */
MUST_CHECK enum status checkpoint_lock(
	const char *root, double wait_s, int *ret_descriptor, struct error *err);

/* Creates ROOT and an empty directory to write the step's files to, in place of a leftover one.
 * Returns its path. */
MUST_CHECK enum status checkpoint_begin(
	const char *root, uint64_t step, char ret_path[PATH_SIZE], struct error *err);

/*
 * Takes the path from begin. Fsyncs every listed file, writes the manifest and moves the directory
 * to checkpoint_path(root, manifest->step): from then on the checkpoint exists. FAILED_PRECONDITION
 * when a listed file has another size than the manifest says.
 */
MUST_CHECK enum status checkpoint_commit(
	const char *root, const char *path, const struct manifest *manifest, struct error *err);

/* The committed steps of ROOT, ascending. Returns owned memory (for free()). A missing ROOT has
 * none. */
MUST_CHECK enum status checkpoint_list(
	const char *root, uint64_t **ret_steps, size_t *ret_count, struct error *err);

/* ROOT/step-<20 digits>. */
MUST_CHECK enum status checkpoint_path(
	const char *root, uint64_t step, char ret_path[PATH_SIZE], struct error *err);

/*
 * Reads the manifest and checks size and XXH3 of every file it lists. *ret (may be NULL) is owned
 * by the caller. DATA_LOSS names the file and the reason.
 */
MUST_CHECK enum status checkpoint_verify(const char *path, struct manifest *ret, struct error *err);

/* A checkpoint that was found and verified. */
struct checkpoint {
	char path[PATH_SIZE];
	struct manifest manifest;
	char notes[CHECKPOINT_NOTES_SIZE]; /* damaged ones that were passed over, one a line, or ""
					    */
};

/* Takes a zeroed struct. */
void checkpoint_fini(struct checkpoint *checkpoint);

/* The newest checkpoint of ROOT that verifies. NOT_FOUND: there is none at all; DATA_LOSS: there
 * are but none verifies (the message says why the newest does not). */
MUST_CHECK enum status checkpoint_newest_verified(
	struct checkpoint *ret, const char *root, struct error *err);

/* The checkpoint that best.json names, verified. NOT_FOUND: no best.json. */
MUST_CHECK enum status checkpoint_best(struct checkpoint *ret, const char *root, struct error *err);
/* Records a committed step as the best. */
MUST_CHECK enum status checkpoint_mark_best(
	const char *root, uint64_t step, double test_rmse, struct error *err);
/* What best.json says. NOT_FOUND: there is none. */
MUST_CHECK enum status checkpoint_read_best(
	const char *root, uint64_t *ret_step, double *ret_test_rmse, struct error *err);

/*
 * Opens what a user names: PATH itself when it has a manifest, else the newest inside it, or the
 * best inside it when `best`. Verified.
 */
MUST_CHECK enum status checkpoint_resolve(
	struct checkpoint *ret, const char *path, bool best, struct error *err);

/* Removes every checkpoint of ROOT and best.json: the user wants to start afresh. */
MUST_CHECK enum status checkpoint_discard(const char *root, struct error *err);

/*
 * Removes the checkpoints of ROOT behind `step`, the best one too: a run that had to go on from
 * before them has been here again.
 */
MUST_CHECK enum status checkpoint_discard_after(const char *root, uint64_t step, struct error *err);

/*
 * Removes all but the newest `keep` checkpoints, never the newest nor the best, and half-written
 * directories that are no newer than the newest. keep 0 keeps all checkpoints.
 */
MUST_CHECK enum status checkpoint_prune(const char *root, uint64_t keep, struct error *err);

#endif
