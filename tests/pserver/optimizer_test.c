#include "pserver/optimizer.h"

#include "tests/support/suite.h"

#include <math.h>
#include <string.h>

/*
 * Each formula is worked out here in double, from the publication and not from the code, and
 * compared at float precision.
 */
#define N	  3
#define TOLERANCE 2e-6

static const float start[N] = {0.5f, -0.25f, 0.0f};
static const float gradients[2][N] = {{0.1f, -0.2f, 0.4f}, {-0.3f, 0.05f, 0.0f}};

static void assert_near(double value, double expected, const char *what, int i)
{
	ck_assert_msg(fabs(value - expected) <= TOLERANCE * fmax(1.0, fabs(expected)),
		"%s[%d] is %.9g, expected %.9g", what, i, value, expected);
}

/* Runs both gradients as steps 1 and 2 over row[N] and slots[2 * N] (stride N). */
static void run(const struct optimizer_config *config, float *row, float *slots)
{
	memcpy(row, start, sizeof(start));
	optimizer_init_slots(config, row, slots, N, N);
	for (uint64_t t = 1; t <= 2; t++) {
		struct optimizer_step step = optimizer_prepare(config, t);
		optimizer_apply(&step, row, slots, N, gradients[t - 1], N);
	}
}

START_TEST(sgd_steps_against_the_gradient)
{
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_SGD);
	config.learning_rate = 0.5f;
	float row[N];
	run(&config, row, NULL);
	/* 0.5 - 0.5 (0.1 - 0.3), -0.25 - 0.5 (-0.2 + 0.05), 0 - 0.5 (0.4). */
	assert_near((double)row[0], 0.6, "w", 0);
	assert_near((double)row[1], -0.175, "w", 1);
	assert_near((double)row[2], -0.2, "w", 2);
}
END_TEST

START_TEST(momentum_is_the_heavy_ball)
{
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_MOMENTUM);
	config.learning_rate = 0.1f;
	config.momentum = 0.9f;
	float row[N], slots[N];
	run(&config, row, slots);
	/* v1 = 0.1, v2 = 0.09 - 0.3 = -0.21; w = 0.5 - 0.1 (0.1 - 0.21). */
	assert_near((double)row[0], 0.511, "w", 0);
	assert_near((double)slots[0], -0.21, "v", 0);
	/* v1 = -0.2, v2 = -0.13; w = -0.25 + 0.1 (0.33). */
	assert_near((double)row[1], -0.217, "w", 1);
	/* v1 = 0.4, v2 = 0.36; w = -0.076. */
	assert_near((double)row[2], -0.076, "w", 2);
}
END_TEST

START_TEST(adagrad_divides_by_the_root_of_the_sum_of_squares)
{
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_ADAGRAD);
	config.learning_rate = 0.1f;
	config.epsilon = 0.01f;
	float row[N], slots[N];
	run(&config, row, slots);
	for (int i = 0; i < N; i++) {
		double w = (double)start[i], sum = 0.0;
		for (int t = 0; t < 2; t++) {
			double g = (double)gradients[t][i];
			sum += g * g;
			w -= 0.1 * g / (sqrt(sum) + 0.01);
		}
		assert_near((double)row[i], w, "w", i);
		assert_near((double)slots[i], sum, "G", i);
	}
	/* By hand: G = 0.01, then 0.1: 0.5 - 0.01 / 0.11 + 0.03 / (0.316228 + 0.01). */
	assert_near((double)row[0], 0.50105151, "w", 0);
}
END_TEST

START_TEST(rowwise_adagrad_keeps_the_mean_of_squares_of_the_row)
{
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_ROWWISE_ADAGRAD);
	config.learning_rate = 0.1f;
	config.epsilon = 0.01f;
	float row[N], slot = -1.0f;
	run(&config, row, &slot);
	/* Means: (0.01 + 0.04 + 0.16) / 3 = 0.07, (0.09 + 0.0025) / 3 = 0.0308333. */
	assert_near((double)slot, 0.10083333, "G", 0);
	double first = 0.1 / (sqrt(0.07) + 0.01), second = 0.1 / (sqrt(0.07 + 0.0925 / 3) + 0.01);
	for (int i = 0; i < N; i++)
		assert_near((double)row[i],
			(double)start[i] - first * (double)gradients[0][i] -
				second * (double)gradients[1][i],
			"w", i);
	ck_assert_uint_eq(optimizer_slot_floats(&config, 1000), 1);
}
END_TEST

START_TEST(rowwise_adagrad_takes_the_mean_of_a_long_row)
{
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_ROWWISE_ADAGRAD);
	struct optimizer_step step = optimizer_prepare(&config, 1);
	float row[37] = {0}, gradient[37], slot = 0.0f;
	double sum = 0.0;
	for (int i = 0; i < 37; i++) {
		gradient[i] = (float)(i - 11) * 0.25f;
		sum += (double)gradient[i] * (double)gradient[i];
	}
	optimizer_apply(&step, row, &slot, 37, gradient, 37);
	assert_near((double)slot, sum / 37.0, "G", 0);
}
END_TEST

