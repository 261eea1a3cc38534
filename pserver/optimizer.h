/*
 * Optimizers: how a gradient changes a row (or a dense vector) of parameters.
 *
 * A new optimizer is one entry in the table of optimizer.c. All of them work element by element
 * with IEEE additions, multiplications, divisions and square roots in one written order, so a
 * result does not depend on the compiler's vector width, on alignment, or on how a dense vector is
 * split. The one exception is rowwise-adagrad, which takes the mean over its row and is therefore
 * for rows only: see optimizer_for_dense().
 *
 * They are lazy: a row that gets no gradient in a step is not touched, nor is its state.
 *
 * State: an optimizer keeps a number of floats ("slots") beside the parameters. Slot k of element i
 * is slots[k * slot_stride + i]: in a table's record the stride is dim, in a dense vector it is the
 * vector's whole size, so that a part of a vector can be updated in place.
 *
 * Threads: pure functions over the caller's arrays; the table of optimizers is immutable.
 */
#ifndef MARQUEE_PSERVER_OPTIMIZER_H
#define MARQUEE_PSERVER_OPTIMIZER_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum optimizer_kind {
	OPTIMIZER_SGD = 0,
	OPTIMIZER_MOMENTUM = 1,
	OPTIMIZER_ADAGRAD = 2,
	OPTIMIZER_ROWWISE_ADAGRAD = 3,
	OPTIMIZER_ADAM = 4,
	OPTIMIZER_FTRL = 5,
};
#define OPTIMIZER_COUNT 6u

/* Start from optimizer_defaults(); a kind ignores the fields that are not its own. */
struct optimizer_config {
	enum optimizer_kind kind;
	float learning_rate; /* all; FTRL's alpha. > 0 */
	float momentum;	     /* momentum's m, [0, 1) */
	float beta1;	     /* Adam, [0, 1) */
	float beta2;	     /* Adam, [0, 1) */
	float epsilon;	     /* adagrad, rowwise-adagrad, Adam: added to the square root. > 0 */
	float beta;	     /* FTRL, >= 0 */
	float l1;	     /* FTRL, >= 0 */
	float l2;	     /* FTRL, >= 0; beta / alpha + l2 > 0 */
};

/* A row of the table, for help texts and messages. Static strings. */
struct optimizer_info {
	const char *name;	 /* "rowwise-adagrad" */
	const char *description; /* one line */
	const char *source;	 /* where the formula was published */
};

/* NULL when there is no such kind (it may come from a peer). */
const struct optimizer_info *optimizer_info(enum optimizer_kind kind);

/* False when there is no optimizer of this name. */
bool optimizer_find(const char *name, enum optimizer_kind *ret_kind);

/* "sgd|momentum|adagrad|...", for struct flag's choices. Static. */
#define OPTIMIZER_CHOICES "sgd|momentum|adagrad|rowwise-adagrad|adam|ftrl"

/* The kind's usual settings; fields that are not its own are 0. */
struct optimizer_config optimizer_defaults(enum optimizer_kind kind);

/* INVALID_ARGUMENT naming the field when a value is not finite or out of its range. */
MUST_CHECK enum status optimizer_config_validate(
	const struct optimizer_config *config, struct error *err);

/* Same kind and same value in every field. */
bool optimizer_config_equal(const struct optimizer_config *a, const struct optimizer_config *b);

/* The optimizer for dense vectors: rowwise-adagrad becomes adagrad, everything else stays. */
struct optimizer_config optimizer_for_dense(const struct optimizer_config *config);

/* Number of state floats beside `dim` parameters. config is valid here and below. */
size_t optimizer_slot_floats(const struct optimizer_config *config, size_t dim);

/*
 * Gives the state of n parameters, `row`, its first values: zeros, or for FTRL the z from which its
 * closed form gives the row.
 */
void optimizer_init_slots(const struct optimizer_config *config, const float *row, float *slots,
	size_t slot_stride, size_t n);

/*
 * A config made ready for one step: the factors that are the same for all rows. Immutable; a copy
 * is as good.
 */
struct optimizer_step {
	struct optimizer_config config;
	float step_size;     /* Adam: learning_rate / (1 - beta1^t) */
	float second_moment; /* Adam: 1 / (1 - beta2^t) */
	float inverse_rate;  /* FTRL: 1 / alpha */
};

/* `step` counts from 1 (0 is taken as 1). */
struct optimizer_step optimizer_prepare(const struct optimizer_config *config, uint64_t step);

/*
 * Applies gradient[n] to row[n] and its slots. All arrays need only the alignment of float; the
 * gradient must not overlap the others.
 */
void optimizer_apply(const struct optimizer_step *step, float *row, float *slots,
	size_t slot_stride, const float *gradient, size_t n);

#endif
