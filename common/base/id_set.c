#include "common/base/id_set.h"

#include "common/base/hash.h"
#include "common/base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ID_SET_MAX (UINT32_MAX / 4)
#define SLOTS_MIN  32u

static enum status allocate(struct id_set *ret, uint32_t capacity, struct error *err)
{
	uint32_t slots = SLOTS_MIN;
	while (slots < capacity * 2)
		slots *= 2;
	struct id_set set = {.capacity = slots / 2, .slot_mask = slots - 1, .generation = 1};
	enum status status = memory_alloc(&set.ids, set.capacity, sizeof(*set.ids), "id set", err);
	if (status == STATUS_OK)
		status = memory_zalloc(&set.slots, slots, sizeof(*set.slots), "id set", err);
	if (status != STATUS_OK) {
		free(set.ids);
		return status;
	}
	*ret = set;
	return STATUS_OK;
}

enum status id_set_init(struct id_set *set, uint32_t capacity, struct error *err)
{
	if (capacity > ID_SET_MAX)
		return error_set(
			err, STATUS_RESOURCE_EXHAUSTED, "id set: %u ids are too many", capacity);
	return allocate(set, capacity, err);
}

void id_set_fini(struct id_set *set)
{
	free(set->ids);
	free(set->slots);
	*set = (struct id_set){0};
}

static bool is_used(const struct id_set *set, uint32_t slot)
{
	return set->slots[slot].generation == set->generation;
}

/* The id's slot, or the free one where it belongs. */
static uint32_t probe(const struct id_set *set, uint64_t id)
{
	uint32_t slot = (uint32_t)hash_u64(id) & set->slot_mask;
	while (is_used(set, slot) && set->ids[set->slots[slot].position] != id)
		slot = (slot + 1) & set->slot_mask;
	return slot;
}

static void occupy(struct id_set *set, uint32_t slot, uint32_t position)
{
	set->slots[slot] = (struct id_set_slot){set->generation, position};
}

static void next_generation(struct id_set *set)
{
	set->generation++;
	if (set->generation == 0) {
		/* Once in 2^32 rounds: slots of the first generation must not come alive again. */
		memset(set->slots, 0, 2 * (size_t)set->capacity * sizeof(*set->slots));
		set->generation = 1;
	}
}

void id_set_clear(struct id_set *set)
{
	uint32_t slots = SLOTS_MIN;
	while (slots < 2 * set->capacity && slots / 4 < set->count)
		slots *= 2;
	set->slot_mask = slots - 1;
	set->count = 0;
	next_generation(set);
}

/* Gives the ids their slots again; count is at most half of them. */
static void number_again(struct id_set *set)
{
	next_generation(set);
	for (uint32_t i = 0; i < set->count; i++)
		occupy(set, probe(set, set->ids[i]), i);
}

/* Twice the slots: more of those that there are, or new ones. */
static enum status grow(struct id_set *set, struct error *err)
{
	if (set->slot_mask / 2 + 1 < set->capacity) {
		set->slot_mask = 2 * set->slot_mask + 1;
		number_again(set);
		return STATUS_OK;
	}
	if (set->capacity > ID_SET_MAX)
		return error_set(
			err, STATUS_RESOURCE_EXHAUSTED, "id set: more than %u ids", set->count);
	struct id_set larger;
	enum status status = allocate(&larger, set->capacity * 2, err);
	if (status != STATUS_OK)
		return status;
	memcpy(larger.ids, set->ids, set->count * sizeof(*set->ids));
	larger.count = set->count;
	number_again(&larger);
	id_set_fini(set);
	*set = larger;
	return STATUS_OK;
}

enum status id_set_add(struct id_set *set, uint64_t id, uint32_t *ret_position, struct error *err)
{
	uint32_t slot = probe(set, id);
	if (is_used(set, slot)) {
		*ret_position = set->slots[slot].position;
		return STATUS_OK;
	}
	if (set->count == set->slot_mask / 2 + 1) {
		enum status status = grow(set, err);
		if (status != STATUS_OK)
			return status;
		slot = probe(set, id);
	}
	occupy(set, slot, set->count);
	*ret_position = set->count;
	set->ids[set->count++] = id;
	return STATUS_OK;
}

uint32_t id_set_find(const struct id_set *set, uint64_t id)
{
	uint32_t slot = probe(set, id);
	return is_used(set, slot) ? set->slots[slot].position : UINT32_MAX;
}
