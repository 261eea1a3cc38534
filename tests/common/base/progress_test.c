#include "common/base/progress.h"

#include "tests/support/suite.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A clock that stands still until it is told otherwise. */
struct stopped_clock {
	struct clock clock;
	uint64_t now_ns;
};

static uint64_t stopped_now_ns(const struct clock *clock)
{
	return ((const struct stopped_clock *)clock->context)->now_ns;
}

static void stopped_init(struct stopped_clock *stopped)
{
	*stopped = (struct stopped_clock){
		.clock = {.now_ns = stopped_now_ns, .context = stopped}, .now_ns = 5000};
}

static void advance(struct stopped_clock *stopped, double seconds)
{
	stopped->now_ns += (uint64_t)(seconds * 1e9);
}

/* Reads what is there; the descriptor must not block. */
static const char *read_text(int descriptor)
{
	static char text[4096];
	ssize_t got = read(descriptor, text, sizeof(text) - 1);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static void pipe_open(int ends[2])
{
	ck_assert_int_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
}

START_TEST(without_a_terminal_a_plain_line_comes_every_ten_seconds)
{
	int ends[2];
	pipe_open(ends);
	struct stopped_clock stopped;
	stopped_init(&stopped);
	struct progress progress;
	progress_init(&progress, ends[1], &stopped.clock, 1000000, "ratings");
	progress_label(&progress, "epoch 3/20");
	advance(&stopped, 9.9);
	progress_update(&progress, 240000, 0.9);
	ck_assert_str_eq(read_text(ends[0]), "");
	advance(&stopped, 0.1);
	progress_update(&progress, 250000, 0.85);
	ck_assert_str_eq(read_text(ends[0]), "epoch 3/20  25%  250000/1000000 ratings  25k "
					     "ratings/s  ETA 0:00:30  loss 0.8500\n");
	progress_update(&progress, 260000, 0.8);
	progress_finish(&progress);
	ck_assert_str_eq(read_text(ends[0]), "");
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(a_resumed_run_counts_only_its_own_work_as_rate)
{
	int ends[2];
	pipe_open(ends);
	struct stopped_clock stopped;
	stopped_init(&stopped);
	struct progress progress;
	progress_init(&progress, ends[1], &stopped.clock, 2000, "steps");
	progress_start(&progress, 1000);
	advance(&stopped, 10);
	progress_update(&progress, 1100, NAN);
	ck_assert_str_eq(read_text(ends[0]), " 55%  1100/2000 steps  10 steps/s  ETA 0:01:30\n");
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(an_unknown_total_shows_neither_share_nor_eta)
{
	int ends[2];
	pipe_open(ends);
	struct stopped_clock stopped;
	stopped_init(&stopped);
	struct progress progress;
	progress_init(&progress, ends[1], &stopped.clock, 0, "lines");
	advance(&stopped, 10);
	progress_update(&progress, 30000000, NAN);
	ck_assert_str_eq(read_text(ends[0]), "30000000 lines  3.00M lines/s\n");
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(a_terminal_is_redrawn_ten_times_a_second_and_left_clean)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
		return; /* a sandbox without pseudo terminals */
	int screen = open(ptsname(terminal), O_RDWR | O_NOCTTY);
	ck_assert_int_ge(screen, 0);
	struct stopped_clock stopped;
	stopped_init(&stopped);
	struct progress progress;
	progress_init(&progress, screen, &stopped.clock, 100, "steps");
	ck_assert(progress.terminal);
	int lines = 0;
	for (int i = 0; i < 100; i++) {
		advance(&stopped, 0.03);
		progress_update(&progress, (uint64_t)i, 1.0);
		lines += read_text(terminal)[0] == '\r';
	}
	ck_assert_int_ge(lines, 20);
	ck_assert_int_le(lines, 30);
	progress_finish(&progress);
	ck_assert_str_eq(read_text(terminal), "\r\033[K");
	progress_finish(&progress);
	ck_assert_str_eq(read_text(terminal), "");
	close(screen);
	close(terminal);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {without_a_terminal_a_plain_line_comes_every_ten_seconds,
		a_resumed_run_counts_only_its_own_work_as_rate,
		an_unknown_total_shows_neither_share_nor_eta,
		a_terminal_is_redrawn_ten_times_a_second_and_left_clean, NULL};
	return run_cases("progress", cases);
}
