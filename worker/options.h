/*
 * The training options: the same for `worker`, `marquee train` and `marquee launch`.
 *
 * Three classes: what decides the result bit for bit (saved in the checkpoint; on --resume a value
 * given on the command line must agree with it), what decides how far and where to run, and what is
 * only about resources.
 *
 * Threads: immutable after train_options_finish().
 */
#ifndef MARQUEE_WORKER_OPTIONS_H
#define MARQUEE_WORKER_OPTIONS_H

#include "common/base/flags.h"
#include "common/base/status.h"
#include "common/model/model.h"
#include "pserver/optimizer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum train_mode { MODE_SYNC, MODE_SSP, MODE_ASYNC };

/* How rows and gradients travel to servers and back. */
enum wire_dtype { WIRE_F32, WIRE_BF16 };

#define BATCH_SIZE_MAX (1u << 20)
#define THREADS_MAX    256u

/* Text form of a mode: "sync", "ssp", "async". */
const char *train_mode_name(enum train_mode mode);

struct train_options {
	/* Decide the result. */
	uint64_t seed;
	uint64_t lanes;
	uint64_t batch_size;
	double holdout;	     /* share of the ratings that is held out for testing */
	double unknown_rate; /* share of ids replaced by the unknown row in training */
	enum train_mode mode;
	uint64_t staleness; /* ssp: steps a worker may run ahead */
	bool shuffle;
	enum wire_dtype wire_dtype;
	const char *test_ratings; /* a path; NULL: hold out by hash */
	struct model_config model;
	struct optimizer_config optimizer;

	/* How far, and where to. */
	const char *data;      /* directory */
	const char *cache_dir; /* for the binary form of the ratings; NULL: beside them */
	bool no_cache;
	uint64_t epochs;
	uint64_t max_steps;	    /* UINT64_MAX: as many as the epochs have */
	double target_rmse;	    /* stop once the held-out RMSE is at most this; 0: never */
	const char *checkpoint_dir; /* NULL: none */
	uint64_t checkpoint_every;  /* steps; 0: at the end of an epoch only */
	uint64_t keep;		    /* checkpoints kept beside the best one */
	bool resume;
	bool restart;		  /* discard the checkpoints that are there */
	const char *dump_metrics; /* a path for JSON lines; NULL: none */
	uint64_t metrics_every;	  /* steps; 0: per epoch only */
	const char *log_dir;	  /* a directory for TensorBoard's event files; NULL: none */
	bool skip_bad_lines;

	/* Resources. */
	uint64_t threads;
	double deadline_s;

	/* Raw text of options that become values in train_options_finish(). */
	struct train_option_texts {
		const char *mode, *shuffle, *optimizer, *model_file, *wire_dtype;
		double learning_rate;
	} texts;

	/* Which of the deciding options the command line named. */
	struct train_options_given {
		bool seed, lanes, batch_size, holdout, unknown_rate, mode, staleness, shuffle,
			test_ratings, model, optimizer, learning_rate, wire_dtype;
	} given;
};

#define TRAIN_FLAGS_MAX 40

/* The options' rows, bound to one struct train_options. */
struct train_flags {
	struct flag flags[TRAIN_FLAGS_MAX];
	size_t count;
};

/* Sets the defaults and builds the rows. `flags` borrows options. */
void train_options_init(struct train_options *options, struct train_flags *flags);

/* After parsing: turns texts into values, reads --model, checks what options mean together. */
MUST_CHECK enum status train_options_finish(struct train_options *options, struct error *err);

/* The deciding options as JSON for the manifest. Returns owned; NULL when memory is refused. */
json_t *train_options_to_json(const struct train_options *options);

/*
 * Takes the deciding options from a manifest's JSON. An option that the command line gave with
 * another value is INVALID_ARGUMENT naming it; the learning rate may be changed, and which file of
 * test ratings is read. Strings
 * are borrowed from json, which must outlive options.
 */
MUST_CHECK enum status train_options_from_json(
	struct train_options *options, const json_t *json, struct error *err);

#endif
