/* The cache of a ratings file: when it is made, read, made anew, and done without. */
#include "common/data/ratings_cache.h"

#include "tests/common/data/fixture.h"
#include "tests/support/cache_grid.h"
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

static const struct data_options lenient = {.skip_bad_lines = true};

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
	cache_grid_write(0);
	cache_grid_expect("wrote the cache", 0);
	ck_assert_int_eq(stat(cache_grid_cache, &first), 0);
	cache_grid_expect("", 0);
	ck_assert_int_eq(stat(cache_grid_cache, &second), 0);
	ck_assert_uint_eq(first.st_ino, second.st_ino);
	ck_assert_uint_eq(count_files(cache_grid_directory, ".partial"), 0);
}
END_TEST

START_TEST(a_text_that_changes_is_read_again)
{
	/* As large as before, and changed right after it was read. */
	for (uint32_t stars = 1; stars < 5; stars++) {
		cache_grid_write(stars);
		cache_grid_expect("has changed since", stars);
	}
	const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	ck_assert_int_eq(utimensat(AT_FDCWD, cache_grid_text, old, 0), 0);
	cache_grid_expect("has changed since", 4);
	cache_grid_expect("", 4);
}
END_TEST

START_TEST(other_users_make_it_useless)
{
	struct catalog fewer;
	struct error err;
	static struct cache_story story;
	const struct ratings_cache_options options = {0};
	char other[PATH_SIZE];
	cache_grid_write(0);
	cache_grid_expect("has changed since", 0);
	fixture_grid(other, CACHE_GRID_USERS + 1, CACHE_GRID_MOVIES);
	fixture_put(other, "ratings.dat", "1::1::1::1\n");
	assert_ok(catalog_load(&fewer, other, &cache_grid_strict, NULL, &err), &err);
	struct catalog kept = cache_grid_catalog;
	cache_grid_catalog = fewer;
	assert_ok(cache_grid_read(&story, &cache_grid_strict, &options, &err), &err);
	ck_assert_ptr_nonnull(strstr(story.note, "users or movies are others"));
	cache_grid_catalog = kept;
	catalog_fini(&fewer);
	scratch_close(other);
	cache_grid_expect("users or movies are others", 0);
}
END_TEST

START_TEST(what_lies_in_its_place_is_not_waited_for)
{
	struct error err;
	ck_assert_int_eq(remove(cache_grid_cache), 0);
	ck_assert_int_eq(mkfifo(cache_grid_cache, 0600), 0);
	cache_grid_expect("anew", 0);
	ck_assert_int_eq(remove(cache_grid_cache), 0);
	assert_ok(directory_create(cache_grid_cache, &err), &err);
	cache_grid_expect("no cache", 0);
	assert_ok(directory_remove(cache_grid_cache, &err), &err);
	/* A link is not followed to be written over. */
	char partial[PATH_SIZE], victim[PATH_SIZE];
	scratch_path(partial, cache_grid_directory, "ratings.dat.cache.partial");
	scratch_path(victim, cache_grid_directory, "victim");
	scratch_write(victim, "mine", 4);
	ck_assert_int_eq(symlink(victim, partial), 0);
	cache_grid_expect("no cache", 0);
	size_t size;
	char *bytes = scratch_read(victim, &size);
	ck_assert_str_eq(bytes, "mine");
	free(bytes);
	ck_assert_int_eq(remove(partial), 0);
	/* One that a killed process has left. */
	scratch_write(partial, "half a cache", 12);
	cache_grid_expect("wrote the cache", 0);
	cache_grid_expect("", 0);
	ck_assert_uint_eq(count_files(cache_grid_directory, ".partial"), 0);
}
END_TEST

