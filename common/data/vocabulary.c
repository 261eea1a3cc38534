#include "common/data/vocabulary.h"

#include "common/base/hash.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 1024u
#define WORDS_MAX   (UINT32_MAX / 4)

void vocabulary_fini(struct vocabulary *vocabulary)
{
	free(vocabulary->offsets);
	free(vocabulary->text);
	*vocabulary = (struct vocabulary){0};
}

uint32_t vocabulary_find(const struct vocabulary *vocabulary, const char *word)
{
	for (uint32_t i = 0; i < vocabulary->count; i++)
		if (strcmp(vocabulary_entry(vocabulary, i), word) == 0)
			return i;
	return UINT32_MAX;
}

uint32_t vocabulary_find_sorted(const struct vocabulary *vocabulary, const char *word)
{
	for (uint32_t first = 0, end = vocabulary->count; first < end;) {
		const uint32_t middle = first + (end - first) / 2;
		const int order = strcmp(word, vocabulary_entry(vocabulary, middle));
		if (order == 0)
			return middle;
		if (order < 0)
			end = middle;
		else
			first = middle + 1;
	}
	return UINT32_MAX;
}

enum status vocabulary_from_words(
	struct vocabulary *ret, const char *const *words, uint32_t count, struct error *err)
{
	struct vocabulary made = {.count = count};
	size_t bytes = 0;
	for (uint32_t i = 0; i < count; i++)
		bytes += strlen(words[i]) + 1;
	if (bytes > UINT32_MAX)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "vocabulary: more than 4 GiB");
	enum status status = memory_alloc(
		&made.offsets, (size_t)count + 1, sizeof(*made.offsets), "vocabulary", err);
	if (status == STATUS_OK)
		status = memory_alloc(&made.text, bytes, 1, "vocabulary", err);
	if (status != STATUS_OK) {
		vocabulary_fini(&made);
		return status;
	}
	uint32_t used = 0;
	for (uint32_t i = 0; i < count; i++) {
		size_t size = strlen(words[i]) + 1;
		made.offsets[i] = used;
		memcpy(made.text + used, words[i], size);
		used += (uint32_t)size;
	}
	made.offsets[count] = used;
	*ret = made;
	return STATUS_OK;
}

enum status vocabulary_builder_init(struct vocabulary_builder *builder, struct error *err)
{
	struct vocabulary_builder made = {.slot_mask = FIRST_SLOTS - 1};
	enum status status = memory_grow(&made.words.offsets, &made.offset_capacity, 1,
		sizeof(*made.words.offsets), "vocabulary", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&made.slots, FIRST_SLOTS, sizeof(*made.slots), "vocabulary", err);
	if (status != STATUS_OK) {
		vocabulary_builder_fini(&made);
		return status;
	}
	made.words.offsets[0] = 0;
	*builder = made;
	return STATUS_OK;
}

void vocabulary_builder_fini(struct vocabulary_builder *builder)
{
	vocabulary_fini(&builder->words);
	free(builder->slots);
	*builder = (struct vocabulary_builder){0};
}

static size_t word_size(const struct vocabulary *words, uint32_t number)
{
	return words->offsets[number + 1] - words->offsets[number] - 1;
}

/* The slot that holds the word, or the empty one where it belongs. */
static uint32_t probe(const struct vocabulary_builder *builder, const char *word, size_t size)
{
	const struct vocabulary *words = &builder->words;
	uint32_t slot = (uint32_t)hash_bytes(word, size, 0) & builder->slot_mask;
	while (builder->slots[slot]) {
		uint32_t number = builder->slots[slot] - 1;
		if (word_size(words, number) == size &&
			memcmp(vocabulary_entry(words, number), word, size) == 0)
			break;
		slot = (slot + 1) & builder->slot_mask;
	}
	return slot;
}

static enum status double_slots(struct vocabulary_builder *builder, struct error *err)
{
	struct vocabulary_builder grown = *builder;
	grown.slot_mask = builder->slot_mask * 2 + 1;
	enum status status = memory_zalloc(
		&grown.slots, (size_t)grown.slot_mask + 1, sizeof(*grown.slots), "vocabulary", err);
	if (status != STATUS_OK)
		return status;
	const struct vocabulary *words = &builder->words;
	for (uint32_t i = 0; i < words->count; i++)
		grown.slots[probe(&grown, vocabulary_entry(words, i), word_size(words, i))] = i + 1;
	free(builder->slots);
	*builder = grown;
	return STATUS_OK;
}

enum status vocabulary_builder_add(struct vocabulary_builder *builder, const char *word,
	size_t size, uint32_t *ret_number, struct error *err)
{
	struct vocabulary *words = &builder->words;
	uint32_t slot = probe(builder, word, size);
	if (builder->slots[slot]) {
		*ret_number = builder->slots[slot] - 1;
		return STATUS_OK;
	}
	size_t used = words->offsets[words->count];
	if (words->count >= WORDS_MAX || size >= UINT32_MAX - used)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "vocabulary: too many words");
	enum status status = memory_grow(&words->offsets, &builder->offset_capacity,
		(size_t)words->count + 2, sizeof(*words->offsets), "vocabulary", err);
	if (status == STATUS_OK)
		status = memory_grow(&words->text, &builder->text_capacity, used + size + 1, 1,
			"vocabulary", err);
	if (status == STATUS_OK && (words->count + 1) * 2 > builder->slot_mask) {
		status = double_slots(builder, err);
		slot = probe(builder, word, size);
	}
	if (status != STATUS_OK)
		return status;
	memcpy(words->text + used, word, size);
	words->text[used + size] = '\0';
	words->offsets[words->count + 1] = (uint32_t)(used + size + 1);
	builder->slots[slot] = ++words->count;
	*ret_number = words->count - 1;
	return STATUS_OK;
}

static int compare_words(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

enum status vocabulary_builder_sort(const struct vocabulary_builder *builder,
	struct vocabulary *ret, uint32_t **ret_ranks, struct error *err)
{
	const struct vocabulary *words = &builder->words;
	const char **sorted = NULL;
	uint32_t *ranks = NULL;
	enum status status =
		memory_alloc(&sorted, words->count, sizeof(*sorted), "vocabulary", err);
	if (status == STATUS_OK)
		status = memory_alloc(&ranks, words->count, sizeof(*ranks), "vocabulary", err);
	if (status != STATUS_OK)
		goto cleanup;
	for (uint32_t i = 0; i < words->count; i++)
		sorted[i] = vocabulary_entry(words, i);
	if (words->count > 0)
		qsort(sorted, words->count, sizeof(*sorted), compare_words);
	for (uint32_t i = 0; i < words->count; i++) {
		uint32_t slot = probe(builder, sorted[i], strlen(sorted[i]));
		ranks[builder->slots[slot] - 1] = i;
	}
	status = vocabulary_from_words(ret, sorted, words->count, err);
	if (status != STATUS_OK)
		goto cleanup;
	*ret_ranks = ranks;
	ranks = NULL;
cleanup:
	free(ranks);
	free(sorted);
	return status;
}
