/* Every table of kernels that this machine can run, against the reference, on odd shapes. */
#include "common/nn/kernels.h"

#include "common/base/random.h"
#include "common/nn/fc.h"
#include "common/nn/kernels_reference.h"
#include "common/nn/loss.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 40, ARRAY = 1 << 14 };

#define TOLERANCE 1e-5

/* Inputs, and the same outputs from the kernels and from the reference. */
struct bench {
	struct random_sequence random;
	float in[3][ARRAY];
	float fast[3][ARRAY], slow[3][ARRAY];
	uint32_t index[2][ARRAY];
	uint32_t fast_winners[ARRAY], slow_winners[ARRAY];
};

static struct bench *bench_new(uint64_t seed)
{
	struct bench *bench = malloc(sizeof(*bench));
	ck_assert_ptr_nonnull(bench);
	random_sequence_init(&bench->random, seed, random_stream("kernels"));
	return bench;
}

static size_t below(struct bench *bench, uint32_t bound)
{
	return random_below(&bench->random, bound);
}

/* Fresh numbers everywhere; garbage, the same in both, in the outputs. */
static void refill(struct bench *bench)
{
	static uint64_t round;
	round++;
	for (size_t i = 0; i < 3; i++) {
		random_uniform_row(round, i, 0, 2, bench->in[i], ARRAY);
		random_uniform_row(round, i, 1, 2, bench->fast[i], ARRAY);
		memcpy(bench->slow[i], bench->fast[i], sizeof(bench->slow[i]));
	}
}

static void random_index(struct bench *bench, uint32_t *index, size_t n, size_t bound)
{
	for (size_t i = 0; i < n; i++)
		index[i] = (uint32_t)below(bench, (uint32_t)bound);
}

/* A panel whose padding is 0. */
static void clear_padding(float *x, size_t rows, size_t columns, size_t stride)
{
	for (size_t r = 0; r < rows; r++)
		for (size_t c = columns; c < stride; c++)
			x[r * stride + c] = 0;
}

/*
 * The arrays agree: outputs as far as rounding goes, everything else untouched. (One assertion for
 * all: Check writes to a file at each.)
 */
static void check_within(
	const struct bench *bench, const char *name, const char *what, double tolerance)
{
	for (size_t a = 0; a < 3; a++)
		for (size_t i = 0; i < ARRAY; i++) {
			double slow = (double)bench->slow[a][i], fast = (double)bench->fast[a][i];
			if (!(fabs(slow - fast) <= tolerance * (1 + fabs(slow))))
				ck_abort_msg(
					"%s of %s: output %zu differs at %zu: %.9g, expected %.9g",
					what, name, a, i, fast, slow);
		}
}

static void check(const struct bench *bench, const struct nn_kernels *kernels, const char *what)
{
	check_within(bench, kernels->name, what, TOLERANCE);
}

/* Runs `body` with K and OUT set to the kernels, then to the reference, and compares. */
#define BOTH(what, body)                                                                           \
	do {                                                                                       \
		const struct nn_kernels *K = kernels;                                              \
		float(*OUT)[ARRAY] = b->fast;                                                      \
		body;                                                                              \
		K = &nn_kernels_reference;                                                         \
		OUT = b->slow;                                                                     \
		body;                                                                              \
		check(b, kernels, what);                                                           \
	} while (0)

typedef void kernel_case(struct bench *b, const struct nn_kernels *kernels);

/* Runs a case for every table of kernels over many random shapes. */
static void on_every_instruction_set(kernel_case *run)
{
	struct bench *bench = bench_new(1);
	for (const struct nn_kernels *const *each = nn_kernels_all(); *each; each++)
		for (int round = 0; round < ROUNDS && nn_kernels_runnable(*each); round++) {
			refill(bench);
			run(bench, *each);
		}
	free(bench);
}

