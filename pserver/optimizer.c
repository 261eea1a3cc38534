#include "pserver/optimizer.h"

#include <math.h>
#include <string.h>

/*
 * In all formulas w is a parameter, g its gradient, lr the learning rate, t the step from 1.
 * Products are never contracted into fused multiply-adds (-ffp-contract=off), and the loops have no
 * carried dependence, so each element's result is a function of that element alone.
 */

typedef void init_function(const struct optimizer_config *config, const float *row, float *slots,
	size_t slot_stride, size_t n);
typedef void apply_function(const struct optimizer_step *step, float *restrict row,
	float *restrict slots, size_t slot_stride, const float *restrict gradient, size_t n);

/* State floats: per_element arrays as long as the row, plus per_row single floats. */
struct optimizer {
	struct optimizer_info info;
	struct optimizer_config defaults;
	unsigned int per_element;
	unsigned int per_row;
	init_function *init; /* NULL: zeros */
	apply_function *apply;
};

/*
 * w -= lr g
 * Robbins, Monro: "A Stochastic Approximation Method", 1951.
 */
static void sgd_apply(const struct optimizer_step *step, float *restrict row, float *restrict slots,
	size_t slot_stride, const float *restrict gradient, size_t n)
{
	(void)slots;
	(void)slot_stride;
	const float rate = step->config.learning_rate;
	for (size_t i = 0; i < n; i++)
		row[i] -= rate * gradient[i];
}

/*
 * v = m v + g
 * w -= lr v
 * Polyak: "Some methods of speeding up the convergence of iteration methods", 1964 (the heavy
 * ball), with the learning rate outside of v.
 */
static void momentum_apply(const struct optimizer_step *step, float *restrict row,
	float *restrict slots, size_t slot_stride, const float *restrict gradient, size_t n)
{
	(void)slot_stride;
	const float rate = step->config.learning_rate;
	const float momentum = step->config.momentum;
	for (size_t i = 0; i < n; i++) {
		float velocity = momentum * slots[i] + gradient[i];
		slots[i] = velocity;
		row[i] -= rate * velocity;
	}
}

/*
 * G += g^2
 * w -= lr g / (sqrt(G) + epsilon)
 * Duchi, Hazan, Singer: "Adaptive Subgradient Methods", JMLR 2011, with H = epsilon I +
 * diag(G)^(1/2): epsilon stands outside the root, and G starts at 0.
 */
static void adagrad_apply(const struct optimizer_step *step, float *restrict row,
	float *restrict slots, size_t slot_stride, const float *restrict gradient, size_t n)
{
	(void)slot_stride;
	const float rate = step->config.learning_rate;
	const float epsilon = step->config.epsilon;
	for (size_t i = 0; i < n; i++) {
		float sum = slots[i] + gradient[i] * gradient[i];
		slots[i] = sum;
		row[i] -= rate * gradient[i] / (sqrtf(sum) + epsilon);
	}
}

/* Partial sums of the mean of squares, so that the sum has one order at every vector width. */
#define SQUARE_SUMS 16

/*
 * G += mean over the row of g^2          one G for the row
 * w -= lr / (sqrt(G) + epsilon) g
 * Row-wise sparse Adagrad of DLRM and FBGEMM (Naumov et al.: "Deep Learning Recommendation Model",
 * 2019; rowwise_adagrad in FBGEMM's split table optimizers).
 * The mean adds g[i]^2 into partial sum i % 16, then the partial sums pairwise.
 */
static void rowwise_adagrad_apply(const struct optimizer_step *step, float *restrict row,
	float *restrict slots, size_t slot_stride, const float *restrict gradient, size_t n)
{
	(void)slot_stride;
	float sums[SQUARE_SUMS] = {0.0f};
	size_t i = 0;
	for (; i + SQUARE_SUMS <= n; i += SQUARE_SUMS)
		for (size_t j = 0; j < SQUARE_SUMS; j++)
			sums[j] += gradient[i + j] * gradient[i + j];
	for (size_t j = 0; i + j < n; j++)
		sums[j] += gradient[i + j] * gradient[i + j];
	for (size_t width = SQUARE_SUMS / 2; width > 0; width /= 2)
		for (size_t j = 0; j < width; j++)
			sums[j] += sums[j + width];
	slots[0] += sums[0] / (float)n;
	const float rate = step->config.learning_rate / (sqrtf(slots[0]) + step->config.epsilon);
	for (i = 0; i < n; i++)
		row[i] -= rate * gradient[i];
}

