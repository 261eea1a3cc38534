/* Caches of a ratings file that are damaged, cut, forged, or change while they are read. */

#include "common/base/hash.h"
#include "tests/support/cache_grid.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_cache(void)
{
	cache_grid_open();
	cache_grid_expect("wrote the cache", 0);
}

START_TEST(any_damaged_byte_is_noticed)
{
	size_t size;
	cache_grid_expect("", 0);
	free(scratch_read(cache_grid_cache, &size));
	/* Every byte of the header that is used, then here and there to the end. */
	for (size_t at = 0; at < size; at += at < 600 ? 13 : 9973) {
		if (at >= sizeof(struct ratings_header) && at < RATINGS_HEADER_BYTES)
			continue; /* nothing is kept there */
		scratch_flip(cache_grid_cache, at, (unsigned char)(1u << at % 8));
		cache_grid_expect("anew", 0);
		cache_grid_expect("", 0);
	}
	scratch_flip(cache_grid_cache, size - 1, 0x80);
	cache_grid_expect("the list of hashes is damaged", 0);
}
END_TEST

START_TEST(a_cache_cut_short_or_too_long_is_noticed)
{
	static const long sizes[] = {
		0, 1, 100, 4095, 4096, 4097, 53248, 53249, 100000, -1, -12, 1, 5000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct stat info;
		ck_assert_int_eq(stat(cache_grid_cache, &info), 0);
		bool longer = i + 2 >= sizeof(sizes) / sizeof(sizes[0]);
		long size = longer || sizes[i] < 0 ? info.st_size + sizes[i] : sizes[i];
		ck_assert_int_eq(truncate(cache_grid_cache, size), 0);
		cache_grid_expect("anew", 0);
	}
	cache_grid_expect("", 0);
}
END_TEST

/* Writes a header whose own hash is right. */
static void forge(void (*change)(struct ratings_header *header))
{
	struct ratings_header header;
	int descriptor = open(cache_grid_cache, O_RDWR);
	ck_assert_int_ge(descriptor, 0);
	ck_assert_int_eq(pread(descriptor, &header, sizeof(header), 0), sizeof(header));
	change(&header);
	header.header = hash_bytes(&header, offsetof(struct ratings_header, header), 0);
	ck_assert_int_eq(pwrite(descriptor, &header, sizeof(header), 0), sizeof(header));
	close(descriptor);
}

static void claim_many(struct ratings_header *header)
{
	header->count = UINT64_MAX / 12;
}

static void claim_more(struct ratings_header *header)
{
	header->count++;
}

static void claim_none(struct ratings_header *header)
{
	header->count = 0;
}

static void be_newer(struct ratings_header *header)
{
	header->version++;
}

static void have_larger_blocks(struct ratings_header *header)
{
	header->block *= 2;
}

static void end_no_text(struct ratings_header *header)
{
	memset(header->first_bad_line, 'x', sizeof(header->first_bad_line));
}

START_TEST(a_forged_header_is_noticed)
{
	void (*const changes[])(struct ratings_header *) = {
		claim_many, claim_more, claim_none, be_newer, have_larger_blocks, end_no_text};
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		forge(changes[i]);
		cache_grid_expect("anew", 0);
	}
}
END_TEST

/* A block whose hashes are right but whose ratings are not of this catalog. */
START_TEST(ratings_out_of_range_are_noticed)
{
	const struct rating wrong[] = {{.user = CACHE_GRID_USERS, .movie = 0, .stars = 1},
		{.user = 0, .movie = CACHE_GRID_MOVIES, .stars = 1},
		{.user = 0, .movie = 0, .stars = 0}, {.user = 0, .movie = 0, .stars = 5.5f},
		{.user = 0, .movie = 0, .stars = __builtin_nanf("")}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ratings_origin origin = {
			.catalog = ratings_catalog_hash(&cache_grid_catalog)};
		struct ratings_writer writer;
		struct error err;
		assert_ok(file_identify(cache_grid_text, &origin.source, &err), &err);
		int descriptor = open(cache_grid_cache, O_RDWR | O_TRUNC);
		ck_assert_int_ge(descriptor, 0);
		assert_ok(ratings_writer_init(&writer, descriptor, cache_grid_cache, &err), &err);
		assert_ok(ratings_writer_add(&writer, &wrong[i], 1, &err), &err);
		assert_ok(ratings_writer_finish(&writer, &origin, &err), &err);
		ratings_writer_fini(&writer);
		close(descriptor);
		cache_grid_expect("a rating is out of range", 0);
	}
}
END_TEST

START_TEST(a_block_that_changes_while_it_is_open_is_not_given_out)
{
	struct ratings_file file;
	struct error err;
	static struct rating ratings[RATINGS_BLOCK];
	size_t count;
	cache_grid_expect("", 0);
	assert_ok(
		ratings_file_open(&file, open(cache_grid_cache, O_RDONLY), cache_grid_cache, &err),
		&err);
	assert_ok(ratings_file_read(&file, 1, ratings, &count, &err), &err);
	int descriptor = open(cache_grid_cache, O_WRONLY);
	ck_assert_int_eq(pwrite(descriptor, "x", 1, 4096 + 49152 + 77), 1);
	close(descriptor);
	assert_fails(ratings_file_read(&file, 1, ratings, &count, &err), STATUS_DATA_LOSS, &err,
		"block 1 is damaged");
	ck_assert_int_eq(truncate(cache_grid_cache, 5000), 0);
	assert_fails(ratings_file_read(&file, 0, ratings, &count, &err), STATUS_DATA_LOSS, &err,
		"block 0 is damaged");
	ratings_file_close(&file);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {any_damaged_byte_is_noticed,
		a_cache_cut_short_or_too_long_is_noticed, a_forged_header_is_noticed,
		ratings_out_of_range_are_noticed,
		a_block_that_changes_while_it_is_open_is_not_given_out, NULL};
	return run_cases_around("ratings cache damage", cases, make_cache, cache_grid_close);
}
