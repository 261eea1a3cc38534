/*
 * A line of ratings that looks as nearly all do, parsed eight bytes at a time (ratings_text.c).
 *
 * Up to FAST_LINE_PAD bytes behind a line's feed are looked at, and mean nothing.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_DATA_FAST_LINE_H
#define MARQUEE_DATA_FAST_LINE_H

#include "common/data/catalog.h"
#include "common/data/ratings.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define FAST_LINE_PAD ((size_t)32)

static inline uint64_t fast_load(const unsigned char *at)
{
	uint64_t bytes;
	memcpy(&bytes, at, sizeof(bytes));
	return le64toh(bytes);
}

/*
 * How many of 8 characters, the first in the lowest byte, are digits before the first that is none.
 * A byte of `distance` is 0..9 for a digit, and 0x76 more has the high bit set for any other. The
 * carry of a byte beyond 0x89 reaches only those behind it, which do not matter.
 */
static inline unsigned int fast_digits(uint64_t distance)
{
	uint64_t others = ((distance + UINT64_C(0x7676767676767676)) | distance) &
			  UINT64_C(0x8080808080808080);
	return others ? (unsigned int)__builtin_ctzll(others) / 8 : 8;
}

/* A number of 1 to 8 digits; false when there are none. Those of more are left half read. */
static inline bool fast_number(const unsigned char **at, uint64_t *ret)
{
	uint64_t digits = fast_load(*at) ^ UINT64_C(0x3030303030303030);
	unsigned int count = fast_digits(digits);
	if (count == 0)
		return false;
	/* Zeros in front, then neighbours to pairs, pairs to fours, fours to the number. */
	digits <<= 64 - 8 * count;
	digits = (digits * 10 + (digits >> 8)) & UINT64_C(0x00FF00FF00FF00FF);
	digits = (digits * 100 + (digits >> 16)) & UINT64_C(0x0000FFFF0000FFFF);
	*ret = (digits * 10000 + (digits >> 32)) & UINT64_C(0xFFFFFFFF);
	*at += count;
	return true;
}

static inline bool fast_separator(const unsigned char **at, bool tabs)
{
	if (tabs ? (*at)[0] != '\t' : ((*at)[0] != ':' || (*at)[1] != ':'))
		return false;
	*at += tabs ? 1 : 2;
	return true;
}

/* 1 to 15 digits, up to the line feed. */
static inline bool fast_time(const unsigned char *at, const unsigned char *feed)
{
	unsigned int count = fast_digits(fast_load(at) ^ UINT64_C(0x3030303030303030));
	if (count == 8)
		count += fast_digits(fast_load(at + 8) ^ UINT64_C(0x3030303030303030));
	feed -= feed[-1] == '\r';
	return count > 0 && at + count == feed;
}

/* The first line feed at `at` or behind it; there is one. */
static inline const unsigned char *fast_feed(const unsigned char *at)
{
#if defined(__SSE2__)
	const __m128i feeds = _mm_set1_epi8('\n');
	__m128i low = _mm_loadu_si128((const __m128i *)(const void *)at);
	__m128i high = _mm_loadu_si128((const __m128i *)(const void *)(at + 16));
	unsigned int found = (unsigned int)_mm_movemask_epi8(_mm_cmpeq_epi8(low, feeds)) |
			     (unsigned int)_mm_movemask_epi8(_mm_cmpeq_epi8(high, feeds)) << 16;
	if (found)
		return at + __builtin_ctz(found);
#endif
	return rawmemchr(at, '\n');
}

/* Lines of one user mostly stand together. */
struct fast_user {
	uint64_t id;
	uint32_t number;
};

/*
 * The line from `at` to its line feed, when it looks as nearly all do: whole stars, ids of at most
 * 8 digits. Else false.
 */
static inline bool fast_line(const struct catalog *catalog, bool tabs, struct fast_user *memo,
	const unsigned char *at, const unsigned char *feed, struct rating *ret)
{
	uint64_t user, movie;
	if (!fast_number(&at, &user) || !fast_separator(&at, tabs) || !fast_number(&at, &movie) ||
		!fast_separator(&at, tabs))
		return false;
	const unsigned int stars = (unsigned int)(*at++ - '0');
	if (stars < 1 || stars > 5 || !fast_separator(&at, tabs) || !fast_time(at, feed))
		return false;
	if (user != memo->id)
		*memo = (struct fast_user){user, catalog_find_user(catalog, user)};
	ret->user = memo->number;
	ret->movie = catalog_find_movie(catalog, movie);
	ret->stars = (float)stars;
	return ret->user != UINT32_MAX && ret->movie != UINT32_MAX;
}

#endif
