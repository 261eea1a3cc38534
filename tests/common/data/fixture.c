#include "tests/common/data/fixture.h"

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char fixture_users_dat[] = "7::F::25::20::10001\n"
				 "3::M::1::0::20002\n"
				 "20::M::56::12::30003\n";
/* The accents are ISO-8859-1; the third title has a word twice and one in parentheses. */
const char fixture_movies_dat[] = "5::The Quiet Harbour (1987)::Drama|Comedy\n"
				  "2::\xc9t\xe9, L' (Summer, The) (1999)::Comedy\n"
				  "40::Echo Echo (Again) (2001)::Western|Drama|Action\n"
				  "9::Untitled::Drama\n";
const char fixture_ratings_dat[] = "3::2::5::1\n"
				   "3::5::3::2\n"
				   "20::40::1::7\n"
				   "7::9::4::1\n"
				   "7::2::2::3\n"
				   "20::5::4::8\n";

void fixture_put(const char *directory, const char *name, const char *text)
{
	char path[PATH_SIZE];
	scratch_write(scratch_path(path, directory, name), text, strlen(text));
}

void fixture_ml_1m(char directory[PATH_SIZE])
{
	scratch_open(directory);
	fixture_put(directory, "users.dat", fixture_users_dat);
	fixture_put(directory, "movies.dat", fixture_movies_dat);
	fixture_put(directory, "ratings.dat", fixture_ratings_dat);
}

void fixture_ml_100k(char directory[PATH_SIZE])
{
	scratch_open(directory);
	fixture_put(directory, "u.genre", "unknown|0\nDrama|1\nAction|2\n\n");
	fixture_put(directory, "u.user",
		"2|17|F|pilot|10001\n"
		"1|0|M|baker|20002\n"
		"3|99|M|pilot|30003\n"
		"4|49|F|clerk|30004\n");
	fixture_put(directory, "u.item",
		"1|Long Road, The (1994)|01-Jan-1994||http://example.org/1|0|1|1\n"
		"2|unknown||||1|0|0\n"
		"3|Old Tale (1990) |01-Jan-1990||http://example.org/3|0|0|0\n");
	fixture_put(directory, "u.data", "1\t3\t4\t881250949\n2\t1\t1\t891717742\n");
}

void fixture_grid(char directory[PATH_SIZE], uint32_t users, uint32_t movies)
{
	scratch_open(directory);
	char path[PATH_SIZE];
	FILE *file = fopen(scratch_path(path, directory, "users.dat"), "w");
	ck_assert_ptr_nonnull(file);
	for (uint32_t i = 1; i <= users; i++)
		fprintf(file, "%u::M::25::%u::00000\n", i, i % 21);
	ck_assert_int_eq(fclose(file), 0);
	file = fopen(scratch_path(path, directory, "movies.dat"), "w");
	ck_assert_ptr_nonnull(file);
	for (uint32_t i = 1; i <= movies; i++)
		fprintf(file, "%u::Reel %u (1950)::Drama\n", i, i);
	ck_assert_int_eq(fclose(file), 0);
}

struct rating *fixture_examples(const struct example_set *set, uint64_t first, uint64_t count)
{
	struct error err;
	struct rating *examples = malloc((count + 1) * sizeof(*examples));
	struct rating *scratch = malloc(RATINGS_BLOCK * sizeof(*scratch));
	ck_assert_ptr_nonnull(examples);
	ck_assert_ptr_nonnull(scratch);
	assert_ok(example_set_read(set, first, count, examples, scratch, &err), &err);
	free(scratch);
	return examples;
}

struct rating *fixture_all(const struct example_set *set)
{
	return fixture_examples(set, 0, example_set_size(set));
}
