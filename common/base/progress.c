#include "common/base/progress.h"

#include "common/base/status.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TERMINAL_INTERVAL_NS UINT64_C(100000000)
#define PLAIN_INTERVAL_NS    UINT64_C(10000000000)
#define BAR_WIDTH	     20
#define ETA_MAX_SECONDS	     (100 * 3600.0) /* beyond it the estimate says nothing */

/* A line under construction; what does not fit is cut. */
struct line {
	char text[256];
	size_t length;
};

PRINTF_LIKE(2, 3) static void append(struct line *line, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	size_t left = sizeof(line->text) - line->length;
	int used = vsnprintf(line->text + line->length, left, format, args);
	va_end(args);
	if (used > 0)
		line->length += (size_t)used < left ? (size_t)used : left - 1;
}

void progress_init(struct progress *progress, int descriptor, const struct clock *clock,
	uint64_t total, const char *unit)
{
	*progress = (struct progress){.descriptor = descriptor,
		.terminal = isatty(descriptor) == 1,
		.clock = clock,
		.total = total,
		.unit = unit,
		.loss = NAN};
	progress_start(progress, 0);
}

void progress_start(struct progress *progress, uint64_t done)
{
	progress->start_ns = progress->drawn_ns = clock_now_ns(progress->clock);
	progress->start_done = progress->done = done;
}

void progress_label(struct progress *progress, const char *label)
{
	snprintf(progress->label, sizeof(progress->label), "%s", label);
}

static void append_share(struct line *line, const struct progress *progress)
{
	double share = (double)progress->done / (double)progress->total;
	share = share < 1.0 ? share : 1.0;
	if (progress->terminal) {
		char bar[BAR_WIDTH + 1];
		memset(bar, '.', BAR_WIDTH);
		memset(bar, '#', (size_t)(share * BAR_WIDTH));
		bar[BAR_WIDTH] = '\0';
		append(line, "[%s] ", bar);
	}
	append(line, "%3.0f%%  ", floor(share * 100.0));
}

static void append_rate(struct line *line, double rate, const char *unit)
{
	if (rate >= 1e6)
		append(line, "  %.2fM %s/s", rate * 1e-6, unit);
	else if (rate >= 1e4)
		append(line, "  %.0fk %s/s", rate * 1e-3, unit);
	else
		append(line, "  %.*f %s/s", rate < 10.0 ? 1 : 0, rate, unit);
}

static void append_eta(struct line *line, double seconds)
{
	if (seconds > ETA_MAX_SECONDS)
		return;
	uint64_t whole = (uint64_t)ceil(seconds);
	append(line, "  ETA %" PRIu64 ":%02" PRIu64 ":%02" PRIu64, whole / 3600, whole / 60 % 60,
		whole % 60);
}

static void draw(struct progress *progress, uint64_t now_ns)
{
	struct line line = {.length = 0};
	if (progress->terminal)
		append(&line, "\r");
	if (progress->label[0])
		append(&line, "%s ", progress->label);
	if (progress->total)
		append_share(&line, progress);
	append(&line, "%" PRIu64, progress->done);
	if (progress->total)
		append(&line, "/%" PRIu64, progress->total);
	append(&line, " %s", progress->unit);
	double seconds = (double)(now_ns - progress->start_ns) * 1e-9;
	uint64_t done = progress->done - progress->start_done;
	if (seconds > 0.0 && done > 0) {
		double rate = (double)done / seconds;
		append_rate(&line, rate, progress->unit);
		if (progress->total > progress->done)
			append_eta(&line, (double)(progress->total - progress->done) / rate);
	}
	if (!isnan(progress->loss))
		append(&line, "  loss %.4f", progress->loss);
	append(&line, "%s", progress->terminal ? "\033[K" : "\n");
	ssize_t put = write(progress->descriptor, line.text, line.length);
	(void)put;
	progress->open_line = progress->terminal;
	progress->drawn_ns = now_ns;
}

void progress_update(struct progress *progress, uint64_t done, double loss)
{
	progress->done = done;
	progress->loss = loss;
	uint64_t now_ns = clock_now_ns(progress->clock);
	uint64_t interval = progress->terminal ? TERMINAL_INTERVAL_NS : PLAIN_INTERVAL_NS;
	if (now_ns - progress->drawn_ns >= interval)
		draw(progress, now_ns);
}

void progress_finish(struct progress *progress)
{
	if (!progress->open_line)
		return;
	ssize_t put = write(progress->descriptor, "\r\033[K", 4);
	(void)put;
	progress->open_line = false;
}