START_TEST(a_read_only_directory_is_left_alone_but_read)
{
	ck_assert_int_eq(chmod(cache_grid_directory, 0555), 0);
	cache_grid_expect("", 0);
	ck_assert_int_eq(chmod(cache_grid_directory, 0755), 0);
	ck_assert_int_eq(remove(cache_grid_cache), 0);
	ck_assert_int_eq(chmod(cache_grid_directory, 0555), 0);
	cache_grid_expect("is read-only", 0);
	ck_assert_uint_eq(count_files(cache_grid_directory, "cache"), 0);
	ck_assert_int_eq(chmod(cache_grid_directory, 0755), 0);
}
END_TEST

START_TEST(a_directory_of_its_own_is_made_and_holds_several)
{
	static struct cache_story story;
	char place[PATH_SIZE];
	struct error err;
	const struct ratings_cache_options options = {
		.directory = scratch_path(place, cache_grid_directory, "caches/ratings")};
	assert_ok(cache_grid_read(&story, &cache_grid_strict, &options, &err), &err);
	ck_assert_ptr_nonnull(strstr(story.note, "wrote the cache"));
	assert_ok(cache_grid_read(&story, &cache_grid_strict, &options, &err), &err);
	ck_assert_str_eq(story.note, "");
	ck_assert_uint_eq(count_files(place, ".cache"), 1);
	ck_assert_uint_eq(count_files(cache_grid_directory, "ratings.dat."), 0);
	/* The same name elsewhere. */
	char moved[PATH_SIZE], kept[PATH_SIZE];
	memcpy(kept, cache_grid_text, sizeof(kept));
	scratch_path(moved, cache_grid_directory, "caches/ratings.dat");
	size_t size;
	char *text = scratch_read(cache_grid_text, &size);
	scratch_write(moved, text, size);
	free(text);
	memcpy(cache_grid_text, moved, sizeof(moved));
	assert_ok(cache_grid_read(&story, &cache_grid_strict, &options, &err), &err);
	memcpy(cache_grid_text, kept, sizeof(kept));
	ck_assert_uint_eq(count_files(place, ".cache"), 2);
	const struct ratings_cache_options nowhere = {.directory = "/proc/nowhere"};
	assert_ok(cache_grid_read(&story, &cache_grid_strict, &nowhere, &err), &err);
	ck_assert_ptr_nonnull(strstr(story.note, "no cache: /proc/nowhere"));
	ck_assert_uint_eq(story.seen.count, CACHE_GRID_LINES);
}
END_TEST

START_TEST(switched_off_it_leaves_nothing_behind)
{
	static struct cache_story story;
	struct error err;
	const struct ratings_cache_options off = {.off = true};
	cache_grid_expect("wrote the cache", 0);
	ck_assert_int_eq(remove(cache_grid_cache), 0);
	assert_ok(cache_grid_read(&story, &cache_grid_strict, &off, &err), &err);
	ck_assert_str_eq(story.note, "");
	ck_assert_uint_eq(story.seen.count, CACHE_GRID_LINES);
	ck_assert_uint_eq(count_files(cache_grid_directory, "ratings.dat."), 0);
	/* Neither a temporary directory nor memory is missed where there is the other. */
	char *base = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
	ck_assert_int_eq(setenv("TMPDIR", "/proc/nowhere", 1), 0);
	assert_ok(cache_grid_read(&story, &cache_grid_strict, &off, &err), &err);
	ck_assert_uint_eq(story.seen.count, CACHE_GRID_LINES);
	if (base)
		setenv("TMPDIR", base, 1);
	else
		unsetenv("TMPDIR");
	free(base);
}
END_TEST

