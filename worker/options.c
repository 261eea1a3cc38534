#include "worker/options.h"

#include "common/base/file.h"
#include "common/base/lane_tree.h"
#include "common/checkpoint/json_field.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STALENESS_MAX	 1000000
#define MODEL_FILE_LIMIT ((size_t)1 << 20)

static const char *const mode_names[] = {
	[MODE_SYNC] = "sync", [MODE_SSP] = "ssp", [MODE_ASYNC] = "async"};

static const char *const dtype_names[] = {[WIRE_F32] = "f32", [WIRE_BF16] = "bf16"};

const char *train_mode_name(enum train_mode mode)
{
	return mode_names[mode];
}

static void add_flag(struct train_flags *flags, struct flag flag)
{
	flags->flags[flags->count++] = flag;
}

static void add_result_flags(struct train_flags *flags, struct train_options *o)
{
	add_flag(flags, (struct flag){"batch-size", FLAG_U64, &o->batch_size, "N",
				"examples in a step, over all workers (default 256)", 1,
				BATCH_SIZE_MAX, NULL, &o->given.batch_size, false});
	add_flag(flags,
		(struct flag){"lanes", FLAG_U64, &o->lanes, "N",
			"virtual workers the data is cut into; divides the batch (default 8)", 1,
			LANES_MAX, NULL, &o->given.lanes, false});
	add_flag(flags, (struct flag){"learning-rate", FLAG_DOUBLE, &o->texts.learning_rate, "X",
				"step size (default: the optimizer's, 0.2 for sgd)", 1e-12, 1e6,
				NULL, &o->given.learning_rate, false});
	add_flag(flags, (struct flag){"optimizer", FLAG_CHOICE, &o->texts.optimizer, "NAME",
				OPTIMIZER_CHOICES " (default sgd)", 0, 0, OPTIMIZER_CHOICES,
				&o->given.optimizer, false});
	add_flag(flags, (struct flag){"mode", FLAG_CHOICE, &o->texts.mode, "MODE",
				"sync|ssp|async: how far workers may run apart (default sync)", 0,
				0, "sync|ssp|async", &o->given.mode, false});
	add_flag(flags, (struct flag){"staleness", FLAG_U64, &o->staleness, "K",
				"ssp: steps a worker may run ahead of the slowest (default 4)", 0,
				STALENESS_MAX, NULL, &o->given.staleness, false});
	add_flag(flags, (struct flag){"wire-dtype", FLAG_CHOICE, &o->texts.wire_dtype, "TYPE",
				"f32|bf16: rows and gradients on the way to servers and back "
				"(default f32)",
				0, 0, "f32|bf16", &o->given.wire_dtype, false});
	add_flag(flags, (struct flag){"seed", FLAG_U64, &o->seed, "N",
				"of first values, split, shuffle and masks (default 1)", 0, 0, NULL,
				&o->given.seed, false});
	add_flag(flags, (struct flag){"holdout", FLAG_DOUBLE, &o->holdout, "X",
				"share of the ratings held out for testing (default 0.1)", 0, 0.9,
				NULL, &o->given.holdout, false});
	add_flag(flags, (struct flag){"test-ratings", FLAG_STRING, &o->test_ratings, "FILE",
				"test on these ratings and hold out nothing", 0, 0, NULL,
				&o->given.test_ratings, false});
	add_flag(flags, (struct flag){"shuffle", FLAG_CHOICE, &o->texts.shuffle, "HOW",
				"full|none: the examples' order within a lane (default full)", 0, 0,
				"full|none", &o->given.shuffle, false});
	add_flag(flags,
		(struct flag){"unknown-rate", FLAG_DOUBLE, &o->unknown_rate, "X",
			"share of user and movie ids trained as the unknown row (default 0.01)", 0,
			1, NULL, &o->given.unknown_rate, false});
	add_flag(flags, (struct flag){"model", FLAG_STRING, &o->texts.model_file, "FILE",
				"JSON: widths, pooling, filters (default: the fusion model's)", 0,
				0, NULL, &o->given.model, false});
}

