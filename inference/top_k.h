/*
 * The exact k best of a stream of scored items: a bounded heap.
 *
 * Order: higher score first, ties by the smaller item. Scores must be numbers, not NAN.
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_INFERENCE_TOP_K_H
#define MARQUEE_INFERENCE_TOP_K_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

struct scored {
	float score;
	uint32_t item;
};

/* Invariant: entries[0..count) is a heap with the worst entry on top, until top_k_sort. */
struct top_k {
	struct scored *entries; /* [capacity], owned */
	size_t count, capacity;
};

/* capacity 0 keeps nothing. */
MUST_CHECK enum status top_k_init(struct top_k *top, size_t capacity, struct error *err);
/* Takes a zeroed struct. */
void top_k_fini(struct top_k *top);
void top_k_add(struct top_k *top, float score, uint32_t item);
/* Puts the entries in order, best first; nothing may be added afterwards. */
void top_k_sort(struct top_k *top);

#endif
