/*
 * The binary form of a ratings file. The hashes of header, list and blocks are put right before it
 * is opened: what lies behind them must stand on its own.
 */
#include "common/base/hash.h"
#include "common/data/ratings_file.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <unistd.h>

/* Of docs/cache.md. */
#define COUNT_AT       16u
#define LIST_HASH_AT   48u
#define HEADER_HASH_AT 576u
#define RECORDS_AT     4096u
#define RECORD_BYTES   12u

static void put(uint8_t *bytes, size_t at, uint64_t value)
{
	memcpy(bytes + at, &value, sizeof(value));
}

static void repair(uint8_t *bytes, size_t size)
{
	uint64_t count;
	if (size < RECORDS_AT)
		return;
	memcpy(&count, bytes + COUNT_AT, sizeof(count));
	const uint64_t blocks = (count + RATINGS_BLOCK - 1) / RATINGS_BLOCK;
	if (count <= (size - RECORDS_AT) / RECORD_BYTES &&
		size == RECORDS_AT + count * RECORD_BYTES + blocks * sizeof(uint64_t)) {
		uint8_t *list = bytes + RECORDS_AT + count * RECORD_BYTES;
		for (uint64_t b = 0; b < blocks; b++) {
			const uint64_t first = b * RATINGS_BLOCK;
			const uint64_t left = count - first;
			put(list, b * sizeof(uint64_t),
				hash_bytes(bytes + RECORDS_AT + first * RECORD_BYTES,
					(left < RATINGS_BLOCK ? left : RATINGS_BLOCK) *
						RECORD_BYTES,
					b));
		}
		put(bytes, LIST_HASH_AT, hash_bytes(list, blocks * sizeof(uint64_t), 0));
	}
	put(bytes, HEADER_HASH_AT, hash_bytes(bytes, HEADER_HASH_AT, 0));
}

static void check_block(void *context, uint64_t block, const struct rating *ratings, size_t count)
{
	const struct catalog *catalog = context;
	(void)block;
	for (size_t i = 0; i < count; i++) {
		FUZZ_CHECK(ratings[i].user < catalog->user_count);
		FUZZ_CHECK(ratings[i].movie < catalog->movie_count);
		FUZZ_CHECK(ratings[i].stars >= STARS_MIN && ratings[i].stars <= STARS_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct catalog catalog = {.user_count = 100, .movie_count = 50};
	struct ratings_file ratings = {0};
	struct fuzz_file file;
	struct error err;
	uint8_t *bytes = malloc(size ? size : 1);
	FUZZ_CHECK(bytes != NULL);
	if (size)
		memcpy(bytes, data, size);
	repair(bytes, size);
	fuzz_file_open(&file, bytes, size);
	free(bytes);
	/* It takes the descriptor, and gives it back by closing it. */
	if (ratings_file_open(&ratings, dup(file.descriptor), "input", &err) == STATUS_OK) {
		(void)!ratings_file_check(&ratings, &catalog, 1, check_block, &catalog, &err);
		ratings_file_close(&ratings);
	}
	fuzz_file_close(&file);
	return 0;
}