static void add_run_flags(struct train_flags *flags, struct train_options *o)
{
	add_flag(flags,
		(struct flag){"data", FLAG_STRING, &o->data, "DIR",
			"MovieLens data, in ml-1m's or ml-100k's layout", 0, 0, NULL, NULL, true});
	add_flag(flags, (struct flag){"cache-dir", FLAG_STRING, &o->cache_dir, "DIR",
				"keep the parsed ratings here (default: beside the ratings)", 0, 0,
				NULL, NULL, false});
	add_flag(flags,
		(struct flag){"no-cache", FLAG_BOOL, &o->no_cache, NULL,
			"parse the ratings afresh and keep nothing", 0, 0, NULL, NULL, false});
	add_flag(flags, (struct flag){"epochs", FLAG_U64, &o->epochs, "N",
				"passes over the training ratings (default 20)", 0, 1000000, NULL,
				NULL, false});
	add_flag(flags, (struct flag){"max-steps", FLAG_U64, &o->max_steps, "N",
				"stop after this step; 0 writes the initial parameters", 0, 0, NULL,
				NULL, false});
	add_flag(flags, (struct flag){"target-rmse", FLAG_DOUBLE, &o->target_rmse, "X",
				"stop once the held-out RMSE, in stars, is at most this", 0, 10,
				NULL, NULL, false});
	add_flag(flags, (struct flag){"checkpoint-dir", FLAG_STRING, &o->checkpoint_dir, "DIR",
				"write checkpoints here (default: none)", 0, 0, NULL, NULL, false});
	add_flag(flags, (struct flag){"checkpoint-every", FLAG_U64, &o->checkpoint_every, "N",
				"steps between checkpoints (default: one an epoch)", 0, 0, NULL,
				NULL, false});
	add_flag(flags, (struct flag){"keep", FLAG_U64, &o->keep, "N",
				"newest checkpoints kept, beside the best (default 2)", 1, 1000000,
				NULL, NULL, false});
	add_flag(flags,
		(struct flag){"resume", FLAG_BOOL, &o->resume, NULL,
			"go on from the newest checkpoint that verifies", 0, 0, NULL, NULL, false});
	add_flag(flags, (struct flag){"restart", FLAG_BOOL, &o->restart, NULL,
				"discard the checkpoints that are in the directory", 0, 0, NULL,
				NULL, false});
	add_flag(flags, (struct flag){"dump-metrics", FLAG_STRING, &o->dump_metrics, "FILE",
				"append one JSON object per epoch to it", 0, 0, NULL, NULL, false});
	add_flag(flags,
		(struct flag){"metrics-every", FLAG_U64, &o->metrics_every, "N",
			"and one every N steps (default 0: epochs only)", 0, 0, NULL, NULL, false});
	add_flag(flags, (struct flag){"log-dir", FLAG_STRING, &o->log_dir, "DIR",
				"write TensorBoard event files here: curves every --metrics-every "
				"steps (default 100), row norms every epoch",
				0, 0, NULL, NULL, false});
	add_flag(flags, (struct flag){"skip-bad-lines", FLAG_BOOL, &o->skip_bad_lines, NULL,
				"count and skip malformed lines instead of stopping", 0, 0, NULL,
				NULL, false});
	add_flag(flags, (struct flag){"deadline", FLAG_DOUBLE, &o->deadline_s, "SECONDS",
				"the longest wait for a server or another worker (default 60)", 0.1,
				86400, NULL, NULL, false});
	add_flag(flags, (struct flag){"threads", FLAG_U64, &o->threads, "N",
				"threads that compute lanes (default 1; marquee train: the cores)",
				1, THREADS_MAX, NULL, NULL, false});
}

void train_options_init(struct train_options *options, struct train_flags *flags)
{
	*options = (struct train_options){
		.seed = 1,
		.lanes = LANES_DEFAULT,
		.batch_size = 256,
		.holdout = 0.1,
		.unknown_rate = 0.01,
		.staleness = 4,
		.epochs = 20,
		.max_steps = UINT64_MAX,
		.keep = 2,
		.threads = 1,
		.deadline_s = 60,
		.texts = {.mode = "sync",
			.wire_dtype = "f32",
			.shuffle = "full",
			.optimizer = "sgd"},
	};
	flags->count = 0;
	add_run_flags(flags, options);
	add_result_flags(flags, options);
}

static enum status read_model(struct train_options *options, struct error *err)
{
	const char *path = options->texts.model_file;
	char *text;
	size_t size;
	model_config_init(&options->model);
	if (!path)
		return STATUS_OK;
	enum status status = file_read_all(path, MODEL_FILE_LIMIT, &text, &size, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "--model");
	json_error_t failure;
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &failure);
	free(text);
	if (!json)
		return error_set(err, STATUS_INVALID_ARGUMENT, "--model: %s:%d: %s", path,
			failure.line, failure.text);
	status = model_config_from_json(&options->model, json, err);
	json_decref(json);
	return status == STATUS_OK ? status : error_wrap(err, status, "--model: %s", path);
}

static enum status set_mode(struct train_options *options, const char *name, struct error *err)
{
	for (int mode = MODE_SYNC; mode <= MODE_ASYNC; mode++) {
		if (strcmp(mode_names[mode], name) == 0) {
			options->mode = (enum train_mode)mode;
			return STATUS_OK;
		}
	}
	return error_set(err, STATUS_INVALID_ARGUMENT, "'%.40s' is no training mode", name);
}

