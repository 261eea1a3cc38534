/*
 * The trainer's state, shared by the files of the training loop: trainer.c (epochs), setup.c (data,
 * model, tables), step.c (one exchange and one step), audit.c (whether all of it was applied),
 * evaluate.c (held-out error), save.c (when and what to save; saver.c writes it). Private to
 * worker/.
 */
#ifndef MARQUEE_WORKER_TRAINER_INTERNAL_H
#define MARQUEE_WORKER_TRAINER_INTERNAL_H

#include "common/checkpoint/manifest.h"
#include "common/data/dataset.h"
#include "worker/dense.h"
#include "worker/hot_rows.h"
#include "worker/lane.h"
#include "worker/report.h"
#include "worker/saver.h"
#include "worker/spans.h"
#include "worker/team.h"
#include "worker/trainer.h"

/* Held-out examples that a lane scores at a time. */
#define TEST_CHUNK 2048u

/* What the lanes may do in one phase, one pass after the other. */
#define LANE_PASSES_MAX 2u

/* A lane's outcome of a phase, its own cache line: lanes finish side by side. */
struct lane_outcome {
	_Alignas(64) enum status status[LANE_PASSES_MAX];
	struct error errors[LANE_PASSES_MAX];
	double cost; /* of the step, sum of squared errors, label units */
	double epoch_cost;
	double squared_error, absolute_error; /* of the held-out examples, stars */
};

struct trainer {
	/* immutable after set-up */
	struct train_options options;
	const struct trainer_setup *setup;
	struct comm *comm;
	struct dataset dataset;
	struct model *model;
	json_t *model_json; /* {"config", "sizes"}, as manifests hold it */
	struct params *params;
	struct team *team;
	struct lane_span block; /* own lanes */
	uint32_t lane_batch;	/* examples of a lane in a full step */
	uint64_t steps_per_epoch;
	uint64_t last_step;   /* training ends here at the latest */
	uint32_t dense_table; /* its number on the servers; UINT32_MAX in sync mode */
	uint64_t *dense_ids;  /* [dense_row_count]: 0, 1, 2, ... */

	/* the step at hand */
	uint64_t step;		       /* completed steps */
	struct lane *lanes;	       /* [block.count] */
	struct lane_outcome *outcomes; /* [block.count] */
	struct spans spans[2];	       /* take turns */
	unsigned int turn;
	float **dense_sums; /* [spans.count][dense.size]: sums over each span; [0] becomes the total
			     */
	struct dense dense;
	struct params_push *pushes; /* [spans.count * (tables + 1)] */
	struct params_pull *pulls;  /* the same */

	/* the audit */
	uint64_t examples_read;	   /* of this worker's lanes, since the job's first step */
	uint64_t audited_step;	   /* of the latest one; UINT64_MAX: none */
	uint64_t audited_examples; /* that every table had applied then */

	/* The largest incarnation whose pushes a checkpoint of now may hold; 0: of nobody. */
	uint64_t incarnations;

	/* results and their display */
	struct report report;
	struct hot_rows hot;	  /* worker 0, with --dump-metrics: of this run's first epoch */
	struct event_log *events; /* worker 0: of --log-dir; NULL: none */
	struct train_result result;
	double best_rmse;	/* of the best epoch so far; INFINITY: none */
	uint64_t saved_step;	/* of the newest checkpoint; UINT64_MAX: none */
	uint64_t measured_step; /* of result.test_rmse; UINT64_MAX: none */
	int checkpoint_lock;	/* worker 0: for close(); -1: none */
	FILE *metrics;		/* worker 0: of --dump-metrics; NULL: none */

	/* worker 0: checkpoints */
	struct saver *saver;	   /* NULL: none are written */
	struct error save_failure; /* of the latest one; OK: it was written, or there was none */
	double kept_best_rmse;	   /* of the one that best.json names; INFINITY: none */
	double saving_best_rmse;   /* the same when the one under way is written */
};

/* setup.c: what a run needs before its first step, and its end; all workers call them together. */
/* What will be written must be writable before anybody waits for it. */
MUST_CHECK enum status trainer_open_outputs(struct trainer *trainer, struct error *err);
struct resume;
MUST_CHECK enum status trainer_open(
	struct trainer *trainer, const struct resume *resume, struct error *err);
/* Takes what is half open. */
void trainer_fini(struct trainer *trainer);

/* step.c: trains steps [trainer->step, end), all of one epoch; everything is applied on return. */
MUST_CHECK enum status trainer_run_steps(struct trainer *trainer, uint64_t end, struct error *err);

/*
 * Between two steps of all workers, who call it together: every table must have applied exactly the
 * examples that were read, since the job's first step. DATA_LOSS with both figures, for everyone.
 */
