#include "common/data/title.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct text title_trim(struct text title)
{
	while (title.size > 0 && latin1_is_blank(title.bytes[title.size - 1]))
		title.size--;
	while (title.size > 0 && latin1_is_blank(title.bytes[0])) {
		title.bytes++;
		title.size--;
	}
	return title;
}

/* Group 1 of ^(.*)\((\d+)\)$. */
struct text title_without_year(struct text title)
{
	size_t end = title.size;
	if (end == 0 || title.bytes[end - 1] != ')')
		return title;
	size_t first = end - 1;
	while (first > 0 && title.bytes[first - 1] >= '0' && title.bytes[first - 1] <= '9')
		first--;
	if (first == end - 1 || first == 0 || title.bytes[first - 1] != '(')
		return title;
	return (struct text){.bytes = title.bytes, .size = first - 1};
}

bool title_next_word(struct text *rest, struct text *ret_word)
{
	while (rest->size > 0 && latin1_is_blank(rest->bytes[0])) {
		rest->bytes++;
		rest->size--;
	}
	struct text word = {.bytes = rest->bytes};
	while (rest->size > 0 && !latin1_is_blank(rest->bytes[0])) {
		word.size++;
		rest->bytes++;
		rest->size--;
	}
	*ret_word = word;
	return word.size > 0;
}

/* The number of a word in ISO-8859-1; `scratch` has room for it in UTF-8. */
static uint32_t number_of(struct text word, const struct vocabulary *words, char *scratch)
{
	if (memchr(word.bytes, '\0', word.size))
		return UINT32_MAX;
	scratch[latin1_to_utf8_lower(word, scratch)] = '\0';
	return vocabulary_find_sorted(words, scratch);
}

enum status title_number_words(const char *title, const struct vocabulary *words, uint32_t *numbers,
	uint32_t *ret_count, uint32_t *ret_missing, struct error *err)
{
	const size_t size = strlen(title);
	unsigned char *bytes;
	uint32_t count = 0, missing = 0;
	/* The title, and behind it one word. */
	enum status status = memory_alloc(&bytes, 3 * size + 1, 1, "title", err);
	if (status != STATUS_OK)
		return status;
	/* Vocabularies are of ISO-8859-1: a word with any other character is in none. */
	struct text rest = {.bytes = bytes, .size = utf8_to_latin1(title, '\0', bytes)}, word;
	rest = title_without_year(title_trim(rest));
	while (title_next_word(&rest, &word)) {
		const uint32_t number = number_of(word, words, (char *)bytes + size);
		if (number == UINT32_MAX)
			missing++;
		else
			numbers[count++] = number;
	}
	free(bytes);
	*ret_count = count;
	*ret_missing = missing;
	return STATUS_OK;
}
