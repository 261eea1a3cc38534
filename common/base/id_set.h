/*
 * A small set of ids that numbers them in order of first appearance: the way a batch finds its
 * unique ids in linear time.
 *
 * Invariants: ids[0..count) are distinct; open addressing with linear probing at a load of at most
 * 1/2; a slot counts only if it carries the set's generation, so clearing is a step of the
 * generation. Of the slots that there are a round uses as many as the round before needed, so that
 * a set which once was large is quick to look through again when it is small.
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BASE_ID_SET_H
#define MARQUEE_BASE_ID_SET_H

#include "common/base/status.h"

#include <stdint.h>

struct id_set_slot {
	uint32_t generation;
	uint32_t position; /* in ids */
};

struct id_set {
	uint64_t *ids; /* [count], in order of first appearance */
	uint32_t count;
	uint32_t capacity;	   /* of ids */
	struct id_set_slot *slots; /* [2 * capacity] */
	uint32_t slot_mask;	   /* of those in use; a power of two less 1 */
	uint32_t generation;	   /* never 0, which is an untouched slot's */
};

/* A set of all zeros is not valid; init allocates for `capacity` ids and add grows it. */
MUST_CHECK enum status id_set_init(struct id_set *set, uint32_t capacity, struct error *err);
void id_set_fini(struct id_set *set);
void id_set_clear(struct id_set *set);
/* The id's position in set->ids; adds it when it is new. */
MUST_CHECK enum status id_set_add(
	struct id_set *set, uint64_t id, uint32_t *ret_position, struct error *err);
/* UINT32_MAX when absent. */
uint32_t id_set_find(const struct id_set *set, uint64_t id);

#endif