/*
 * m = beta1 m + (1 - beta1) g
 * v = beta2 v + (1 - beta2) g^2
 * w -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 * Kingma, Ba: "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1. Lazy: the
 * moments of a row that gets no gradient do not decay, while t counts the job's steps.
 */
static void adam_apply(const struct optimizer_step *step, float *restrict row,
	float *restrict slots, size_t slot_stride, const float *restrict gradient, size_t n)
{
	const float beta1 = step->config.beta1, beta2 = step->config.beta2;
	const float rest1 = 1.0f - beta1, rest2 = 1.0f - beta2;
	const float epsilon = step->config.epsilon;
	const float step_size = step->step_size, second_moment = step->second_moment;
	float *restrict first = slots;
	float *restrict second = slots + slot_stride;
	for (size_t i = 0; i < n; i++) {
		float m = beta1 * first[i] + rest1 * gradient[i];
		float v = beta2 * second[i] + rest2 * (gradient[i] * gradient[i]);
		first[i] = m;
		second[i] = v;
		row[i] -= step_size * m / (sqrtf(v * second_moment) + epsilon);
	}
}

/*
 * sigma = (sqrt(n + g^2) - sqrt(n)) / alpha
 * z += g - sigma w
 * n += g^2
 * w = 0                                                      when |z| <= l1
 *   = -(z - sign(z) l1) / ((beta + sqrt(n)) / alpha + l2)    else
 * McMahan et al.: "Ad Click Prediction: a View from the Trenches", KDD 2013, algorithm 1 (FTRL-
 * Proximal, per coordinate). alpha is the learning rate. Slot 0 is z, slot 1 is n.
 */
static void ftrl_apply(const struct optimizer_step *step, float *restrict row,
	float *restrict slots, size_t slot_stride, const float *restrict gradient, size_t n)
{
	const float inverse_rate = step->inverse_rate;
	const float beta = step->config.beta, l1 = step->config.l1, l2 = step->config.l2;
	float *restrict linear = slots;
	float *restrict squares = slots + slot_stride;
	for (size_t i = 0; i < n; i++) {
		float old_root = sqrtf(squares[i]);
		float sum = squares[i] + gradient[i] * gradient[i];
		float root = sqrtf(sum);
		float sigma = (root - old_root) * inverse_rate;
		float z = linear[i] + (gradient[i] - sigma * row[i]);
		/* z - sign(z) l1, and 0 when that has crossed 0; a NaN stays one. */
		float excess = fabsf(z) - l1;
		float shrunk = copysignf(excess <= 0.0f ? 0.0f : excess, z);
		linear[i] = z;
		squares[i] = sum;
		row[i] = -shrunk / ((beta + root) * inverse_rate + l2);
	}
}

/*
 * The paper starts at z = 0, that is w = 0. Rows here start at random values w0, so z starts where
 * the closed form with n = 0 gives w0: z = -(w0 (beta / alpha + l2) + sign(w0) l1), and 0 for w0 =
 * 0. That is the z of a past whose gradients led from 0 to w0. beta / alpha + l2 > 0 (validated)
 * makes this a bijection. Until the first gradient the row keeps w0 itself, which the closed form
 * gives back to within rounding.
 */
static void ftrl_init(const struct optimizer_config *config, const float *row, float *slots,
	size_t slot_stride, size_t n)
{
	const float scale = config->beta * (1.0f / config->learning_rate) + config->l2;
	for (size_t i = 0; i < n; i++) {
		float z = -(row[i] * scale + copysignf(config->l1, row[i]));
		slots[i] = row[i] == 0.0f ? 0.0f : z;
		slots[slot_stride + i] = 0.0f;
	}
}

