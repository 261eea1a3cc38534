/*
 * Tables for people: columns aligned by what their cells take on the screen.
 *
 *     static const struct text_column columns[] = {
 *             {.heading = "rank", .right = true}, {.heading = "title", .width_max = 40}};
 *     text_table_init(&table, columns, 2);
 *     text_table_cell(&table, "%u", rank);
 *     text_table_cell(&table, "%s", title);
 *     ...
 *     status = text_table_print(&table, stdout, err);
 *     text_table_fini(&table);
 *
 * Text is UTF-8 and a code point counts as one position (which holds for the alphabets of our
 * titles, not for East Asian wide letters). Control characters print as '?', so that a title
 * cannot drive the terminal. Cells may be added without looking: an allocation that is refused is
 * remembered and reported by text_table_print.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BASE_TEXT_TABLE_H
#define MARQUEE_BASE_TEXT_TABLE_H

#include "common/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct text_column {
	const char *heading;
	bool right;	  /* numbers */
	size_t width_max; /* positions; longer cells end in "..."; 0: no limit */
};

struct text_table {
	const struct text_column *columns;
	size_t column_count;
	char *text; /* the cells, each terminated */
	size_t text_size, text_capacity;
	size_t *cells; /* offsets into text, row after row */
	size_t cell_count, cell_capacity;
	enum status failed;
};

/* Borrows columns until fini. Allocates nothing. */
void text_table_init(
	struct text_table *table, const struct text_column *columns, size_t column_count);
/* Frees the cells; the table is empty and usable afterwards. */
void text_table_fini(struct text_table *table);

/* Appends the next cell, row after row from the left; copies its text. */
void text_table_cell(struct text_table *table, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * Prints the headings and the rows (a last row that is not full ends early), two blanks between
 * columns, none at the end of a line. RESOURCE_EXHAUSTED: memory was refused, nothing is printed.
 */
MUST_CHECK enum status text_table_print(
	const struct text_table *table, FILE *out, struct error *err);

/* The positions that UTF-8 text takes: its code points. */
size_t text_width(const char *text);

#endif
