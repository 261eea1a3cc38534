#include "common/data/synth_world.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The most frequent words are these, as in real titles; the rest is made of syllables. */
static const char *const small_words[] = {"the", "of", "a", "and", "in", "la", "my", "night",
	"love", "from", "no", "with", "man", "day", "for", "one", "last", "house", "dark", "two",
	"life", "city", "street", "story", "return", "black", "little", "river", "summer", "heart",
	"blue", "kingdom"};

#define SMALL_WORDS ((uint32_t)(sizeof(small_words) / sizeof(small_words[0])))
#define CONSONANTS  20u
#define VOWELS	    5u
#define SYLLABLES   (CONSONANTS * VOWELS)
/* Coprime to 10, so that multiplying by it permutes the numbers of any count of syllables. */
#define SCATTER UINT64_C(61803399)

const char *synth_genre_name(uint32_t genre)
{
	static const char *const names[SYNTH_GENRES] = {"Action", "Adventure", "Animation",
		"Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir",
		"Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"};
	return names[genre];
}

void synth_word(uint32_t number, char word[SYNTH_WORD_SIZE])
{
	static const char consonants[] = "bcdfghjklmnpqrstvwxz";
	static const char vowels[] = "aeiou";
	static const char accented[] = "\xe0\xe9\xed\xf6\xfc";
	if (number < SMALL_WORDS) {
		snprintf(word, SYNTH_WORD_SIZE, "%s", small_words[number]);
		return;
	}
	/* Three syllables for the first million, then four, ...: distinct by their length. */
	uint64_t rest = number - SMALL_WORDS;
	uint64_t range = (uint64_t)SYLLABLES * SYLLABLES * SYLLABLES;
	size_t syllables = 3;
	while (rest >= range) {
		rest -= range;
		range *= SYLLABLES;
		syllables++;
	}
	rest = rest * SCATTER % range;
	/* One word in sixteen ends in an accent, so that the files are not plain ASCII. */
	bool accent = number % 16 == 7;
	for (size_t i = 0; i < syllables; i++) {
		uint32_t syllable = (uint32_t)(rest % SYLLABLES);
		uint32_t vowel = syllable % VOWELS;
		rest /= SYLLABLES;
		word[2 * i] = consonants[syllable / VOWELS];
		word[2 * i + 1] = accent && i + 1 == syllables ? accented[vowel] : vowels[vowel];
	}
	word[2 * syllables] = '\0';
}