static enum status set_wire_dtype(
	struct train_options *options, const char *name, struct error *err)
{
	for (int dtype = WIRE_F32; dtype <= WIRE_BF16; dtype++) {
		if (strcmp(dtype_names[dtype], name) == 0) {
			options->wire_dtype = (enum wire_dtype)dtype;
			return STATUS_OK;
		}
	}
	return error_set(err, STATUS_INVALID_ARGUMENT, "'%.40s' is no type on the wire", name);
}

static enum status set_optimizer(struct train_options *options, const char *name, struct error *err)
{
	enum optimizer_kind kind;
	if (!optimizer_find(name, &kind))
		return error_set(err, STATUS_INVALID_ARGUMENT, "'%.40s' is no optimizer", name);
	options->optimizer = optimizer_defaults(kind);
	return STATUS_OK;
}

static enum status check(const struct train_options *options, struct error *err)
{
	if (options->batch_size % options->lanes != 0)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--batch-size %llu is not divisible by --lanes %llu",
			(unsigned long long)options->batch_size,
			(unsigned long long)options->lanes);
	if ((options->resume || options->restart || options->checkpoint_every) &&
		!options->checkpoint_dir)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s needs --checkpoint-dir",
			options->resume	   ? "--resume"
			: options->restart ? "--restart"
					   : "--checkpoint-every");
	if (options->cache_dir && options->no_cache)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--cache-dir and --no-cache exclude each other");
	if (options->resume && options->restart)
		return error_set(
			err, STATUS_INVALID_ARGUMENT, "--resume and --restart exclude each other");
	return STATUS_OK;
}

enum status train_options_finish(struct train_options *options, struct error *err)
{
	enum status status = set_mode(options, options->texts.mode, err);
	if (status == STATUS_OK)
		status = set_wire_dtype(options, options->texts.wire_dtype, err);
	if (status == STATUS_OK)
		status = set_optimizer(options, options->texts.optimizer, err);
	if (status == STATUS_OK && options->given.learning_rate)
		options->optimizer.learning_rate = (float)options->texts.learning_rate;
	options->shuffle = strcmp(options->texts.shuffle, "full") == 0;
	if (status == STATUS_OK)
		status = read_model(options, err);
	if (status == STATUS_OK)
		status = check(options, err);
	return status;
}

static json_t *optimizer_to_json(const struct optimizer_config *o)
{
	return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "name",
		optimizer_info(o->kind)->name, "learning_rate", (double)o->learning_rate,
		"momentum", (double)o->momentum, "beta1", (double)o->beta1, "beta2",
		(double)o->beta2, "epsilon", (double)o->epsilon, "beta", (double)o->beta, "l1",
		(double)o->l1, "l2", (double)o->l2);
}

json_t *train_options_to_json(const struct train_options *o)
{
	/* Only what is not the default: checkpoints stay readable for releases without it. */
	const char *dtype = o->wire_dtype == WIRE_F32 ? NULL : dtype_names[o->wire_dtype];
	return json_pack("{s:o, s:I, s:I, s:f, s:f, s:s, s:I, s:s, s:s*, s:s*, s:o}", "seed",
		json_from_u64(o->seed), "lanes", (json_int_t)o->lanes, "batch_size",
		(json_int_t)o->batch_size, "holdout", o->holdout, "unknown_rate", o->unknown_rate,
		"mode", train_mode_name(o->mode), "staleness", (json_int_t)o->staleness, "shuffle",
		o->shuffle ? "full" : "none", "test_ratings", o->test_ratings, "wire_dtype", dtype,
		"optimizer", optimizer_to_json(&o->optimizer));
}

static enum status conflict(const char *option, struct error *err)
{
	return error_set(err, STATUS_INVALID_ARGUMENT,
		"--%s differs from the checkpoint's; leave it out to go on as before, or start "
		"anew",
		option);
}

static enum status optimizer_from_json(
	struct optimizer_config *ret, json_t *json, struct error *err)
{
	const char *name;
	double rate, momentum, beta1, beta2, epsilon, beta, l1, l2;
	enum optimizer_kind kind;
	if (json_unpack(json, "{s:s, s:F, s:F, s:F, s:F, s:F, s:F, s:F, s:F}", "name", &name,
		    "learning_rate", &rate, "momentum", &momentum, "beta1", &beta1, "beta2", &beta2,
		    "epsilon", &epsilon, "beta", &beta, "l1", &l1, "l2", &l2) != 0)
		return error_set(err, STATUS_DATA_LOSS, "training.optimizer: a field is missing");
	if (!optimizer_find(name, &kind))
		return error_set(err, STATUS_DATA_LOSS, "'%.40s' is no optimizer", name);
	*ret = optimizer_defaults(kind);
	ret->learning_rate = (float)rate;
	ret->momentum = (float)momentum;
	ret->beta1 = (float)beta1;
	ret->beta2 = (float)beta2;
	ret->epsilon = (float)epsilon;
	ret->beta = (float)beta;
	ret->l1 = (float)l1;
	ret->l2 = (float)l2;
	return optimizer_config_validate(ret, err);
}

