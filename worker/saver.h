/*
 * Checkpoints written beside the training.
 *
 * The trainer takes a cut of the tables (params.h) and copies what else changes from step to step;
 * a thread of the saver's own then reads the cut, writes the files and commits the checkpoint. One
 * is under way at a time.
 *
 * Threads: owner-thread only. While a checkpoint is under way its thread uses the parameter
 * client's read_cut and uncut and the catalog, and is the only writer of the directory.
 */
#ifndef MARQUEE_WORKER_SAVER_H
#define MARQUEE_WORKER_SAVER_H

#include "common/checkpoint/manifest.h"
#include "common/data/catalog.h"
#include "common/model/model.h"
#include "worker/dense.h"
#include "worker/params.h"

/* Everything is borrowed for the saver's life. */
struct saver_options {
	const char *root; /* the checkpoint directory, locked by the caller */
	uint64_t keep;
	struct params *params;
	const struct model *model; /* its tables come first among the client's */
	const struct catalog *catalog;
	uint32_t
		dense_table; /* where the dense parameters are rows of the servers; or UINT32_MAX */
};

/* What a checkpoint holds beside the tables and the catalog. */
struct saver_job {
	struct manifest manifest; /* but for files and digest */
	struct dense dense; /* a copy; with a dense_table it has the shape and gets the values */
	bool best;	    /* it is the best so far, with best_rmse */
	double best_rmse;
};

/* Takes what is half made. */
void saver_job_fini(struct saver_job *job);

struct saver;

MUST_CHECK enum status saver_new(
	struct saver **ret, const struct saver_options *options, struct error *err);
/* Takes NULL. Waits for the checkpoint that is under way, after saver_cancel() not for long. */
void saver_free(struct saver *saver);

/* Starts to write. Takes the job, also on failure. The cut has been taken, and none is under way.
 */
MUST_CHECK enum status saver_start(struct saver *saver, struct saver_job *job, struct error *err);

enum saver_state {
	SAVER_IDLE,
	SAVER_WRITING,
	SAVER_ENDED, /* saver_wait() will not wait */
};
enum saver_state saver_state(const struct saver *saver);

/*
 * Waits for the checkpoint that is under way; there is one. On failure it is gone, and what was
 * there before is intact.
 */
MUST_CHECK enum status saver_wait(struct saver *saver, struct error *err);

/* Nobody needs the checkpoint that is under way: it ends with CANCELLED at the next chunk. */
void saver_cancel(struct saver *saver);

#endif
