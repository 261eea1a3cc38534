#include "common/data/ratings_cache.h"

#include "common/base/hash.h"
#include "common/data/ratings_layout.h"
#include "tests/common/data/fixture.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define USERS  90u
#define MOVIES 100u
#define LINES  9000u /* a little more than two blocks */

static char directory[PATH_SIZE], text_path[PATH_SIZE], cache_path[PATH_SIZE];
static struct catalog catalog;
static const struct data_options strict = {0};
static const struct data_options lenient = {.skip_bad_lines = true};

/* Collects what the cache gives. */
struct seen {
	struct rating ratings[LINES + RATINGS_BLOCK];
	uint64_t count;
};

static enum status begin(void *context, const struct ratings_file *file, struct error *err)
{
	struct seen *seen = context;
	(void)err;
	seen->count = file->count;
	return STATUS_OK;
}

static void visit(void *context, uint64_t block, const struct rating *ratings, size_t count)
{
	struct seen *seen = context;
	memcpy(seen->ratings + block * RATINGS_BLOCK, ratings, count * sizeof(*ratings));
}

/* The whole of a text's story, owned by the test. */
struct story {
	struct seen seen;
	struct data_report report;
	char note[ERROR_MESSAGE_SIZE];
};

static enum status open_with(struct story *story, const struct data_options *lines,
	const struct ratings_cache_options *options, struct error *err)
{
	struct ratings_file file;
	const struct ratings_cache cache = {.path = text_path,
		.catalog = &catalog,
		.lines = lines,
		.options = options,
		.begin = begin,
		.visit = visit,
		.context = &story->seen};
	memset(story, 0, sizeof(*story));
	enum status status = ratings_cache_open(&file, &cache, &story->report, story->note, err);
	if (status == STATUS_OK)
		ratings_file_close(&file);
	return status;
}

/* Opens with the default options: it must hold every line of the grid, whose stars are given. */
static void expect_grid(const char *note, uint32_t stars)
{
	static struct story story;
	const struct ratings_cache_options options = {.threads = 2};
	struct error err;
	assert_ok(open_with(&story, &strict, &options, &err), &err);
	ck_assert_uint_eq(story.seen.count, LINES);
	/* Counted, since Check writes to a file for every assertion. */
	uint32_t wrong = 0;
	for (uint32_t i = 0; i < LINES; i++) {
		const struct rating *rating = &story.seen.ratings[i];
		wrong += rating->user != i / MOVIES || rating->movie != i % MOVIES ||
			 rating->stars != (float)(1 + (i + stars) % 5);
	}
	ck_assert_uint_eq(wrong, 0);
	if (note[0])
		ck_assert_msg(
			strstr(story.note, note) != NULL, "'%s' lacks '%s'", story.note, note);
	else
		ck_assert_str_eq(story.note, "");
}

static void write_grid(uint32_t stars)
{
	FILE *file = fopen(text_path, "w");
	ck_assert_ptr_nonnull(file);
	for (uint32_t i = 0; i < LINES; i++)
		fprintf(file, "%u::%u::%u::1\n", i / MOVIES + 1, i % MOVIES + 1,
			1 + (i + stars) % 5);
	ck_assert_int_eq(fclose(file), 0);
}

/* Files of the directory whose names have this in them. */
static unsigned int count_files(const char *place, const char *part)
{
	unsigned int count = 0;
	DIR *entries = opendir(place);
	ck_assert_ptr_nonnull(entries);
	for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
		count += strstr(entry->d_name, part) != NULL;
	closedir(entries);
	return count;
}

START_TEST(the_second_opening_reads_the_cache)
{
	struct stat first, second;
	write_grid(0);
	expect_grid("wrote the cache", 0);
	ck_assert_int_eq(stat(cache_path, &first), 0);
	expect_grid("", 0);
	ck_assert_int_eq(stat(cache_path, &second), 0);
	ck_assert_uint_eq(first.st_ino, second.st_ino);
	ck_assert_uint_eq(count_files(directory, ".partial"), 0);
}
END_TEST

START_TEST(a_text_that_changes_is_read_again)
{
	/* As large as before, and changed right after it was read. */
	for (uint32_t stars = 1; stars < 5; stars++) {
		write_grid(stars);
		expect_grid("has changed since", stars);
	}
	const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	ck_assert_int_eq(utimensat(AT_FDCWD, text_path, old, 0), 0);
	expect_grid("has changed since", 4);
	expect_grid("", 4);
}
END_TEST

