/* Pipes whose reader is late, slow, silent or gone; the clock decides when it reads. */
#include "worker/drain.h"

#include "tests/support/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define STEP_NS	   1000000u
#define TIMEOUT_MS 40u

/* Each look at the time takes a millisecond; at those from the late_ms-th the reader takes a byte.
 */
struct reader {
	struct clock clock;
	uint64_t now_ns;
	uint32_t late_ms;
	int ends[2];
};

static uint64_t look(const struct clock *clock)
{
	struct reader *reader = clock->context;
	char byte;
	int left = 0;
	ck_assert_int_eq(ioctl(reader->ends[1], FIONREAD, &left), 0);
	if (reader->now_ns >= (uint64_t)reader->late_ms * STEP_NS && left > 0)
		ck_assert_int_eq(read(reader->ends[0], &byte, 1), 1);
	return reader->now_ns += STEP_NS;
}

static void open_with(struct reader *reader, const char *text, uint32_t late_ms)
{
	*reader = (struct reader){.clock = {.now_ns = look, .context = reader}, .late_ms = late_ms};
	ck_assert_int_eq(pipe2(reader->ends, O_CLOEXEC), 0);
	ck_assert_int_eq(write(reader->ends[1], text, strlen(text)), (ssize_t)strlen(text));
}

static bool wait_for(struct reader *reader)
{
	return drain_wait(reader->ends[1], &reader->clock, TIMEOUT_MS);
}

static int left_in(const struct reader *reader)
{
	int left = -1;
	ck_assert_int_eq(ioctl(reader->ends[0], FIONREAD, &left), 0);
	return left;
}

static void close_both(struct reader *reader)
{
	close(reader->ends[0]);
	close(reader->ends[1]);
}

START_TEST(what_a_late_reader_takes_bit_by_bit_is_waited_for)
{
	struct reader reader;
	open_with(&reader, "last words\n", 10);
	ck_assert(wait_for(&reader));
	ck_assert_int_eq(left_in(&reader), 0);
	close_both(&reader);
}
END_TEST

START_TEST(a_reader_that_takes_nothing_is_not_waited_for_longer_than_the_deadline)
{
	struct reader reader;
	open_with(&reader, "last words\n", UINT32_MAX);
	ck_assert(!wait_for(&reader));
	ck_assert_uint_ge(reader.now_ns, (uint64_t)TIMEOUT_MS * STEP_NS);
	ck_assert_int_eq(left_in(&reader), (int)strlen("last words\n"));
	close_both(&reader);
}
END_TEST

START_TEST(an_empty_pipe_needs_no_wait)
{
	struct reader reader;
	open_with(&reader, "", UINT32_MAX);
	ck_assert(wait_for(&reader));
	ck_assert_uint_eq(reader.now_ns, STEP_NS);
	close_both(&reader);
}
END_TEST

START_TEST(a_reader_that_has_gone_is_not_waited_for)
{
	struct reader reader;
	open_with(&reader, "last words\n", UINT32_MAX);
	close(reader.ends[0]);
	ck_assert(!wait_for(&reader));
	ck_assert_uint_le(reader.now_ns, 2 * STEP_NS);
	close(reader.ends[1]);
}
END_TEST

START_TEST(what_is_no_pipe_is_not_waited_for)
{
	FILE *file = tmpfile();
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs("last words\n", file), 0);
	rewind(file); /* so that there are bytes to read */
	ck_assert(drain_wait(fileno(file), clock_real(), 60000));
	ck_assert(drain_wait(-1, clock_real(), 60000));
	fclose(file);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {what_a_late_reader_takes_bit_by_bit_is_waited_for,
		a_reader_that_takes_nothing_is_not_waited_for_longer_than_the_deadline,
		an_empty_pipe_needs_no_wait, a_reader_that_has_gone_is_not_waited_for,
		what_is_no_pipe_is_not_waited_for, NULL};
	return run_cases("drain", cases);
}
