#include "common/data/lines.h"

#include <stdio.h>
#include <string.h>

/* Bytes of a bad line that are shown. */
#define FOUND_SHOWN ((size_t)80)

void line_reader_init(struct line_reader *reader, const char *path, struct text file)
{
	const unsigned char *end = file.bytes + file.size;
	while (end > file.bytes && (end[-1] == '\n' || end[-1] == '\r'))
		end--;
	*reader = (struct line_reader){.path = path, .cursor = file.bytes, .end = end};
}

bool line_reader_next(struct line_reader *reader, struct text *ret)
{
	if (reader->cursor == reader->end)
		return false;
	size_t left = (size_t)(reader->end - reader->cursor);
	const unsigned char *feed = memchr(reader->cursor, '\n', left);
	const unsigned char *stop = feed ? feed : reader->end;
	*ret = (struct text){.bytes = reader->cursor, .size = (size_t)(stop - reader->cursor)};
	if (ret->size > 0 && stop[-1] == '\r')
		ret->size--;
	reader->cursor = feed ? feed + 1 : reader->end;
	reader->number++;
	return true;
}

/* Printable ASCII as it stands, the rest as escapes; "..." behind what is cut. */
static void escape(struct text text, char *out, size_t out_size)
{
	size_t shown = text.size < FOUND_SHOWN ? text.size : FOUND_SHOWN;
	size_t used = 0;
	out[0] = '\0';
	for (size_t i = 0; i < shown && used + 8 < out_size; i++) {
		unsigned char byte = text.bytes[i];
		int put;
		if (byte == '\t')
			put = snprintf(out + used, out_size - used, "\\t");
		else if (byte < 0x20 || byte > 0x7e)
			put = snprintf(out + used, out_size - used, "\\x%02x", byte);
		else
			put = snprintf(out + used, out_size - used, "%c", byte);
		used += (size_t)put;
	}
	if (shown < text.size)
		snprintf(out + used, out_size - used, "...");
}

enum status line_reader_reject(const struct line_reader *reader, struct text line,
	const char *reason, const char *expected, const struct data_options *options,
	struct data_report *report, struct error *err)
{
	char found[FOUND_SHOWN * 4 + 8];
	struct error bad;
	escape(line, found, sizeof(found));
	enum status status = error_set(&bad, STATUS_DATA_LOSS,
		"%s:%llu: %s%sexpected %s, found '%s'", reader->path,
		(unsigned long long)reader->number, reason, reason[0] ? ": " : "", expected, found);
	if (!options->skip_bad_lines)
		return error_set(err, status, "%s", bad.message);
	if (report && report->skipped_lines++ == 0)
		memcpy(report->first_bad_line, bad.message, sizeof(bad.message));
	return STATUS_OK;
}

bool text_cut(struct text *rest, const char *separator, struct text *ret)
{
	size_t width = strlen(separator);
	const unsigned char *at = memmem(rest->bytes, rest->size, separator, width);
	if (!at)
		return false;
	*ret = (struct text){.bytes = rest->bytes, .size = (size_t)(at - rest->bytes)};
	rest->size -= ret->size + width;
	rest->bytes = at + width;
	return true;
}

bool text_equals(struct text text, const char *word)
{
	return strlen(word) == text.size && memcmp(text.bytes, word, text.size) == 0;
}

enum number_parse text_to_u64(struct text text, uint64_t *ret)
{
	if (text.size == 0)
		return NUMBER_MALFORMED;
	uint64_t value = 0;
	bool overflow = false;
	for (size_t i = 0; i < text.size; i++) {
		unsigned int digit = (unsigned int)text.bytes[i] - '0';
		if (digit > 9)
			return NUMBER_MALFORMED;
		overflow |= __builtin_mul_overflow(value, (uint64_t)10, &value);
		overflow |= __builtin_add_overflow(value, (uint64_t)digit, &value);
	}
	if (overflow)
		return NUMBER_TOO_LARGE;
	*ret = value;
	return NUMBER_OK;
}

static size_t put_utf8(unsigned char byte, char *out)
{
	if (byte < 0x80) {
		out[0] = (char)byte;
		return 1;
	}
	out[0] = (char)(0xC0 | (byte >> 6));
	out[1] = (char)(0x80 | (byte & 0x3F));
	return 2;
}

static unsigned char lower(unsigned char byte)
{
	bool upper = (byte >= 'A' && byte <= 'Z') || (byte >= 0xC0 && byte <= 0xDE && byte != 0xD7);
	return upper ? (unsigned char)(byte + 0x20) : byte;
}

size_t latin1_to_utf8(struct text text, char *out)
{
	size_t used = 0;
	for (size_t i = 0; i < text.size; i++)
		used += put_utf8(text.bytes[i], out + used);
	return used;
}

size_t latin1_to_utf8_lower(struct text text, char *out)
{
	size_t used = 0;
	for (size_t i = 0; i < text.size; i++)
		used += put_utf8(lower(text.bytes[i]), out + used);
	return used;
}

size_t utf8_to_latin1(const char *utf8, unsigned char other, unsigned char *out)
{
	size_t used = 0;
	for (const unsigned char *at = (const unsigned char *)utf8; *at; used++) {
		const unsigned char first = *at++;
		const bool pair = (first == 0xC2 || first == 0xC3) && (*at & 0xC0) == 0x80;
		if (first < 0x80)
			out[used] = first;
		else if (pair)
			out[used] = (unsigned char)((first & 0x03) << 6 | (*at & 0x3F));
		else
			out[used] = other;
		while ((*at & 0xC0) == 0x80) /* the rest of the character */
			at++;
	}
	return used;
}

bool latin1_is_blank(unsigned char byte)
{
	return byte == ' ' || (byte >= 0x09 && byte <= 0x0D) || (byte >= 0x1C && byte <= 0x1F) ||
	       byte == 0x85 || byte == 0xA0;
}
