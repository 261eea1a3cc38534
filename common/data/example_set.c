#include "common/data/example_set.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

void example_set_fini(struct example_set *set)
{
	free(set->before);
	*set = (struct example_set){0};
}

/* The user of the rating before, hashed. */
struct memo {
	uint32_t user; /* UINT32_MAX: none yet */
	uint64_t hash;
};

static inline bool has(
	const struct example_set *set, const struct rating *rating, struct memo *memo)
{
	if (set->rule == EXAMPLES_ALL)
		return true;
	if (rating->user != memo->user) {
		memo->user = rating->user;
		memo->hash = split_user(&set->split, set->user_ids[rating->user]);
	}
	bool held_out = split_holds_out(&set->split, memo->hash, set->movie_ids[rating->movie]);
	return held_out == (set->rule == EXAMPLES_HELD_OUT);
}

enum status example_set_begin(struct example_set *set, const struct ratings_file *file,
	const struct catalog *catalog, struct error *err)
{
	free(set->before);
	set->before = NULL;
	set->file = file;
	set->user_ids = catalog->user_ids;
	set->movie_ids = catalog->movie_ids;
	return memory_zalloc(&set->before, (size_t)file->block_count + 1, sizeof(*set->before),
		"example counts", err);
}

/* Until the end, before[] has the number of each block itself, one place further. */
void example_set_count(
	struct example_set *set, uint64_t block, const struct rating *ratings, size_t count)
{
	struct memo memo = {.user = UINT32_MAX};
	uint64_t found = 0;
	for (size_t i = 0; i < count; i++)
		found += has(set, &ratings[i], &memo);
	set->before[block + 1] = found;
}

void example_set_end(struct example_set *set)
{
	for (uint64_t block = 0; block < set->file->block_count; block++)
		set->before[block + 1] += set->before[block];
}

enum status example_set_complement(
	struct example_set *set, const struct example_set *other, struct error *err)
{
	const uint64_t blocks = other->file->block_count;
	*set = *other;
	set->rule = other->rule == EXAMPLES_HELD_OUT ? EXAMPLES_NOT_HELD_OUT : EXAMPLES_HELD_OUT;
	set->before = NULL;
	enum status status = memory_alloc(
		&set->before, (size_t)blocks + 1, sizeof(*set->before), "example counts", err);
	for (uint64_t block = 0; block <= blocks && status == STATUS_OK; block++) {
		uint64_t ratings = block < blocks ? block * RATINGS_BLOCK : other->file->count;
		set->before[block] = ratings - other->before[block];
	}
	return status;
}

uint64_t example_set_block(const struct example_set *set, uint64_t position)
{
	/* before[low] <= position < before[high] */
	uint64_t low = 0, high = set->file->block_count;
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;
		if (set->before[middle] <= position)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Leaves the set's examples at the front; returns how many. Without branches: chance rules here. */
static size_t keep(const struct example_set *set, struct rating *ratings, size_t count)
{
	struct memo memo = {.user = UINT32_MAX};
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		const struct rating rating = ratings[i];
		ratings[kept] = rating;
		kept += has(set, &rating, &memo);
	}
	return kept;
}

enum status example_set_read(const struct example_set *set, uint64_t first, uint64_t count,
	struct rating *examples, struct rating *scratch, struct error *err)
{
	uint64_t done = 0;
	for (uint64_t block = count ? example_set_block(set, first) : 0; done < count; block++) {
		size_t read;
		enum status status = ratings_file_read(set->file, block, scratch, &read, err);
		if (status != STATUS_OK)
			return status;
		const uint64_t skipped = first + done - set->before[block];
		uint64_t some = keep(set, scratch, read) - skipped;
		some = some < count - done ? some : count - done;
		memcpy(examples + done, scratch + skipped, some * sizeof(*examples));
		done += some;
	}
	return STATUS_OK;
}
