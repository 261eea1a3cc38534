#include "pserver/sequence.h"

#include <string.h>

static uint64_t *word_of(struct sequence_window *window, uint64_t number)
{
	return &window->bits[number / 64 % SEQUENCE_WORDS];
}

static uint64_t bit_of(uint64_t number)
{
	return UINT64_C(1) << (number % 64);
}

enum sequence_verdict sequence_check(const struct sequence_window *window, uint64_t number)
{
	if (number > window->highest)
		return SEQUENCE_NEW;
	if (number == 0 || window->highest - number >= SEQUENCE_WINDOW)
		return SEQUENCE_OLD;
	return window->bits[number / 64 % SEQUENCE_WORDS] & bit_of(number) ? SEQUENCE_REPEAT
									   : SEQUENCE_NEW;
}

void sequence_accept(struct sequence_window *window, uint64_t number)
{
	if (number > window->highest) {
		uint64_t from = window->highest / 64;
		uint64_t to = number / 64;
		if (to - from >= SEQUENCE_WORDS)
			memset(window->bits, 0, sizeof(window->bits));
		else
			for (uint64_t word = from + 1; word <= to; word++)
				window->bits[word % SEQUENCE_WORDS] = 0;
		window->highest = number;
	}
	*word_of(window, number) |= bit_of(number);
}

void sequence_forget(struct sequence_window *window, uint64_t number)
{
	if (sequence_check(window, number) == SEQUENCE_REPEAT)
		*word_of(window, number) &= ~bit_of(number);
}