/* One whole-number option: taken from the checkpoint, or equal to what was given. */
static enum status take_u64(
	uint64_t *target, bool given, uint64_t saved, const char *name, struct error *err)
{
	if (given && *target != saved)
		return conflict(name, err);
	*target = saved;
	return STATUS_OK;
}

static enum status take_double(
	double *target, bool given, double saved, const char *name, struct error *err)
{
	if (given && *target != saved)
		return conflict(name, err);
	*target = saved;
	return STATUS_OK;
}

enum status train_options_from_json(struct train_options *o, const json_t *json, struct error *err)
{
	uint64_t seed;
	json_int_t lanes, batch, staleness;
	double holdout, unknown_rate;
	const char *mode, *shuffle, *test_ratings = NULL, *dtype = "f32";
	json_t *optimizer;
	/* jansson's unpack does not change what it reads; its type is not const. */
	json_t *source = (json_t *)(uintptr_t)json;
	if (json_field_u64(json, "seed", &seed, NULL) != STATUS_OK ||
		json_unpack(source, "{s:I, s:I, s:F, s:F, s:s, s:I, s:s, s?s, s?s, s:o}", "lanes",
			&lanes, "batch_size", &batch, "holdout", &holdout, "unknown_rate",
			&unknown_rate, "mode", &mode, "staleness", &staleness, "shuffle", &shuffle,
			"test_ratings", &test_ratings, "wire_dtype", &dtype, "optimizer",
			&optimizer) != 0)
		return error_set(err, STATUS_DATA_LOSS, "training: a field is missing");
	if (lanes < 1 || lanes > (json_int_t)LANES_MAX || batch < 1 ||
		batch > (json_int_t)BATCH_SIZE_MAX || batch % lanes != 0 || holdout < 0 ||
		holdout > 0.9 || unknown_rate < 0 || unknown_rate > 1 || staleness < 0 ||
		staleness > STALENESS_MAX)
		return error_set(err, STATUS_DATA_LOSS, "training: a value is out of range");
	struct train_options taken = *o;
	struct optimizer_config saved;
	enum status status = take_u64(&taken.seed, o->given.seed, seed, "seed", err);
	if (status == STATUS_OK)
		status = take_u64(&taken.lanes, o->given.lanes, (uint64_t)lanes, "lanes", err);
	if (status == STATUS_OK)
		status = take_u64(
			&taken.batch_size, o->given.batch_size, (uint64_t)batch, "batch-size", err);
	if (status == STATUS_OK)
		status = take_u64(&taken.staleness, o->given.staleness, (uint64_t)staleness,
			"staleness", err);
	if (status == STATUS_OK)
		status = take_double(&taken.holdout, o->given.holdout, holdout, "holdout", err);
	if (status == STATUS_OK)
		status = take_double(&taken.unknown_rate, o->given.unknown_rate, unknown_rate,
			"unknown-rate", err);
	if (status == STATUS_OK)
		status = set_mode(&taken, mode, err);
	if (status == STATUS_OK)
		status = set_wire_dtype(&taken, dtype, err);
	if (status == STATUS_OK)
		status = optimizer_from_json(&saved, optimizer, err);
	if (status != STATUS_OK)
		return status;
	if (o->given.mode && taken.mode != o->mode)
		return conflict("mode", err);
	if (o->given.wire_dtype && taken.wire_dtype != o->wire_dtype)
		return conflict("wire-dtype", err);
	taken.shuffle = strcmp(shuffle, "none") != 0;
	if (o->given.shuffle && taken.shuffle != o->shuffle)
		return conflict("shuffle", err);
	/* Whether there is such a file decides what is trained on; which one it is does not. */
	if (o->given.test_ratings && !test_ratings)
		return conflict("test-ratings", err);
	if (!o->given.test_ratings)
		taken.test_ratings = test_ratings;
	if (o->given.optimizer && saved.kind != o->optimizer.kind)
		return conflict("optimizer", err);
	if (o->given.learning_rate)
		saved.learning_rate = o->optimizer.learning_rate;
	taken.optimizer = saved;
	*o = taken;
	return STATUS_OK;
}
