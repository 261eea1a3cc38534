#include "common/data/alias.h"

#include "common/base/memory.h"

#include <stdlib.h>

enum status alias_init(struct alias *ret, const double *weights, uint32_t count, struct error *err)
{
	struct alias made = {.count = count};
	double *share = NULL;	/* of a cell, 1 on average */
	uint32_t *stack = NULL; /* cells below 1 from the front, the others from the back */
	enum status status = memory_alloc(&made.cells, count, sizeof(*made.cells), "alias", err);
	if (status == STATUS_OK)
		status = memory_alloc(&share, count, sizeof(*share), "alias", err);
	if (status == STATUS_OK)
		status = memory_alloc(&stack, count, sizeof(*stack), "alias", err);
	if (status != STATUS_OK)
		goto cleanup;
	double sum = 0.0;
	for (uint32_t i = 0; i < count; i++)
		sum += weights[i];
	uint32_t small = 0, large = count;
	for (uint32_t i = 0; i < count; i++) {
		share[i] = weights[i] * (double)count / sum;
		stack[share[i] < 1.0 ? small++ : --large] = i;
	}
	while (small > 0 && large < count) {
		uint32_t low = stack[--small];
		uint32_t high = stack[large];
		made.cells[low] = (struct alias_cell){
			.threshold = (uint32_t)(share[low] * 0x1p32), .other = high};
		share[high] -= 1.0 - share[low];
		if (share[high] < 1.0) {
			large++;
			stack[small++] = high;
		}
	}
	/* What is left has share 1, but for rounding. */
	while (small > 0) {
		uint32_t cell = stack[--small];
		made.cells[cell] = (struct alias_cell){.threshold = UINT32_MAX, .other = cell};
	}
	for (; large < count; large++)
		made.cells[stack[large]] =
			(struct alias_cell){.threshold = UINT32_MAX, .other = stack[large]};
	*ret = made;
	made = (struct alias){0};
cleanup:
	free(share);
	free(stack);
	alias_fini(&made);
	return status;
}

void alias_fini(struct alias *alias)
{
	free(alias->cells);
	*alias = (struct alias){0};
}