START_TEST(other_users_make_it_useless)
{
	struct catalog fewer;
	struct error err;
	static struct story story;
	const struct ratings_cache_options options = {0};
	char other[PATH_SIZE];
	write_grid(0);
	expect_grid("has changed since", 0);
	fixture_grid(other, USERS + 1, MOVIES);
	fixture_put(other, "ratings.dat", "1::1::1::1\n");
	assert_ok(catalog_load(&fewer, other, &strict, NULL, &err), &err);
	struct catalog kept = catalog;
	catalog = fewer;
	assert_ok(open_with(&story, &strict, &options, &err), &err);
	ck_assert_ptr_nonnull(strstr(story.note, "users or movies are others"));
	catalog = kept;
	catalog_fini(&fewer);
	scratch_close(other);
	expect_grid("users or movies are others", 0);
}
END_TEST

START_TEST(any_damaged_byte_is_noticed)
{
	size_t size;
	expect_grid("", 0);
	free(scratch_read(cache_path, &size));
	/* Every byte of the header that is used, then here and there to the end. */
	for (size_t at = 0; at < size; at += at < 600 ? 13 : 9973) {
		if (at >= sizeof(struct ratings_header) && at < RATINGS_HEADER_BYTES)
			continue; /* nothing is kept there */
		scratch_flip(cache_path, at, (unsigned char)(1u << at % 8));
		expect_grid("anew", 0);
		expect_grid("", 0);
	}
	scratch_flip(cache_path, size - 1, 0x80);
	expect_grid("the list of hashes is damaged", 0);
}
END_TEST

START_TEST(a_cache_cut_short_or_too_long_is_noticed)
{
	static const long sizes[] = {
		0, 1, 100, 4095, 4096, 4097, 53248, 53249, 100000, -1, -12, 1, 5000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct stat info;
		ck_assert_int_eq(stat(cache_path, &info), 0);
		bool longer = i + 2 >= sizeof(sizes) / sizeof(sizes[0]);
		long size = longer || sizes[i] < 0 ? info.st_size + sizes[i] : sizes[i];
		ck_assert_int_eq(truncate(cache_path, size), 0);
		expect_grid("anew", 0);
	}
	expect_grid("", 0);
}
END_TEST

/* Writes a header whose own hash is right. */
static void forge(void (*change)(struct ratings_header *header))
{
	struct ratings_header header;
	int descriptor = open(cache_path, O_RDWR);
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
		expect_grid("anew", 0);
	}
}
END_TEST

/* A block whose hashes are right but whose ratings are not of this catalog. */
START_TEST(ratings_out_of_range_are_noticed)
{
	const struct rating wrong[] = {{.user = USERS, .movie = 0, .stars = 1},
		{.user = 0, .movie = MOVIES, .stars = 1}, {.user = 0, .movie = 0, .stars = 0},
		{.user = 0, .movie = 0, .stars = 5.5f},
		{.user = 0, .movie = 0, .stars = __builtin_nanf("")}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ratings_origin origin = {.catalog = ratings_catalog_hash(&catalog)};
		struct ratings_writer writer;
		struct error err;
		assert_ok(file_identify(text_path, &origin.source, &err), &err);
		int descriptor = open(cache_path, O_RDWR | O_TRUNC);
		ck_assert_int_ge(descriptor, 0);
		assert_ok(ratings_writer_init(&writer, descriptor, cache_path, &err), &err);
		assert_ok(ratings_writer_add(&writer, &wrong[i], 1, &err), &err);
		assert_ok(ratings_writer_finish(&writer, &origin, &err), &err);
		ratings_writer_fini(&writer);
		close(descriptor);
		expect_grid("a rating is out of range", 0);
	}
}
END_TEST

START_TEST(what_lies_in_its_place_is_not_waited_for)
{
	struct error err;
	ck_assert_int_eq(remove(cache_path), 0);
	ck_assert_int_eq(mkfifo(cache_path, 0600), 0);
	expect_grid("anew", 0);
	ck_assert_int_eq(remove(cache_path), 0);
	assert_ok(directory_create(cache_path, &err), &err);
	expect_grid("no cache", 0);
	assert_ok(directory_remove(cache_path, &err), &err);
	/* A link is not followed to be written over. */
	char partial[PATH_SIZE], victim[PATH_SIZE];
	scratch_path(partial, directory, "ratings.dat.cache.partial");
	scratch_path(victim, directory, "victim");
	scratch_write(victim, "mine", 4);
	ck_assert_int_eq(symlink(victim, partial), 0);
	expect_grid("no cache", 0);
	size_t size;
	char *bytes = scratch_read(victim, &size);
	ck_assert_str_eq(bytes, "mine");
	free(bytes);
	ck_assert_int_eq(remove(partial), 0);
	/* One that a killed process has left. */
	scratch_write(partial, "half a cache", 12);
	expect_grid("wrote the cache", 0);
	expect_grid("", 0);
	ck_assert_uint_eq(count_files(directory, ".partial"), 0);
}
END_TEST