static void gathers(struct bench *b, const struct nn_kernels *kernels)
{
	size_t rows = below(b, 30), source = 1 + below(b, 20), n = 1 + below(b, 70);
	size_t in_stride = n + below(b, 5), out_stride = n + below(b, 5);
	random_index(b, b->index[0], rows, source);
	BOTH("gather", K->gather(OUT[0], out_stride, b->in[0], in_stride, b->index[0], rows, n));
	BOTH("scatter_add",
		K->scatter_add(OUT[1], out_stride, b->in[0], in_stride, b->index[0], rows, n));
}

START_TEST(gather_and_scatter_add_match_the_reference)
{
	on_every_instruction_set(gathers);
}
END_TEST

/* Offsets of B bags with 0 to 4 items each; returns the number of items. */
static size_t random_offsets(struct bench *b, uint32_t *offsets, size_t bags)
{
	offsets[0] = 0;
	for (size_t i = 0; i < bags; i++)
		offsets[i + 1] = offsets[i] + (uint32_t)below(b, 5);
	return offsets[bags];
}

static void bags(struct bench *b, const struct nn_kernels *kernels)
{
	struct bag_batch batch = {.rows = below(b, 20),
		.columns = 1 + below(b, 70),
		.offsets = b->index[0],
		.values = b->index[1]};
	size_t source = 1 + below(b, 10), stride = panel_stride(batch.columns);
	random_index(b, b->index[1], random_offsets(b, b->index[0], batch.rows), source);
	clear_padding(b->in[0], source, batch.columns, stride);
	BOTH("bag_tanh", K->bag_tanh(OUT[0], b->in[0], b->in[1], &batch));
	BOTH("bag_tanh_backward", K->bag_tanh_backward(OUT[1], OUT[2], b->in[2], &batch));
}

START_TEST(sums_of_bags_through_tanh_match_the_reference)
{
	on_every_instruction_set(bags);
}
END_TEST

static void panels(struct bench *b, const struct nn_kernels *kernels)
{
	size_t rows = below(b, 30), n = 1 + below(b, 70), stride = panel_stride(n);
	BOTH("bias_add", K->bias_add(OUT[0], stride, b->in[0], rows, n));
	BOTH("column_sum", K->column_sum(OUT[2], b->in[0], stride, rows, n));
}

START_TEST(biases_and_column_sums_match_the_reference)
{
	on_every_instruction_set(panels);
}
END_TEST

/* Offsets of rows whose bags are empty. */
static const uint32_t no_bags[16];

START_TEST(tanh_is_right_at_its_ends)
{
	const float in[] = {0, 1e-30f, -1e-4f, 0.5f, -9, 100, -3e38f, INFINITY, -INFINITY};
	const float zero[16] = {0};
	const struct bag_batch batch = {
		.rows = 1, .columns = 9, .offsets = no_bags, .values = no_bags};
	for (const struct nn_kernels *const *each = nn_kernels_all(); *each; each++) {
		float x[16] = {0};
		if (!nn_kernels_runnable(*each))
			continue;
		memcpy(x, in, sizeof(in));
		(*each)->bag_tanh(x, zero, zero, &batch);
		for (size_t i = 0; i < 9; i++) {
			double expected = tanh((double)in[i]);
			ck_assert_double_eq_tol(
				(double)x[i], expected, 3e-7 * fabs(expected) + 1e-45);
		}
	}
}
END_TEST

static struct sequence_batch random_sequences(struct bench *b)
{
	struct sequence_batch batch = {.sequences = below(b, 12),
		.offsets = b->index[0],
		.items = b->index[1],
		.width = 1 + below(b, 7),
		.filters = 1 + below(b, 40)};
	batch.filter_stride = panel_stride(batch.filters);
	size_t items = random_offsets(b, b->index[0], batch.sequences);
	random_index(b, b->index[1], items, 1 + below(b, 9));
	return batch;
}

