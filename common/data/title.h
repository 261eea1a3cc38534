/*
 * The words of a movie's title: what stands before its "(year)", split on blanks, in lower case,
 * punctuation kept.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_DATA_TITLE_H
#define MARQUEE_DATA_TITLE_H

#include "common/base/status.h"
#include "common/data/lines.h"
#include "common/data/vocabulary.h"

#include <stdbool.h>
#include <stdint.h>

/* Of a title in ISO-8859-1: itself without blanks at its ends; and what stands before the year, all
 * of it when there is none. */
struct text title_trim(struct text title);
struct text title_without_year(struct text title);
/* Cuts the next word off; false when there is none. */
bool title_next_word(struct text *rest, struct text *ret_word);

/*
 * The numbers of the words of a title in UTF-8 among a sorted vocabulary, in the order of the
 * title; words that are not there are counted and left out. Writes to numbers[strlen(title)].
 */
MUST_CHECK enum status title_number_words(const char *title, const struct vocabulary *words,
	uint32_t *numbers, uint32_t *ret_count, uint32_t *ret_missing, struct error *err);

#endif