START_TEST(adam_corrects_the_bias_by_the_step)
{
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_ADAM);
	config.learning_rate = 0.01f;
	config.epsilon = 1e-3f;
	float row[N], slots[2 * N];
	run(&config, row, slots);
	for (int i = 0; i < N; i++) {
		double w = (double)start[i], m = 0.0, v = 0.0;
		for (int t = 1; t <= 2; t++) {
			double g = (double)gradients[t - 1][i];
			m = 0.9 * m + 0.1 * g;
			v = 0.999 * v + 0.001 * g * g;
			w -= 0.01 * (m / (1.0 - pow(0.9, t))) /
			     (sqrt(v / (1.0 - pow(0.999, t))) + 1e-3);
		}
		assert_near((double)row[i], w, "w", i);
		assert_near((double)slots[i], m, "m", i);
		assert_near((double)slots[N + i], v, "v", i);
	}
}
END_TEST

START_TEST(adam_of_a_late_first_gradient_uses_the_step_of_the_job)
{
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_ADAM);
	struct optimizer_step step = optimizer_prepare(&config, 1000);
	float row = 1.0f, slots[2] = {0};
	const float gradient = 0.5f;
	optimizer_apply(&step, &row, slots, 1, &gradient, 1);
	double m = 0.05, v = 0.00025;
	assert_near((double)row,
		1.0 - 0.001 * (m / (1.0 - pow(0.9, 1000))) /
				(sqrt(v / (1.0 - pow((double)0.999f, 1000))) + 1e-8),
		"w", 0);
}
END_TEST

/* Algorithm 1 of the paper in double, from given z and n. */
struct ftrl {
	double z, n;
};

static double ftrl_weight(const struct ftrl *s, double alpha, double beta, double l1, double l2)
{
	if (fabs(s->z) <= l1)
		return 0.0;
	double sign = s->z < 0 ? -1.0 : 1.0;
	return -1.0 / ((beta + sqrt(s->n)) / alpha + l2) * (s->z - sign * l1);
}

START_TEST(ftrl_follows_the_paper_from_its_initial_row)
{
	const double alpha = 0.1, beta = 1.0, l1 = 0.02, l2 = 0.5;
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_FTRL);
	config.l1 = (float)l1;
	config.l2 = (float)l2;
	float row[N], slots[2 * N];
	run(&config, row, slots);
	for (int i = 0; i < N; i++) {
		double w0 = (double)start[i];
		double sign = w0 > 0 ? 1.0 : w0 < 0 ? -1.0 : 0.0;
		struct ftrl s = {.z = -(w0 * (beta / alpha + l2) + sign * l1), .n = 0.0};
		assert_near(ftrl_weight(&s, alpha, beta, l1, l2), w0, "w0", i);
		for (int t = 0; t < 2; t++) {
			double g = (double)gradients[t][i];
			double w = ftrl_weight(&s, alpha, beta, l1, l2);
			s.z += g - (sqrt(s.n + g * g) - sqrt(s.n)) / alpha * w;
			s.n += g * g;
		}
		assert_near((double)row[i], ftrl_weight(&s, alpha, beta, l1, l2), "w", i);
		assert_near((double)slots[i], s.z, "z", i);
		assert_near((double)slots[N + i], s.n, "n", i);
	}
}
END_TEST

START_TEST(ftrl_closed_form_gives_back_the_initial_row)
{
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_FTRL);
	config.l1 = 0.3f;
	config.l2 = 0.1f;
	const float zero[N] = {0.0f, 0.0f, 0.0f};
	float row[N], slots[2 * N];
	memcpy(row, start, sizeof(start));
	optimizer_init_slots(&config, row, slots, N, N);
	struct optimizer_step step = optimizer_prepare(&config, 1);
	optimizer_apply(&step, row, slots, N, zero, N);
	for (int i = 0; i < N; i++)
		assert_near((double)row[i], (double)start[i], "w", i);
}
END_TEST

START_TEST(ftrl_l1_makes_small_weights_exactly_zero)
{
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_FTRL);
	config.l1 = 1.0f;
	float row = 0.0f, slots[2];
	optimizer_init_slots(&config, &row, slots, 1, 1);
	const float small = 0.5f, large = 2.0f;
	struct optimizer_step step = optimizer_prepare(&config, 1);
	optimizer_apply(&step, &row, slots, 1, &small, 1);
	ck_assert(row == 0.0f);
	optimizer_apply(&step, &row, slots, 1, &large, 1);
	ck_assert(row < 0.0f);
}
END_TEST