static void sums_over_time(struct bench *b, const struct nn_kernels *kernels)
{
	struct sequence_batch batch = random_sequences(b);
	size_t stride = batch.filters + below(b, 9);
	size_t n = batch.offsets[batch.sequences];
	BOTH("sequence_sum", K->sequence_sum(OUT[0], stride, OUT[1], b->in[0], b->in[1], &batch));
	memcpy(b->in[0], b->slow[1], n * batch.filter_stride * sizeof(float));
	/* What is in outputs 1 and 2 is added to, or overwritten. */
	clear_padding(b->fast[1], 10 * batch.width, batch.filters, batch.filter_stride);
	clear_padding(b->slow[1], 10 * batch.width, batch.filters, batch.filter_stride);
	BOTH("sequence_sum_backward",
		K->sequence_sum_backward(OUT[1], OUT[2], b->in[2], stride, b->in[0], &batch));
}

START_TEST(sequence_convolutions_summed_over_time_match_the_reference)
{
	on_every_instruction_set(sums_over_time);
}
END_TEST

static void maxima_over_time(struct bench *b, const struct nn_kernels *kernels)
{
	struct sequence_batch batch = random_sequences(b);
	size_t stride = batch.filters + below(b, 9);
	size_t n = batch.offsets[batch.sequences];
	BOTH("sequence_max",
		K->sequence_max(OUT[0], stride, K == kernels ? b->fast_winners : b->slow_winners,
			OUT[1], b->in[0], b->in[1], &batch));
	for (size_t s = 0; s < batch.sequences; s++)
		ck_assert_mem_eq(b->fast_winners + s * batch.filter_stride,
			b->slow_winners + s * batch.filter_stride,
			batch.filters * sizeof(uint32_t));
	memcpy(b->in[0], b->slow[1], n * batch.filter_stride * sizeof(float));
	BOTH("sequence_max_backward", K->sequence_max_backward(OUT[1], OUT[2], b->in[2], stride,
					      b->slow_winners, b->in[0], &batch));
}

START_TEST(sequence_convolutions_with_max_over_time_match_the_reference)
{
	on_every_instruction_set(maxima_over_time);
}
END_TEST

START_TEST(the_first_of_equal_maxima_wins)
{
	/* One word three times, windows of one: all positions are equal. */
	const uint32_t offsets[] = {0, 3}, items[] = {0, 0, 0};
	const struct sequence_batch batch = {1, offsets, items, 1, 16, 16};
	float projections[16], bias[16] = {0}, pooled[16], h[48], d_projections[16] = {0};
	float d_bias[16], ones[16];
	uint32_t winners[16];
	for (size_t f = 0; f < 16; f++) {
		projections[f] = (float)f / 16;
		ones[f] = 1;
	}
	nn_kernels()->sequence_max(pooled, 16, winners, h, projections, bias, &batch);
	nn_kernels()->sequence_max_backward(d_projections, d_bias, ones, 16, winners, h, &batch);
	for (size_t f = 0; f < 16; f++) {
		ck_assert_uint_eq(winners[f], 0);
		ck_assert_float_eq_tol(d_bias[f], 1 - pooled[f] * pooled[f], 1e-6f);
	}
}
END_TEST

static void cosines(struct bench *b, const struct nn_kernels *kernels)
{
	size_t n = 1 + below(b, 220), stride = panel_stride(n);
	struct pair_batch batch = {.pairs = below(b, 40),
		.x_index = b->index[0],
		.y_index = b->index[1],
		.x_rows = 1 + below(b, 9),
		.y_rows = 1 + below(b, 9),
		.stride = stride};
	random_index(b, b->index[0], batch.pairs, batch.x_rows);
	random_index(b, b->index[1], batch.pairs, batch.y_rows);
	clear_padding(b->in[0], batch.x_rows, n, stride);
	clear_padding(b->in[1], batch.y_rows, n, stride);
	/* A row below the floor of the norm. */
	for (size_t c = 0; c < n; c++)
		b->in[0][c] *= 1e-7f;
	float *x_inverse = b->in[2], *y_inverse = b->in[2] + 64, *z = b->in[2] + 128;
	float *dz = b->in[2] + 256;
	BOTH("inverse_norms", K->inverse_norms(OUT[0], b->in[0], stride, batch.x_rows));
	nn_kernels_reference.inverse_norms(x_inverse, b->in[0], stride, batch.x_rows);
	nn_kernels_reference.inverse_norms(y_inverse, b->in[1], stride, batch.y_rows);
	BOTH("cosine", K->cosine(OUT[0], b->in[0], b->in[1], x_inverse, y_inverse, &batch));
	memcpy(z, b->slow[0], batch.pairs * sizeof(float));
	/* Gradients of the tiny row are as large as its inverse. */
	for (size_t e = 0; e < batch.pairs; e++)
		dz[e] *= batch.x_index[e] == 0 ? 1e-3f : 1;
	float own[2][16];
	BOTH("cosine_backward", K->cosine_backward(OUT[0], OUT[1], own[0], own[1], dz, z, b->in[0],
					b->in[1], x_inverse, y_inverse, &batch));
	BOTH("dot", OUT[2][0] = K->dot(b->in[1], b->in[1], n));
}

