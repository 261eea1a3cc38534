/*
 * Vocabularies: distinct words, numbered.
 *
 * Invariants: entry i is NUL-terminated UTF-8 at text + offsets[i]; offsets ascend and
 * offsets[count] is the size of text. The vocabularies of genres and words are sorted bytewise, so
 * that the same data gives the same numbers everywhere.
 * Threads: a vocabulary is immutable after init; a builder is owner-thread only.
 */
#ifndef MARQUEE_DATA_VOCABULARY_H
#define MARQUEE_DATA_VOCABULARY_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* All zeros is the empty vocabulary. Both arrays are for free(). */
struct vocabulary {
	uint32_t count;
	uint32_t *offsets; /* [count + 1] */
	char *text;	   /* [offsets[count]] */
};

/* Takes NULL arrays. */
void vocabulary_fini(struct vocabulary *vocabulary);

/* Entry i < count; borrowed. */
static inline const char *vocabulary_entry(const struct vocabulary *vocabulary, uint32_t i)
{
	return vocabulary->text + vocabulary->offsets[i];
}

/* The number of a NUL-terminated word, UINT32_MAX when absent. Compares bytes; any order. */
uint32_t vocabulary_find(const struct vocabulary *vocabulary, const char *word);
/* The same in a vocabulary that is sorted bytewise, in logarithmic time. */
uint32_t vocabulary_find_sorted(const struct vocabulary *vocabulary, const char *word);

/* A vocabulary with copies of words[count], in the order given. */
MUST_CHECK enum status vocabulary_from_words(
	struct vocabulary *ret, const char *const *words, uint32_t count, struct error *err);

/* Collects words and numbers them in order of first appearance. */
struct vocabulary_builder {
	struct vocabulary words; /* in order of first appearance */
	size_t offset_capacity, text_capacity;
	uint32_t *slots; /* [slot_mask + 1]: number plus one, 0 empty; at most half full */
	uint32_t slot_mask;
};

MUST_CHECK enum status vocabulary_builder_init(
	struct vocabulary_builder *builder, struct error *err);
/* Takes all zeros. */
void vocabulary_builder_fini(struct vocabulary_builder *builder);
/* The provisional number of word[size], which has no zero byte in it. Copies the word. */
MUST_CHECK enum status vocabulary_builder_add(struct vocabulary_builder *builder, const char *word,
	size_t size, uint32_t *ret_number, struct error *err);
/*
 * Sorts the words bytewise into *ret, and returns in *ret_ranks (owned, for free()) the final
 * number of each provisional one. The builder keeps its words.
 */
MUST_CHECK enum status vocabulary_builder_sort(const struct vocabulary_builder *builder,
	struct vocabulary *ret, uint32_t **ret_ranks, struct error *err);

#endif
