/* Every gradient of the fusion model against central differences of its double-precision twin. */
#include "tests/common/model/fusion_reference.h"
#include "tests/support/suite.h"

#include <math.h>

/*
 * Differences of h = 1e-5 in double are exact to some 1e-9; single precision is what remains. A
 * gradient entry may be off by this much of the largest entry of its table or tensor.
 */
#define STEP	  1e-5
#define TOLERANCE 2e-5

#define SMALL                                                                                      \
	"\"user_dim\": 5, \"gender_dim\": 3, \"age_dim\": 4, \"occupation_dim\": 2,"               \
	"\"movie_dim\": 6, \"genre_dim\": 3, \"word_dim\": 4, \"user_fc\": 7, \"gender_fc\": 3,"   \
	"\"age_fc\": 2, \"occupation_fc\": 5, \"movie_fc\": 17, \"filters\": 5, \"hidden\": 19"

static double derivative(const struct fixture *fixture, double *parameter)
{
	double at = *parameter;
	*parameter = at + STEP;
	double above = reference_loss(&fixture->reference, &fixture->batch);
	*parameter = at - STEP;
	double below = reference_loss(&fixture->reference, &fixture->batch);
	*parameter = at;
	return (above - below) / (2 * STEP);
}

/* gradient[n] against differences in parameters[n], at up to some 60 places spread over them. */
static void check(const struct fixture *fixture, const char *name, const float *gradient,
	double *parameters, size_t n)
{
	double worst = 0, largest = 0;
	size_t stride = n / 60 + 1;
	/* An odd stride meets every column of a matrix with an even number of them. */
	stride += stride % 2 == 0;
	for (size_t i = 0; i < n; i += stride) {
		double expected = derivative(fixture, parameters + i);
		largest = fmax(largest, fabs(expected));
		worst = fmax(worst, fabs(expected - (double)gradient[i]));
	}
	ck_assert_msg(largest > 1e-4, "%s has no gradient to speak of: %g", name, largest);
	ck_assert_msg(worst <= TOLERANCE * largest, "%s: off by %g of %g", name, worst, largest);
}

static void check_model(const char *config)
{
	struct fixture fixture;
	struct error err;
	fixture_init(&fixture, &(struct fixture_options){config, 9, 16, 24, 5});
	assert_ok(model_train(fixture.workspace, &fixture.weights, fixture.rows, &err), &err);
	double loss = reference_loss(&fixture.reference, &fixture.batch);
	ck_assert_double_eq_tol(
		model_cost(fixture.workspace) * (double)fixture.batch.scale, loss, 1e-5 * loss);
	for (uint32_t i = 0; i < model_tensor_count(fixture.model); i++) {
		const struct model_tensor *tensor = model_tensor(fixture.model, i);
		check(&fixture, tensor->name,
			model_dense_gradient(fixture.workspace) + tensor->offset,
			fixture.reference.dense + tensor->offset,
			(size_t)tensor->rows * tensor->cols);
	}
	for (uint32_t t = 0; t < FIXTURE_TABLES; t++) {
		const struct model_table *table = model_table(fixture.model, t);
		const float *gradient = model_table_gradient(fixture.workspace, t);
		uint32_t count;
		const uint64_t *ids = model_plan_ids(fixture.workspace, t, &count);
		for (uint32_t j = 0; j < count; j++)
			check(&fixture, table->name, gradient + (size_t)j * table->dim,
				fixture.reference.tables[t] +
					fixture_row(fixture.model, t, ids[j]) * table->dim,
				table->dim);
	}
	fixture_fini(&fixture);
}

START_TEST(gradients_with_sum_pooling_and_windows_of_three)
{
	check_model("{" SMALL "}");
}
END_TEST

START_TEST(gradients_with_windows_of_one)
{
	check_model("{" SMALL ", \"filter_width\": 1}");
}
END_TEST

START_TEST(gradients_with_windows_of_two_look_ahead)
{
	check_model("{" SMALL ", \"filter_width\": 2}");
}
END_TEST

START_TEST(gradients_with_windows_of_five)
{
	check_model("{" SMALL ", \"filter_width\": 5}");
}
END_TEST

START_TEST(gradients_with_windows_longer_than_every_title)
{
	check_model("{" SMALL ", \"filter_width\": 20}");
}
END_TEST

START_TEST(gradients_with_max_pooling)
{
	check_model("{" SMALL ", \"pooling\": \"max\"}");
	check_model("{" SMALL ", \"pooling\": \"max\", \"filter_width\": 2}");
}
END_TEST

START_TEST(gradients_of_widths_that_fill_vectors)
{
	check_model("{\"user_fc\": 16, \"gender_fc\": 16, \"age_fc\": 16, \"filters\": 16,"
		    "\"occupation_fc\": 16, \"movie_fc\": 32, \"genre_dim\": 16, \"hidden\": 32,"
		    "\"user_dim\": 16, \"movie_dim\": 16, \"word_dim\": 16}");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {gradients_with_sum_pooling_and_windows_of_three,
		gradients_with_windows_of_one, gradients_with_windows_of_two_look_ahead,
		gradients_with_windows_of_five, gradients_with_windows_longer_than_every_title,
		gradients_with_max_pooling, gradients_of_widths_that_fill_vectors, NULL};
	return run_cases("fusion gradients", cases);
}