START_TEST(cosines_match_the_reference)
{
	on_every_instruction_set(cosines);
}
END_TEST

START_TEST(every_instruction_set_gives_the_same_bits)
{
	const struct nn_kernels *const *all = nn_kernels_all();
	struct bench *b = bench_new(3);
	for (int round = 0; round < ROUNDS; round++) {
		refill(b);
		size_t n = 1 + below(b, 300);
		float best = nn_kernels()->dot(b->in[0], b->in[1], n);
		for (size_t i = 0; all[i]; i++) {
			if (!nn_kernels_runnable(all[i]))
				continue;
			float other = all[i]->dot(b->in[0], b->in[1], n);
			ck_assert_mem_eq(&other, &best, sizeof(best));
			memcpy(b->slow[i], b->in[2], sizeof(b->slow[i]));
			if (strcmp(all[i]->name, "baseline") == 0)
				continue;
			const struct bag_batch batch = {9, n, no_bags, no_bags};
			all[i]->bag_tanh(b->slow[i], b->in[1], b->in[0], &batch);
			ck_assert_mem_eq(b->slow[i], b->slow[0], 9 * panel_stride(n));
		}
	}
	free(b);
}
END_TEST

START_TEST(results_do_not_depend_on_where_arrays_lie)
{
	struct bench *b = bench_new(4);
	const struct nn_kernels *kernels = nn_kernels();
	for (size_t shift = 1; shift < 17; shift++) {
		size_t n = 1 + below(b, 100), rows = 7, stride = panel_stride(n);
		const struct fc_shape shape = {rows, stride, n, stride, stride};
		const struct bag_batch batch = {rows, n, no_bags, no_bags};
		refill(b);
		memcpy(b->in[2] + shift, b->in[0], rows * stride * sizeof(float));
		memset(b->fast, 0, sizeof(b->fast));
		fc_forward(b->fast[0], b->in[0], b->in[1], b->in[1], &shape);
		fc_forward(b->fast[1] + shift, b->in[2] + shift, b->in[1], b->in[1], &shape);
		ck_assert_mem_eq(b->fast[0], b->fast[1] + shift, rows * stride);
		kernels->bag_tanh(b->fast[0], b->in[1], b->in[0], &batch);
		kernels->bag_tanh(b->fast[1] + shift, b->in[1], b->in[2] + shift, &batch);
		ck_assert_mem_eq(b->fast[0], b->fast[1] + shift, rows * stride);
	}
	free(b);
}
END_TEST