START_TEST(skipped_lines_are_told_from_the_cache_too)
{
	static struct cache_story story;
	struct error err;
	char wanted[PATH_SIZE + 20];
	const struct ratings_cache_options options = {.threads = 2};
	scratch_write(cache_grid_text, "1::1::5::1\nrubbish\n2::2::4::1\n\n3::3::3::1\n", 42);
	snprintf(wanted, sizeof(wanted), "%s:2: expected UserID", cache_grid_text);
	for (int round = 0; round < 3; round++) {
		assert_ok(cache_grid_read(&story, &lenient, &options, &err), &err);
		ck_assert_uint_eq(story.seen.count, 3);
		ck_assert_uint_eq(story.report.skipped_lines, 2);
		ck_assert_ptr_nonnull(strstr(story.report.first_bad_line, wanted));
		if (round == 1)
			assert_fails(cache_grid_read(&story, &cache_grid_strict, &options, &err),
				STATUS_DATA_LOSS, &err, wanted);
	}
	ck_assert_str_eq(story.note, "");
	/* A bad text leaves no cache, and one without ratings neither. */
	assert_fails(cache_grid_read(&story, &cache_grid_strict, &options, &err), STATUS_DATA_LOSS,
		&err, wanted);
	ck_assert_uint_eq(count_files(cache_grid_directory, ".partial"), 0);
	scratch_write(cache_grid_text, "rubbish\n", 8);
	assert_fails(cache_grid_read(&story, &lenient, &options, &err), STATUS_FAILED_PRECONDITION,
		&err, "ratings.dat: no ratings");
	ck_assert_uint_eq(count_files(cache_grid_directory, ".partial"), 0);
	cache_grid_write(0);
	cache_grid_expect("has changed since", 0);
}
END_TEST

static void *open_once(void *argument)
{
	struct cache_story *story = argument;
	struct error err;
	const struct ratings_cache_options options = {.threads = 2, .wait_s = 60};
	assert_ok(cache_grid_read(story, &cache_grid_strict, &options, &err), &err);
	return NULL;
}

START_TEST(many_at_once_write_it_once)
{
	enum { OPENERS = 8 };
	struct cache_story *stories = calloc(OPENERS, sizeof(*stories));
	pthread_t threads[OPENERS];
	ck_assert_ptr_nonnull(stories);
	for (int round = 0; round < 5; round++) {
		unsigned int wrote = 0;
		ck_assert_int_eq(remove(cache_grid_cache), 0);
		for (int i = 0; i < OPENERS; i++)
			ck_assert_int_eq(
				pthread_create(&threads[i], NULL, open_once, &stories[i]), 0);
		for (int i = 0; i < OPENERS; i++) {
			ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
			ck_assert_uint_eq(stories[i].seen.count, CACHE_GRID_LINES);
			ck_assert_mem_eq(stories[i].seen.ratings, stories[0].seen.ratings,
				CACHE_GRID_LINES * sizeof(struct rating));
			wrote += strstr(stories[i].note, "wrote the cache") != NULL;
		}
		ck_assert_uint_eq(wrote, 1);
		ck_assert_uint_eq(count_files(cache_grid_directory, ".partial"), 0);
	}
	free(stories);
}
END_TEST

START_TEST(who_waits_too_long_does_without)
{
	static struct cache_story story;
	char partial[PATH_SIZE];
	struct error err;
	const struct ratings_cache_options options = {.wait_s = 0.05};
	ck_assert_int_eq(remove(cache_grid_cache), 0);
	scratch_path(partial, cache_grid_directory, "ratings.dat.cache.partial");
	int other = open(partial, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(flock(other, LOCK_EX), 0);
	assert_ok(cache_grid_read(&story, &cache_grid_strict, &options, &err), &err);
	ck_assert_uint_eq(story.seen.count, CACHE_GRID_LINES);
	ck_assert_ptr_nonnull(strstr(story.note, "no cache: another process"));
	close(other);
	cache_grid_expect("wrote the cache", 0);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {the_second_opening_reads_the_cache,
		a_text_that_changes_is_read_again, other_users_make_it_useless,
		what_lies_in_its_place_is_not_waited_for,
		a_read_only_directory_is_left_alone_but_read,
		a_directory_of_its_own_is_made_and_holds_several,
		switched_off_it_leaves_nothing_behind, skipped_lines_are_told_from_the_cache_too,
		many_at_once_write_it_once, who_waits_too_long_does_without, NULL};
	return run_cases_around("ratings cache", cases, cache_grid_open, cache_grid_close);
}