START_TEST(a_read_only_directory_is_left_alone_but_read)
{
	ck_assert_int_eq(chmod(directory, 0555), 0);
	expect_grid("", 0);
	ck_assert_int_eq(chmod(directory, 0755), 0);
	ck_assert_int_eq(remove(cache_path), 0);
	ck_assert_int_eq(chmod(directory, 0555), 0);
	expect_grid("is read-only", 0);
	ck_assert_uint_eq(count_files(directory, "cache"), 0);
	ck_assert_int_eq(chmod(directory, 0755), 0);
}
END_TEST

START_TEST(a_directory_of_its_own_is_made_and_holds_several)
{
	static struct story story;
	char place[PATH_SIZE];
	struct error err;
	const struct ratings_cache_options options = {
		.directory = scratch_path(place, directory, "caches/ratings")};
	assert_ok(open_with(&story, &strict, &options, &err), &err);
	ck_assert_ptr_nonnull(strstr(story.note, "wrote the cache"));
	assert_ok(open_with(&story, &strict, &options, &err), &err);
	ck_assert_str_eq(story.note, "");
	ck_assert_uint_eq(count_files(place, ".cache"), 1);
	ck_assert_uint_eq(count_files(directory, "ratings.dat."), 0);
	/* The same name elsewhere. */
	char moved[PATH_SIZE], kept[PATH_SIZE];
	memcpy(kept, text_path, sizeof(kept));
	scratch_path(moved, directory, "caches/ratings.dat");
	size_t size;
	char *text = scratch_read(text_path, &size);
	scratch_write(moved, text, size);
	free(text);
	memcpy(text_path, moved, sizeof(moved));
	assert_ok(open_with(&story, &strict, &options, &err), &err);
	memcpy(text_path, kept, sizeof(kept));
	ck_assert_uint_eq(count_files(place, ".cache"), 2);
	const struct ratings_cache_options nowhere = {.directory = "/proc/nowhere"};
	assert_ok(open_with(&story, &strict, &nowhere, &err), &err);
	ck_assert_ptr_nonnull(strstr(story.note, "no cache: /proc/nowhere"));
	ck_assert_uint_eq(story.seen.count, LINES);
}
END_TEST

START_TEST(switched_off_it_leaves_nothing_behind)
{
	static struct story story;
	struct error err;
	const struct ratings_cache_options off = {.off = true};
	expect_grid("wrote the cache", 0);
	ck_assert_int_eq(remove(cache_path), 0);
	assert_ok(open_with(&story, &strict, &off, &err), &err);
	ck_assert_str_eq(story.note, "");
	ck_assert_uint_eq(story.seen.count, LINES);
	ck_assert_uint_eq(count_files(directory, "ratings.dat."), 0);
	/* Neither a temporary directory nor memory is missed where there is the other. */
	char *base = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
	ck_assert_int_eq(setenv("TMPDIR", "/proc/nowhere", 1), 0);
	assert_ok(open_with(&story, &strict, &off, &err), &err);
	ck_assert_uint_eq(story.seen.count, LINES);
	if (base)
		setenv("TMPDIR", base, 1);
	else
		unsetenv("TMPDIR");
	free(base);
}
END_TEST

START_TEST(skipped_lines_are_told_from_the_cache_too)
{
	static struct story story;
	struct error err;
	char wanted[PATH_SIZE + 20];
	const struct ratings_cache_options options = {.threads = 2};
	scratch_write(text_path, "1::1::5::1\nrubbish\n2::2::4::1\n\n3::3::3::1\n", 42);
	snprintf(wanted, sizeof(wanted), "%s:2: expected UserID", text_path);
	for (int round = 0; round < 3; round++) {
		assert_ok(open_with(&story, &lenient, &options, &err), &err);
		ck_assert_uint_eq(story.seen.count, 3);
		ck_assert_uint_eq(story.report.skipped_lines, 2);
		ck_assert_ptr_nonnull(strstr(story.report.first_bad_line, wanted));
		if (round == 1)
			assert_fails(open_with(&story, &strict, &options, &err), STATUS_DATA_LOSS,
				&err, wanted);
	}
	ck_assert_str_eq(story.note, "");
	/* A bad text leaves no cache, and one without ratings neither. */
	assert_fails(open_with(&story, &strict, &options, &err), STATUS_DATA_LOSS, &err, wanted);
	ck_assert_uint_eq(count_files(directory, ".partial"), 0);
	scratch_write(text_path, "rubbish\n", 8);
	assert_fails(open_with(&story, &lenient, &options, &err), STATUS_FAILED_PRECONDITION, &err,
		"ratings.dat: no ratings");
	ck_assert_uint_eq(count_files(directory, ".partial"), 0);
	write_grid(0);
	expect_grid("has changed since", 0);
}
END_TEST

