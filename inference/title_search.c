#include "inference/title_search.h"

#include <string.h>
#include <strings.h>

#define TEXT_SIZE 256

struct words {
	char text[TEXT_SIZE]; /* the words, each NUL-terminated */
	const char *words[TITLE_WORDS_MAX];
	size_t count;
};

static void split(struct words *words, const char *text)
{
	char *state = NULL;
	words->count = 0;
	strncpy(words->text, text ? text : "", TEXT_SIZE - 1);
	words->text[TEXT_SIZE - 1] = '\0';
	for (char *word = strtok_r(words->text, " \t\r\n", &state);
		word && words->count < TITLE_WORDS_MAX; word = strtok_r(NULL, " \t\r\n", &state))
		words->words[words->count++] = word;
}

static bool has_words(const char *title, const struct words *words)
{
	for (size_t w = 0; w < words->count; w++)
		if (!strcasestr(title, words->words[w]))
			return false;
	return true;
}

static bool starts_with(const char *title, const char *text)
{
	return strncasecmp(title, text, strlen(text)) == 0;
}

size_t title_search(const struct catalog *catalog, const char *text,
	const struct movie_filter *filter, uint32_t *movies, size_t capacity)
{
	struct words words;
	size_t found = 0;
	split(&words, text);
	/* Without words all start with it: one round. */
	for (int round = 0; round < (words.count > 0 ? 2 : 1); round++)
		for (uint32_t m = 0; m < catalog->movie_count; m++) {
			const char *title = catalog_title(catalog, m);
			if (words.count > 0 && (!has_words(title, &words) ||
						       starts_with(title, text) == (round == 1)))
				continue;
			if (!movie_filter_passes(filter, catalog, m))
				continue;
			if (found < capacity)
				movies[found] = m;
			found++;
		}
	return found;
}
