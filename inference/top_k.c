#include "inference/top_k.h"

#include "common/base/memory.h"

#include <stdbool.h>
#include <stdlib.h>

static bool better(const struct scored *a, const struct scored *b)
{
	return a->score != b->score ? a->score > b->score : a->item < b->item;
}

enum status top_k_init(struct top_k *top, size_t capacity, struct error *err)
{
	struct scored *entries;
	enum status status = memory_alloc(&entries, capacity, sizeof(*entries), "top k", err);
	if (status == STATUS_OK)
		*top = (struct top_k){.entries = entries, .capacity = capacity};
	return status;
}

void top_k_fini(struct top_k *top)
{
	free(top->entries);
	*top = (struct top_k){0};
}

static void sift_up(struct scored *heap, size_t at)
{
	const struct scored moved = heap[at];
	while (at > 0 && better(&heap[(at - 1) / 2], &moved)) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = moved;
}

static void sift_down(struct scored *heap, size_t count)
{
	const struct scored moved = heap[0];
	size_t at = 0;
	for (size_t child = 1; child < count; child = 2 * at + 1) {
		if (child + 1 < count && better(&heap[child], &heap[child + 1]))
			child++;
		if (!better(&moved, &heap[child]))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = moved;
}

void top_k_add(struct top_k *top, float score, uint32_t item)
{
	const struct scored entry = {.score = score, .item = item};
	if (top->count < top->capacity) {
		top->entries[top->count] = entry;
		sift_up(top->entries, top->count++);
	} else if (top->capacity > 0 && better(&entry, &top->entries[0])) {
		top->entries[0] = entry;
		sift_down(top->entries, top->count);
	}
}

static int compare(const void *a, const void *b)
{
	return better(a, b) ? -1 : better(b, a);
}

void top_k_sort(struct top_k *top)
{
	qsort(top->entries, top->count, sizeof(*top->entries), compare);
}