/* Every optimizer, whole against odd pieces at odd alignments: the same bits. */
START_TEST(a_dense_vector_may_be_split_anywhere)
{
	enum { SIZE = 103 };
	for (unsigned int kind = 0; kind < OPTIMIZER_COUNT; kind++) {
		struct optimizer_config config = optimizer_defaults((enum optimizer_kind)kind);
		config = optimizer_for_dense(&config);
		float whole[SIZE], pieces[SIZE + 1], whole_slots[2 * SIZE], slots[2 * SIZE + 1];
		float gradient[SIZE + 1];
		for (int i = 0; i < SIZE; i++) {
			whole[i] = pieces[i + 1] = (float)(i * 37 % 101 - 50) * 0.013f;
			gradient[i + 1] = (float)(i * 53 % 97 - 48) * 0.0071f;
		}
		memset(whole_slots, 0, sizeof(whole_slots));
		memset(slots, 0, sizeof(slots));
		optimizer_init_slots(&config, whole, whole_slots, SIZE, SIZE);
		for (uint64_t t = 1; t <= 3; t++) {
			float copy[SIZE];
			memcpy(copy, gradient + 1, sizeof(copy));
			struct optimizer_step step = optimizer_prepare(&config, t);
			optimizer_apply(&step, whole, whole_slots, SIZE, copy, SIZE);
			for (size_t at = 0, n; at < SIZE; at += n) {
				n = 1 + at * 7 % 13;
				n = n < SIZE - at ? n : SIZE - at;
				if (t == 1)
					optimizer_init_slots(
						&config, pieces + 1 + at, slots + 1 + at, SIZE, n);
				optimizer_apply(&step, pieces + 1 + at, slots + 1 + at, SIZE,
					gradient + 1 + at, n);
			}
		}
		ck_assert_mem_eq(whole, pieces + 1, sizeof(whole));
		ck_assert_mem_eq(whole_slots, slots + 1, sizeof(whole_slots));
	}
}
END_TEST

START_TEST(names_and_choices_agree)
{
	char choices[200] = "";
	for (unsigned int kind = 0; kind < OPTIMIZER_COUNT; kind++) {
		const struct optimizer_info *info = optimizer_info((enum optimizer_kind)kind);
		enum optimizer_kind found;
		ck_assert(optimizer_find(info->name, &found));
		ck_assert_uint_eq(found, kind);
		strcat(choices, kind ? "|" : "");
		strcat(choices, info->name);
	}
	ck_assert_str_eq(choices, OPTIMIZER_CHOICES);
	enum optimizer_kind none;
	ck_assert(!optimizer_find("sgd ", &none));
	ck_assert_ptr_null(optimizer_info((enum optimizer_kind)OPTIMIZER_COUNT));
}
END_TEST

START_TEST(defaults_are_valid_and_bad_values_are_named)
{
	struct error err;
	for (unsigned int kind = 0; kind < OPTIMIZER_COUNT; kind++) {
		struct optimizer_config config = optimizer_defaults((enum optimizer_kind)kind);
		assert_ok(optimizer_config_validate(&config, &err), &err);
	}
	struct optimizer_config config = optimizer_defaults(OPTIMIZER_SGD);
	config.learning_rate = 0.0f;
	assert_fails(optimizer_config_validate(&config, &err), STATUS_INVALID_ARGUMENT, &err,
		"optimizer sgd: learning_rate is 0");
	config.learning_rate = NAN;
	assert_fails(optimizer_config_validate(&config, &err), STATUS_INVALID_ARGUMENT, &err,
		"learning_rate");
	config.learning_rate = INFINITY;
	assert_fails(optimizer_config_validate(&config, &err), STATUS_INVALID_ARGUMENT, &err,
		"learning_rate");
	config = optimizer_defaults(OPTIMIZER_ADAM);
	config.beta2 = 1.0f;
	assert_fails(optimizer_config_validate(&config, &err), STATUS_INVALID_ARGUMENT, &err,
		"beta2 is 1, expected at least 0 and below 1");
	config = optimizer_defaults(OPTIMIZER_ADAGRAD);
	config.epsilon = 0.0f;
	assert_fails(
		optimizer_config_validate(&config, &err), STATUS_INVALID_ARGUMENT, &err, "epsilon");
	config = optimizer_defaults(OPTIMIZER_FTRL);
	config.beta = 0.0f;
	assert_fails(optimizer_config_validate(&config, &err), STATUS_INVALID_ARGUMENT, &err,
		"beta and l2");
	config.l2 = -1.0f;
	assert_fails(optimizer_config_validate(&config, &err), STATUS_INVALID_ARGUMENT, &err,
		"l2 is -1");
	config = optimizer_defaults((enum optimizer_kind)77);
	assert_fails(
		optimizer_config_validate(&config, &err), STATUS_INVALID_ARGUMENT, &err, "kind 77");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {sgd_steps_against_the_gradient, momentum_is_the_heavy_ball,
		adagrad_divides_by_the_root_of_the_sum_of_squares,
		rowwise_adagrad_keeps_the_mean_of_squares_of_the_row,
		rowwise_adagrad_takes_the_mean_of_a_long_row, adam_corrects_the_bias_by_the_step,
		adam_of_a_late_first_gradient_uses_the_step_of_the_job,
		ftrl_follows_the_paper_from_its_initial_row,
		ftrl_closed_form_gives_back_the_initial_row,
		ftrl_l1_makes_small_weights_exactly_zero, a_dense_vector_may_be_split_anywhere,
		names_and_choices_agree, defaults_are_valid_and_bad_values_are_named, NULL};
	return run_cases("optimizer", cases);
}