/* A layer of this shape, its weights some columns of a larger matrix. */
static void check_fully_connected(struct bench *b, const struct fc_shape *shape)
{
	const float *in = b->in[0], *weight = b->in[1], *bias = b->in[2];
	float *packed = b->fast[1], *d_bias = b->fast[2] + ARRAY - 128;
	const size_t stride = panel_stride(shape->out);
	memset(packed, 0, shape->in * stride * sizeof(float));
	for (size_t o = 0; o < shape->out; o++)
		fc_pack_row(packed + o, stride, weight + o * shape->weight_stride, shape->in);
	fc_forward(b->fast[0], in, packed, bias, shape);
	fc_forward_reference(b->slow[0], in, weight, bias, shape);
	/* The padding of a panel's rows is 0. */
	clear_padding(b->slow[0], shape->rows, shape->out, stride);
	memcpy(b->slow[1], b->fast[1], sizeof(b->slow[1]));
	check_within(b, "OpenBLAS", "fully connected, forward", 5e-5);

	fc_forward_add(b->fast[0], in, packed, shape);
	for (size_t r = 0; r < shape->rows; r++)
		for (size_t o = 0; o < shape->out; o++)
			b->slow[0][r * stride + o] += b->slow[0][r * stride + o] - bias[o];
	check_within(b, "OpenBLAS", "fully connected, added", 5e-5);

	memcpy(b->slow[1], b->fast[1], sizeof(b->slow[1]));
	fc_backward(b->fast[1], b->fast[2], d_bias, bias, in, weight, shape);
	fc_backward_reference(
		b->slow[1], b->slow[2], b->slow[2] + ARRAY - 128, bias, in, weight, shape);
	check_within(b, "OpenBLAS", "fully connected, backward", 5e-5);
}

START_TEST(fully_connected_layers_match_the_reference)
{
	struct bench *b = bench_new(5);
	nn_init();
	for (int round = 0; round < 3 * ROUNDS; round++) {
		refill(b);
		struct fc_shape shape = {
			.rows = below(b, 40), .in = 1 + below(b, 100), .out = 1 + below(b, 100)};
		shape.in_stride = shape.in + below(b, 4);
		shape.weight_stride = shape.in + below(b, 40);
		check_fully_connected(b, &shape);
	}
	free(b);
}
END_TEST

START_TEST(dot_products_match_the_reference)
{
	struct bench *b = bench_new(8);
	nn_init();
	for (int round = 0; round < ROUNDS; round++) {
		refill(b);
		size_t rows = 1 + below(b, 40), n = 1 + below(b, 100), inner = 1 + below(b, 100);
		dot_products(b->fast[0], b->in[0], b->in[1], rows, n, inner);
		for (size_t r = 0; r < rows; r++)
			for (size_t o = 0; o < n; o++)
				b->slow[0][r * n + o] = nn_kernels_reference.dot(
					b->in[0] + r * inner, b->in[1] + o * inner, inner);
		check_within(b, "OpenBLAS", "dot products", 5e-5);
	}
	free(b);
}
END_TEST

START_TEST(products_that_are_cut_into_rows_match_the_reference)
{
	struct bench *b = bench_new(7);
	nn_init();
	/* On both sides of the million multiplications at which fc.c begins to cut. */
	for (size_t rows = 61; rows < 145; rows += 7) {
		refill(b);
		const struct fc_shape shape = {rows, 100, 98, 102, 103};
		check_fully_connected(b, &shape);
	}
	free(b);
}
END_TEST

START_TEST(the_squared_loss_matches_the_reference)
{
	struct bench *b = bench_new(6);
	refill(b);
	double fast = squared_loss(b->fast[0], b->in[0], b->in[1], 0.25f, 1001);
	double slow = squared_loss_reference(b->slow[0], b->in[0], b->in[1], 0.25f, 1001);
	ck_assert_double_eq_tol(fast, slow, 1e-6 * slow);
	check(b, nn_kernels(), "squared_loss");
	free(b);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {gather_and_scatter_add_match_the_reference,
		sums_of_bags_through_tanh_match_the_reference,
		biases_and_column_sums_match_the_reference, tanh_is_right_at_its_ends,
		sequence_convolutions_summed_over_time_match_the_reference,
		sequence_convolutions_with_max_over_time_match_the_reference,
		the_first_of_equal_maxima_wins, cosines_match_the_reference,
		every_instruction_set_gives_the_same_bits,
		results_do_not_depend_on_where_arrays_lie,
		fully_connected_layers_match_the_reference, dot_products_match_the_reference,
		products_that_are_cut_into_rows_match_the_reference,
		the_squared_loss_matches_the_reference, NULL};
	return run_cases("kernels", cases);
}