static void *open_once(void *argument)
{
	struct story *story = argument;
	struct error err;
	const struct ratings_cache_options options = {.threads = 2, .wait_s = 60};
	assert_ok(open_with(story, &strict, &options, &err), &err);
	return NULL;
}

START_TEST(many_at_once_write_it_once)
{
	enum { OPENERS = 8 };
	struct story *stories = calloc(OPENERS, sizeof(*stories));
	pthread_t threads[OPENERS];
	ck_assert_ptr_nonnull(stories);
	for (int round = 0; round < 5; round++) {
		unsigned int wrote = 0;
		ck_assert_int_eq(remove(cache_path), 0);
		for (int i = 0; i < OPENERS; i++)
			ck_assert_int_eq(
				pthread_create(&threads[i], NULL, open_once, &stories[i]), 0);
		for (int i = 0; i < OPENERS; i++) {
			ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
			ck_assert_uint_eq(stories[i].seen.count, LINES);
			ck_assert_mem_eq(stories[i].seen.ratings, stories[0].seen.ratings,
				LINES * sizeof(struct rating));
			wrote += strstr(stories[i].note, "wrote the cache") != NULL;
		}
		ck_assert_uint_eq(wrote, 1);
		ck_assert_uint_eq(count_files(directory, ".partial"), 0);
	}
	free(stories);
}
END_TEST

START_TEST(who_waits_too_long_does_without)
{
	static struct story story;
	char partial[PATH_SIZE];
	struct error err;
	const struct ratings_cache_options options = {.wait_s = 0.05};
	ck_assert_int_eq(remove(cache_path), 0);
	scratch_path(partial, directory, "ratings.dat.cache.partial");
	int other = open(partial, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(flock(other, LOCK_EX), 0);
	assert_ok(open_with(&story, &strict, &options, &err), &err);
	ck_assert_uint_eq(story.seen.count, LINES);
	ck_assert_ptr_nonnull(strstr(story.note, "no cache: another process"));
	close(other);
	expect_grid("wrote the cache", 0);
}
END_TEST

START_TEST(a_block_that_changes_while_it_is_open_is_not_given_out)
{
	struct ratings_file file;
	struct error err;
	static struct rating ratings[RATINGS_BLOCK];
	size_t count;
	expect_grid("", 0);
	assert_ok(ratings_file_open(&file, open(cache_path, O_RDONLY), cache_path, &err), &err);
	assert_ok(ratings_file_read(&file, 1, ratings, &count, &err), &err);
	int descriptor = open(cache_path, O_WRONLY);
	ck_assert_int_eq(pwrite(descriptor, "x", 1, 4096 + 49152 + 77), 1);
	close(descriptor);
	assert_fails(ratings_file_read(&file, 1, ratings, &count, &err), STATUS_DATA_LOSS, &err,
		"block 1 is damaged");
	ck_assert_int_eq(truncate(cache_path, 5000), 0);
	assert_fails(ratings_file_read(&file, 0, ratings, &count, &err), STATUS_DATA_LOSS, &err,
		"block 0 is damaged");
	ratings_file_close(&file);
}
END_TEST

static void open_all(void)
{
	struct error err;
	fixture_grid(directory, USERS, MOVIES);
	scratch_path(text_path, directory, "ratings.dat");
	scratch_path(cache_path, directory, "ratings.dat.cache");
	write_grid(0);
	assert_ok(catalog_load(&catalog, directory, &strict, NULL, &err), &err);
}

static void close_all(void)
{
	catalog_fini(&catalog);
	scratch_close(directory);
}

int main(void)
{
	const TTest *const cases[] = {the_second_opening_reads_the_cache,
		a_text_that_changes_is_read_again, other_users_make_it_useless,
		any_damaged_byte_is_noticed, a_cache_cut_short_or_too_long_is_noticed,
		a_forged_header_is_noticed, ratings_out_of_range_are_noticed,
		what_lies_in_its_place_is_not_waited_for,
		a_read_only_directory_is_left_alone_but_read,
		a_directory_of_its_own_is_made_and_holds_several,
		switched_off_it_leaves_nothing_behind, skipped_lines_are_told_from_the_cache_too,
		many_at_once_write_it_once, who_waits_too_long_does_without,
		a_block_that_changes_while_it_is_open_is_not_given_out, NULL};
	return run_cases_around("ratings cache", cases, open_all, close_all);
}
