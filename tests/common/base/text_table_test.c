#include "common/base/text_table.h"

#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

static const struct text_column columns[] = {
	{.heading = "rank", .right = true},
	{.heading = "title", .width_max = 12},
	{.heading = "score", .right = true},
};

static char *printed(struct text_table *table)
{
	char *text = NULL;
	size_t size;
	struct error err = {0};
	FILE *out = open_memstream(&text, &size);
	assert_ok(text_table_print(table, out, &err), &err);
	fclose(out);
	return text;
}

static void assert_printed(struct text_table *table, const char *expected)
{
	char *text = printed(table);
	ck_assert_str_eq(text, expected);
	free(text);
	text_table_fini(table);
}

static void add_row(struct text_table *table, unsigned int rank, const char *title, double score)
{
	text_table_cell(table, "%u", rank);
	text_table_cell(table, "%s", title);
	text_table_cell(table, "%.2f", score);
}

START_TEST(columns_are_aligned_and_lines_end_without_blanks)
{
	struct text_table table;
	text_table_init(&table, columns, 3);
	add_row(&table, 1, "Heat", 4.5);
	add_row(&table, 10, "Toy Story", 10.25);
	assert_printed(&table, "rank  title      score\n"
			       "   1  Heat        4.50\n"
			       "  10  Toy Story  10.25\n");
}
END_TEST

START_TEST(a_code_point_counts_as_one_position)
{
	struct text_table table;
	text_table_init(&table, columns, 3);
	add_row(&table, 1, "Misérables", 4.0);
	add_row(&table, 2, "Miserables", 4.0);
	assert_printed(&table, "rank  title       score\n"
			       "   1  Misérables   4.00\n"
			       "   2  Miserables   4.00\n");
	ck_assert_uint_eq(text_width("né"), 2);
	ck_assert_uint_eq(text_width(""), 0);
}
END_TEST

START_TEST(a_long_cell_is_cut_between_code_points)
{
	struct text_table table;
	text_table_init(&table, columns, 3);
	add_row(&table, 1, "éééééééééééé", 1.0);
	add_row(&table, 2, "ééééééééééééé", 1.0);
	assert_printed(&table, "rank  title         score\n"
			       "   1  éééééééééééé   1.00\n"
			       "   2  ééééééééé...   1.00\n");
}
END_TEST

START_TEST(control_characters_do_not_reach_the_terminal)
{
	struct text_table table;
	text_table_init(&table, columns, 3);
	add_row(&table, 1, "a\033[2J\nb\x7f", 1.0);
	assert_printed(&table, "rank  title     score\n"
			       "   1  a?[2J?b?   1.00\n");
}
END_TEST

START_TEST(an_empty_table_is_its_headings_and_a_short_row_ends_early)
{
	struct text_table table;
	text_table_init(&table, columns, 3);
	assert_printed(&table, "rank  title  score\n");
	text_table_cell(&table, "%u", 7u);
	text_table_cell(&table, "%s", "");
	assert_printed(&table, "rank  title  score\n"
			       "   7\n");
}
END_TEST

START_TEST(many_rows_grow_the_table)
{
	struct text_table table;
	text_table_init(&table, columns, 3);
	for (unsigned int i = 0; i < 1000; i++)
		add_row(&table, i, "movie", i);
	char *text = printed(&table);
	ck_assert_ptr_nonnull(strstr(text, "\n 999  movie  999.00\n"));
	free(text);
	text_table_fini(&table);
	text_table_fini(&table);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {columns_are_aligned_and_lines_end_without_blanks,
		a_code_point_counts_as_one_position, a_long_cell_is_cut_between_code_points,
		control_characters_do_not_reach_the_terminal,
		an_empty_table_is_its_headings_and_a_short_row_ends_early, many_rows_grow_the_table,
		NULL};
	return run_cases("text table", cases);
}
