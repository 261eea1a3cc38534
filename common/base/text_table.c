#include "common/base/text_table.h"

#include "common/base/memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ELLIPSIS "..."

void text_table_init(
	struct text_table *table, const struct text_column *columns, size_t column_count)
{
	*table = (struct text_table){.columns = columns, .column_count = column_count};
}

void text_table_fini(struct text_table *table)
{
	free(table->text);
	free(table->cells);
	text_table_init(table, table->columns, table->column_count);
}

/* Bytes 10xxxxxx continue a code point, every other one starts one. */
static bool starts_code_point(char byte)
{
	return ((unsigned char)byte & 0xC0) != 0x80;
}

size_t text_width(const char *text)
{
	size_t width = 0;
	for (; *text; text++)
		width += starts_code_point(*text);
	return width;
}

/* Cuts text behind its first `width` code points. */
static void cut(char *text, size_t width)
{
	for (; *text; text++) {
		if (starts_code_point(*text) && width-- == 0) {
			*text = '\0';
			return;
		}
	}
}

/* Makes a cell fit its column and keeps control characters away from the terminal. */
static void tidy(const struct text_column *column, char *cell, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)cell[i] < 0x20 || cell[i] == 0x7F)
			cell[i] = '?';
	const size_t dots = sizeof(ELLIPSIS) - 1;
	if (column->width_max <= dots || text_width(cell) <= column->width_max)
		return;
	cut(cell, column->width_max - dots);
	/* More code points than that were cut off, so the dots fit. */
	memcpy(cell + strlen(cell), ELLIPSIS, sizeof(ELLIPSIS));
}

void text_table_cell(struct text_table *table, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int used = vsnprintf(NULL, 0, format, args);
	va_end(args);
	size_t length = used > 0 ? (size_t)used : 0;
	if (table->failed == STATUS_OK)
		table->failed = memory_grow(&table->text, &table->text_capacity,
			table->text_size + length + 1, 1, "table", NULL);
	if (table->failed == STATUS_OK)
		table->failed = memory_grow(&table->cells, &table->cell_capacity,
			table->cell_count + 1, sizeof(*table->cells), "table", NULL);
	if (table->failed == STATUS_OK) {
		char *cell = table->text + table->text_size;
		vsnprintf(cell, length + 1, format, again);
		tidy(&table->columns[table->cell_count % table->column_count], cell, length);
		table->cells[table->cell_count++] = table->text_size;
		table->text_size += length + 1;
	}
	va_end(again);
}

static void print_blanks(FILE *out, size_t count)
{
	fprintf(out, "%*s", (int)count, "");
}

/* Prints the blanks owed by the columns before, then the cell; returns what it owes itself. Blanks
 * with nothing behind them are so never printed. */
static size_t print_cell(
	FILE *out, const struct text_column *column, size_t width, const char *cell, size_t owed)
{
	size_t missing = width - text_width(cell);
	if (!*cell)
		return owed + missing;
	print_blanks(out, owed + (column->right ? missing : 0));
	fputs(cell, out);
	return column->right ? 0 : missing;
}

static size_t column_width(const struct text_table *table, size_t column)
{
	size_t width = text_width(table->columns[column].heading);
	for (size_t i = column; i < table->cell_count; i += table->column_count) {
		size_t needed = text_width(table->text + table->cells[i]);
		width = needed > width ? needed : width;
	}
	return width;
}

/* One line; cells beyond count stay empty. cells NULL: the headings. */
static void print_line(const struct text_table *table, FILE *out, const size_t *widths,
	const size_t *cells, size_t count)
{
	size_t owed = 0;
	for (size_t c = 0; c < table->column_count && c < count; c++) {
		const struct text_column *column = &table->columns[c];
		const char *text = cells ? table->text + cells[c] : column->heading;
		owed = print_cell(out, column, widths[c], text, owed) + 2;
	}
	fputc('\n', out);
}

enum status text_table_print(const struct text_table *table, FILE *out, struct error *err)
{
	size_t *widths = NULL;
	enum status status = table->failed;
	if (status != STATUS_OK)
		return error_set(err, status, "table: no memory for its cells");
	status = memory_alloc(&widths, table->column_count, sizeof(*widths), "table", err);
	if (status != STATUS_OK)
		return status;
	for (size_t c = 0; c < table->column_count; c++)
		widths[c] = column_width(table, c);
	print_line(table, out, widths, NULL, table->column_count);
	for (size_t i = 0; i < table->cell_count; i += table->column_count)
		print_line(table, out, widths, table->cells + i, table->cell_count - i);
	free(widths);
	return STATUS_OK;
}
