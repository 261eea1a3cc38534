/* The error on the held-out ratings: every lane scores its own block, in chunks. */
#include "worker/trainer_internal.h"

#include <math.h>

static enum status load_chunk(struct trainer *trainer, struct lane *lane,
	struct lane_outcome *outcome, uint64_t begin, struct error *err)
{
	(void)outcome;
	return lane_load_test(lane, trainer->turn, begin, TEST_CHUNK, err);
}

static enum status score_chunk(struct trainer *trainer, struct lane *lane,
	struct lane_outcome *outcome, uint64_t begin, struct error *err)
{
	(void)begin;
	float scores[TEST_CHUNK];
	const struct lane_batch *batch = &lane->batches[trainer->turn];
	struct model_rows rows[MODEL_TABLES_MAX];
	trainer_lane_rows(trainer, &trainer->spans[trainer->turn], lane, rows);
	const struct model_weights weights = dense_weights(&trainer->dense);
	enum status status = model_score(batch->workspace, &weights, rows, scores, err);
	for (uint32_t i = 0; i < batch->examples.example_count && status == STATUS_OK; i++) {
		/* Labels are 2 * stars - 5: an error in stars is half of one in labels. */
		double error = 0.5 * ((double)scores[i] - (double)batch->labels[i]);
		outcome->squared_error += error * error;
		outcome->absolute_error += fabs(error);
	}
	return status;
}

/* Sums one member of the outcomes over all lanes of all workers. */
static enum status sum_over_lanes(
	struct trainer *trainer, size_t member_offset, double *ret_sum, struct error *err)
{
	double values[LANES_MAX] = {0};
	for (uint32_t i = 0; i < trainer->block.count; i++)
		values[trainer->block.first + i] =
			*(const double *)((const char *)&trainer->outcomes[i] + member_offset);
	return comm_lane_sum(trainer->comm, values, (uint32_t)trainer->options.lanes, ret_sum, err);
}

enum status trainer_evaluate(
	struct trainer *trainer, double *ret_rmse, double *ret_mae, struct error *err)
{
	const struct dataset *dataset = &trainer->dataset;
	*ret_rmse = *ret_mae = NAN;
	if (dataset->test_count == 0)
		return STATUS_OK;
	enum status status = trainer_download_dense(trainer, err);
	uint64_t longest = 0;
	for (uint32_t i = 0; i < trainer->block.count; i++) {
		trainer->outcomes[i].squared_error = trainer->outcomes[i].absolute_error = 0;
		if (trainer->lanes[i].test.count > longest)
			longest = trainer->lanes[i].test.count;
	}
	struct spans *spans = &trainer->spans[trainer->turn];
	for (uint64_t begin = 0; begin < longest && status == STATUS_OK; begin += TEST_CHUNK) {
		const struct lane_pass load = {load_chunk, begin}, score = {score_chunk, begin};
		status = trainer_each_lane(trainer, &load, 1, err);
		if (status == STATUS_OK)
			status = trainer_pull(trainer, spans, err);
		if (status == STATUS_OK)
			status = trainer_each_lane(trainer, &score, 1, err);
	}
	double squared, absolute;
	if (status == STATUS_OK)
		status = sum_over_lanes(
			trainer, offsetof(struct lane_outcome, squared_error), &squared, err);
	if (status == STATUS_OK)
		status = sum_over_lanes(
			trainer, offsetof(struct lane_outcome, absolute_error), &absolute, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "evaluation after step %llu",
			(unsigned long long)trainer->step);
	*ret_rmse = sqrt(squared / (double)dataset->test_count);
	*ret_mae = absolute / (double)dataset->test_count;
	return STATUS_OK;
}