/* Indexed by kind. OPTIMIZER_CHOICES lists the names. */
static const struct optimizer optimizers[OPTIMIZER_COUNT] = {
	[OPTIMIZER_SGD] =
		{
			.info = {"sgd", "stochastic gradient descent, no state",
				"Robbins, Monro 1951"},
			.defaults = {.learning_rate = 0.2f},
			.apply = sgd_apply,
		},
	[OPTIMIZER_MOMENTUM] =
		{
			.info = {"momentum", "heavy ball: one velocity per element", "Polyak 1964"},
			.defaults = {.learning_rate = 0.02f, .momentum = 0.9f},
			.per_element = 1,
			.apply = momentum_apply,
		},
	[OPTIMIZER_ADAGRAD] =
		{
			.info = {"adagrad", "one sum of squared gradients per element",
				"Duchi, Hazan, Singer, JMLR 2011"},
			.defaults = {.learning_rate = 0.05f, .epsilon = 1e-8f},
			.per_element = 1,
			.apply = adagrad_apply,
		},
	[OPTIMIZER_ROWWISE_ADAGRAD] =
		{
			.info = {"rowwise-adagrad",
				"Adagrad with one sum per row (dense parameters: adagrad)",
				"DLRM, Naumov et al. 2019; FBGEMM"},
			.defaults = {.learning_rate = 0.05f, .epsilon = 1e-8f},
			.per_row = 1,
			.apply = rowwise_adagrad_apply,
		},
	[OPTIMIZER_ADAM] =
		{
			.info = {"adam", "Adam on the touched rows: two moments per element",
				"Kingma, Ba, ICLR 2015"},
			.defaults = {.learning_rate = 0.001f,
				.beta1 = 0.9f,
				.beta2 = 0.999f,
				.epsilon = 1e-8f},
			.per_element = 2,
			.apply = adam_apply,
		},
	[OPTIMIZER_FTRL] =
		{
			.info = {"ftrl", "FTRL-Proximal with L1 and L2: two sums per element",
				"McMahan et al., KDD 2013"},
			.defaults = {.learning_rate = 0.1f, .beta = 1.0f},
			.per_element = 2,
			.init = ftrl_init,
			.apply = ftrl_apply,
		},
};

const struct optimizer_info *optimizer_info(enum optimizer_kind kind)
{
	return (unsigned int)kind < OPTIMIZER_COUNT ? &optimizers[kind].info : NULL;
}

bool optimizer_find(const char *name, enum optimizer_kind *ret_kind)
{
	for (unsigned int kind = 0; kind < OPTIMIZER_COUNT; kind++) {
		if (strcmp(name, optimizers[kind].info.name) == 0) {
			*ret_kind = (enum optimizer_kind)kind;
			return true;
		}
	}
	return false;
}

struct optimizer_config optimizer_defaults(enum optimizer_kind kind)
{
	struct optimizer_config config = {0};
	if ((unsigned int)kind < OPTIMIZER_COUNT)
		config = optimizers[kind].defaults;
	config.kind = kind;
	return config;
}

/* One field and its range; the fields of a config that a kind does not use are 0 and pass too. */
struct range {
	const char *name;
	float value;
	float min;
	bool above_min; /* the minimum itself is out */
	float max;	/* itself out; INFINITY: only finite */
};

