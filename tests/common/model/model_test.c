/* What the model is made of: tables and dense tensors. */
#include "common/model/model.h"

#include "common/base/random.h"
#include "tests/support/suite.h"

#include <math.h>
#include <stdlib.h>

/* ml-1m: ids up to 6040 and 3952. */
static const struct model_sizes ml_1m = {6041, 2, 7, 21, 3953, 18, 5174};

static struct model *default_model(const struct model_sizes *sizes)
{
	struct error err;
	struct model_config config;
	struct model *model;
	model_config_init(&config);
	assert_ok(model_new(&model, &config, sizes, &err), &err);
	return model;
}

START_TEST(the_default_has_528064_parameters_on_ml_1m)
{
	struct model *model = default_model(&ml_1m);
	ck_assert_str_eq(model_name(model), "fusion");
	ck_assert_uint_eq(model_table_parameters(model), 486432);
	ck_assert_uint_eq(model_dense_parameters(model), 41632);
	ck_assert_uint_eq(model_vector_dim(model), 200);
	model_free(model);
}
END_TEST

START_TEST(tables_start_within_the_published_limits)
{
	static const struct {
		const char *name;
		uint32_t dim;
		double limit;
		bool has_unknown;
	} expected[] = {{"user", 32, .0314, true}, {"gender", 16, .5774, false},
		{"age", 16, .5108, false}, {"occupation", 16, .4027, false},
		{"movie", 32, .0388, true}, {"genre", 32, .3464, false},
		{"word", 32, .0340, false}};
	struct model *model = default_model(&ml_1m);
	ck_assert_uint_eq(model_table_count(model), 7);
	for (uint32_t t = 0; t < 7; t++) {
		const struct model_table *table = model_table(model, t);
		ck_assert_str_eq(table->name, expected[t].name);
		ck_assert_uint_eq(table->dim, expected[t].dim);
		ck_assert_double_eq_tol((double)table->init_limit, expected[t].limit, 1e-4);
		ck_assert_int_eq(table->has_unknown, expected[t].has_unknown);
	}
	model_free(model);
}
END_TEST

START_TEST(tensors_have_the_published_names_and_shapes)
{
	static const struct {
		const char *name;
		uint32_t rows, cols;
	} expected[] = {{"user_fc", 32, 32}, {"gender_fc", 16, 16}, {"age_fc", 16, 16},
		{"occupation_fc", 16, 16}, {"user_combined", 200, 80}, {"movie_fc", 32, 32},
		{"title_conv", 32, 96}, {"movie_combined", 200, 96}};
	struct model *model = default_model(&ml_1m);
	size_t end = 0;
	ck_assert_uint_eq(model_tensor_count(model), 16);
	for (uint32_t i = 0; i < 16; i++) {
		const struct model_tensor *tensor = model_tensor(model, i);
		bool bias = i % 2 == 1;
		char name[64];
		(void)snprintf(name, sizeof(name), "%s.%s", expected[i / 2].name,
			bias ? "bias" : "weight");
		ck_assert_str_eq(tensor->name, name);
		ck_assert_uint_eq(tensor->rank, bias ? 1 : 2);
		ck_assert_uint_eq(tensor->rows, expected[i / 2].rows);
		ck_assert_uint_eq(tensor->cols, bias ? 1 : expected[i / 2].cols);
		ck_assert_uint_eq(tensor->offset % 16, 0);
		ck_assert_uint_ge(tensor->offset, end);
		end = tensor->offset + (size_t)tensor->rows * tensor->cols;
	}
	ck_assert_uint_ge(model_dense_size(model), end);
	model_free(model);
}
END_TEST

START_TEST(dense_tensors_start_from_their_names_and_rows_alone)
{
	struct model *model = default_model(&ml_1m);
	float *dense = malloc(model_dense_size(model) * sizeof(*dense));
	ck_assert_ptr_nonnull(dense);
	model_dense_init(model, 11, dense);
	for (uint32_t i = 0; i < model_tensor_count(model); i++) {
		const struct model_tensor *tensor = model_tensor(model, i);
		float row[256] = {0};
		size_t last = tensor->rows - 1;
		float limit = (float)sqrt(6.0 / (tensor->rows + tensor->cols));
		if (tensor->rank == 2)
			random_uniform_row(
				11, random_stream(tensor->name), last, limit, row, tensor->cols);
		ck_assert_mem_eq(dense + tensor->offset + last * tensor->cols, row,
			tensor->cols * sizeof(float));
	}
	free(dense);
	model_free(model);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {the_default_has_528064_parameters_on_ml_1m,
		tables_start_within_the_published_limits,
		tensors_have_the_published_names_and_shapes,
		dense_tensors_start_from_their_names_and_rows_alone, NULL};
	return run_cases("model", cases);
}