MUST_CHECK enum status trainer_audit(struct trainer *trainer, struct error *err);

/* Examples of a step over all lanes. */
uint64_t trainer_step_examples(const struct trainer *trainer, uint64_t step_in_epoch);
/* Examples of the job's first `steps` steps. */
uint64_t trainer_examples(const struct trainer *trainer, uint64_t steps);

/*
 * The rows for what the lanes have loaded into batches[spans->turn], as of the step at hand: unique
 * ids of every table, then the exchange.
 */
MUST_CHECK enum status trainer_pull(
	struct trainer *trainer, struct spans *spans, struct error *err);

/*
 * Runs the passes over all lanes on the team; returns the first failed lane's error. A member comes
 * to a pass when the one before it has no lane left to take, so passes of one lane may run side by
 * side: they share nothing but what they read. The second pass runs even where the first failed.
 */
typedef enum status lane_function(struct trainer *trainer, struct lane *lane,
	struct lane_outcome *outcome, uint64_t argument, struct error *err);
struct lane_pass {
	lane_function *function;
	uint64_t argument;
};
MUST_CHECK enum status trainer_each_lane(
	struct trainer *trainer, const struct lane_pass *passes, uint32_t count, struct error *err);

/* The lane's rows in spans. */
void trainer_lane_rows(const struct trainer *trainer, const struct spans *spans,
	const struct lane *lane, struct model_rows *ret_rows);

/* describe.c: what this run is, for readers of the metrics; owned, NULL without memory. */
json_t *trainer_describe(const struct trainer *trainer);

/* evaluate.c: held-out RMSE and MAE, the same on every worker. NAN when nothing is held out. */
MUST_CHECK enum status trainer_evaluate(
	struct trainer *trainer, double *ret_rmse, double *ret_mae, struct error *err);

/* resume.c */
/* Finds the checkpoint to resume from and takes its deciding options; before the data is opened. */
struct resume {
	json_t *manifest;	   /* what every worker needs of the manifest; owned */
	char directory[PATH_SIZE]; /* worker 0: the checkpoint's directory; empty: start afresh */
};
MUST_CHECK enum status resume_find(struct resume *resume, struct train_options *options,
	struct comm *comm, FILE *out, struct error *err);
/* The largest incarnation whose pushes the checkpoint holds; 0 where it does not say. */
MUST_CHECK enum status resume_incarnations(
	const struct resume *resume, uint64_t *ret, struct error *err);
/* Checks that model and data are the checkpoint's, and loads dense parameters and tables. */
MUST_CHECK enum status resume_load(
	struct trainer *trainer, const struct resume *resume, struct error *err);
void resume_fini(struct resume *resume);

/* save.c */
/* Fresh start in ssp and async mode: the dense parameters go to the servers. */
MUST_CHECK enum status trainer_upload_dense(struct trainer *trainer, struct error *err);
/* Brings the servers' dense parameters and their state here (ssp, async); nothing in sync mode. */
MUST_CHECK enum status trainer_download_dense(struct trainer *trainer, struct error *err);
enum save_kind {
	SAVE_PERIODIC, /* left out, with a warning, while another one is being written */
	SAVE_EPOCH,    /* waits for that one; at the end of training too */
	SAVE_BEST,     /* the same, and it is the best so far */
};
/*
 * Begins a checkpoint of the step at hand, to be written while training goes on. All workers call
 * it between two steps. A checkpoint that fails is a warning; the run's end says so again.
 */
MUST_CHECK enum status trainer_save(
	struct trainer *trainer, enum save_kind kind, struct error *err);
/* Whether --checkpoint-every wants a checkpoint of the step at hand. */
bool trainer_save_is_due(const struct trainer *trainer);
/* Between two steps: tells of a checkpoint that has failed meanwhile. */
void trainer_save_poll(struct trainer *trainer);
/* Waits for the last checkpoint. Its failure is every worker's. */
MUST_CHECK enum status trainer_save_finish(struct trainer *trainer, struct error *err);
/* The digest over all parameters, the same on every worker. */
MUST_CHECK enum status trainer_digest(
	struct trainer *trainer, struct digest *ret, struct error *err);

/* The model's dense tensors over the trainer's vectors; returns owned memory in *ret. */
MUST_CHECK enum status trainer_tensors(
	const struct trainer *trainer, struct named_tensor **ret, struct error *err);
/* What the ids of words and genres mean: another vocabulary is another model. */
void trainer_vocabulary_hash(const struct catalog *catalog, char text[DIGEST_TEXT_SIZE]);
/* Over the ratings and the ids in them: 16 hex digits. */
#define RATINGS_HASH_SIZE 17
void trainer_ratings_hash(const struct dataset *dataset, char text[RATINGS_HASH_SIZE]);

#endif