enum status optimizer_config_validate(const struct optimizer_config *config, struct error *err)
{
	const struct optimizer_info *info = optimizer_info(config->kind);
	if (!info)
		return error_set(err, STATUS_INVALID_ARGUMENT, "optimizer: there is no kind %d",
			(int)config->kind);
	const bool divides = config->kind == OPTIMIZER_ADAGRAD ||
			     config->kind == OPTIMIZER_ROWWISE_ADAGRAD ||
			     config->kind == OPTIMIZER_ADAM;
	const struct range ranges[] = {
		{"learning_rate", config->learning_rate, 0.0f, true, INFINITY},
		{"momentum", config->momentum, 0.0f, false, 1.0f},
		{"beta1", config->beta1, 0.0f, false, 1.0f},
		{"beta2", config->beta2, 0.0f, false, 1.0f},
		{"epsilon", config->epsilon, 0.0f, divides, INFINITY},
		{"beta", config->beta, 0.0f, false, INFINITY},
		{"l1", config->l1, 0.0f, false, INFINITY},
		{"l2", config->l2, 0.0f, false, INFINITY},
	};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		const struct range *range = &ranges[i];
		/* Written so that a NaN fails. */
		if (range->value < range->max &&
			(range->above_min ? range->value > range->min : range->value >= range->min))
			continue;
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"optimizer %s: %s is %g, expected %s0%s", info->name, range->name,
			(double)range->value, range->above_min ? "above " : "at least ",
			range->max == 1.0f ? " and below 1" : " and finite");
	}
	const float inverse_rate = 1.0f / config->learning_rate;
	if (config->kind == OPTIMIZER_FTRL &&
		!(config->beta * inverse_rate + config->l2 > 0.0f && isfinite(inverse_rate)))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"optimizer ftrl: beta and l2 are both 0, or learning_rate is too small");
	return STATUS_OK;
}

bool optimizer_config_equal(const struct optimizer_config *a, const struct optimizer_config *b)
{
	return a->kind == b->kind && a->learning_rate == b->learning_rate &&
	       a->momentum == b->momentum && a->beta1 == b->beta1 && a->beta2 == b->beta2 &&
	       a->epsilon == b->epsilon && a->beta == b->beta && a->l1 == b->l1 && a->l2 == b->l2;
}

struct optimizer_config optimizer_for_dense(const struct optimizer_config *config)
{
	struct optimizer_config dense = *config;
	if (dense.kind == OPTIMIZER_ROWWISE_ADAGRAD)
		dense.kind = OPTIMIZER_ADAGRAD;
	return dense;
}

size_t optimizer_slot_floats(const struct optimizer_config *config, size_t dim)
{
	const struct optimizer *optimizer = &optimizers[config->kind];
	return optimizer->per_element * dim + optimizer->per_row;
}

void optimizer_init_slots(const struct optimizer_config *config, const float *row, float *slots,
	size_t slot_stride, size_t n)
{
	const struct optimizer *optimizer = &optimizers[config->kind];
	if (optimizer->init) {
		optimizer->init(config, row, slots, slot_stride, n);
		return;
	}
	for (unsigned int k = 0; k < optimizer->per_element; k++)
		memset(slots + k * slot_stride, 0, n * sizeof(float));
	if (optimizer->per_row)
		memset(slots, 0, optimizer->per_row * sizeof(float));
}

/* By squaring, in plain double products: libm's pow may round differently from machine to machine.
 */
static double power(double base, uint64_t exponent)
{
	double result = 1.0;
	for (; exponent; exponent >>= 1) {
		if (exponent & 1)
			result *= base;
		base *= base;
	}
	return result;
}

struct optimizer_step optimizer_prepare(const struct optimizer_config *config, uint64_t step)
{
	const uint64_t t = step ? step : 1;
	struct optimizer_step prepared = {.config = *config};
	if (config->kind == OPTIMIZER_ADAM) {
		prepared.step_size = (float)((double)config->learning_rate /
					     (1.0 - power((double)config->beta1, t)));
		prepared.second_moment = (float)(1.0 / (1.0 - power((double)config->beta2, t)));
	}
	if (config->kind == OPTIMIZER_FTRL)
		prepared.inverse_rate = 1.0f / config->learning_rate;
	return prepared;
}

void optimizer_apply(const struct optimizer_step *step, float *row, float *slots,
	size_t slot_stride, const float *gradient, size_t n)
{
	optimizers[step->config.kind].apply(step, row, slots, slot_stride, gradient, n);
}
