#include "launcher/lines.h"

#include "tests/support/suite.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The lines that came, each in brackets. */
struct seen {
	char text[64 * 1024];
	size_t length;
	int refuse_after; /* lines; 0: never */
};

static enum status see(void *context, const char *line, size_t length, struct error *err)
{
	struct seen *seen = context;
	ck_assert_int_eq(line[length], 0);
	seen->text[seen->length++] = '[';
	memcpy(seen->text + seen->length, line, length);
	seen->length += length;
	seen->text[seen->length++] = ']';
	seen->text[seen->length] = '\0';
	if (seen->refuse_after && --seen->refuse_after == 0)
		return error_set(err, STATUS_ABORTED, "enough");
	return STATUS_OK;
}

START_TEST(lines_are_the_same_however_their_bytes_arrive)
{
	static const char text[] = "one\n\ntwo words\nlast";
	for (size_t piece = 1; piece < sizeof(text); piece++) {
		static struct lines lines;
		static struct seen seen;
		struct error err = {0};
		lines.length = 0;
		seen = (struct seen){0};
		for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
			size_t left = sizeof(text) - 1 - at;
			assert_ok(lines_feed(&lines, text + at, left < piece ? left : piece, see,
					  &seen, &err),
				&err);
		}
		ck_assert_str_eq(seen.text, "[one][][two words]");
		assert_ok(lines_flush(&lines, see, &seen, &err), &err);
		assert_ok(lines_flush(&lines, see, &seen, &err), &err);
		ck_assert_str_eq(seen.text, "[one][][two words][last]");
	}
}
END_TEST

START_TEST(a_line_without_end_is_handed_on_in_pieces)
{
	static struct lines lines;
	static struct seen seen;
	static char text[2 * LINE_SIZE_MAX + 1];
	struct error err = {0};
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\n';
	assert_ok(lines_feed(&lines, text, sizeof(text), see, &seen, &err), &err);
	/* Two full pieces and the two bytes that are left over. */
	ck_assert_uint_eq(seen.length, 2 * LINE_SIZE_MAX + 3 * 2);
	ck_assert_str_eq(seen.text + seen.length - 4, "[xx]");
	ck_assert_uint_eq(lines.length, 0);
}
END_TEST

START_TEST(the_first_failure_stops_the_feeding)
{
	static struct lines lines;
	static struct seen seen;
	struct error err = {0};
	seen.refuse_after = 2;
	assert_fails(lines_feed(&lines, "a\nb\nc\n", 6, see, &seen, &err), STATUS_ABORTED, &err,
		"enough");
	ck_assert_str_eq(seen.text, "[a][b]");
}
END_TEST

START_TEST(a_written_line_stands_behind_its_prefix)
{
	int ends[2];
	char text[64];
	struct error err = {0};
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	assert_ok(lines_write(ends[1], "worker", "digest 00ff", 11, &err), &err);
	assert_ok(lines_write(ends[1], "pserver 0", "", 0, &err), &err);
	ssize_t got = read(ends[0], text, sizeof(text) - 1);
	ck_assert_int_gt(got, 0);
	text[got] = '\0';
	ck_assert_str_eq(text, "worker | digest 00ff\npserver 0 | \n");
	close(ends[0]);
	close(ends[1]);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {lines_are_the_same_however_their_bytes_arrive,
		a_line_without_end_is_handed_on_in_pieces, the_first_failure_stops_the_feeding,
		a_written_line_stands_behind_its_prefix, NULL};
	return run_cases("lines", cases);
}
