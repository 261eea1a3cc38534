#include "common/metrics/prometheus.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NS_PER_S 1e9

/* Upper ends, inclusive. */
static const double bounds_s[LATENCY_BUCKETS] = {1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3,
	2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

void latency_observe(struct latency_histogram *histogram, uint64_t ns)
{
	const double seconds = (double)ns / NS_PER_S;
	size_t bucket = 0;
	while (bucket < LATENCY_BUCKETS && seconds > bounds_s[bucket])
		bucket++;
	atomic_fetch_add_explicit(&histogram->counts[bucket], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
}

void prometheus_init(struct prometheus *prometheus)
{
	*prometheus = (struct prometheus){0};
	prometheus->out = open_memstream(&prometheus->text, &prometheus->size);
}

enum status prometheus_finish(
	struct prometheus *prometheus, char **ret_text, size_t *ret_size, struct error *err)
{
	bool failed = !prometheus->out || ferror(prometheus->out);
	if (prometheus->out && fclose(prometheus->out) != 0)
		failed = true;
	prometheus->out = NULL;
	if (failed) {
		free(prometheus->text);
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "metrics: no memory");
	}
	*ret_text = prometheus->text;
	*ret_size = prometheus->size;
	return STATUS_OK;
}

void prometheus_family(struct prometheus *prometheus, const char *name, enum prometheus_kind kind,
	const char *help)
{
	static const char *const kinds[] = {[PROMETHEUS_COUNTER] = "counter",
		[PROMETHEUS_GAUGE] = "gauge",
		[PROMETHEUS_HISTOGRAM] = "histogram"};
	prometheus->name = name;
	if (prometheus->out)
		fprintf(prometheus->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
			kinds[kind]);
}

static void write_value(FILE *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			fprintf(out, "\\%c", *value);
		else if (*value == '\n')
			fputs("\\n", out);
		else
			fputc(*value, out);
	}
}

/* name suffix {labels, le="bound"}; the bound may be NULL. */
static void write_name(const struct prometheus *prometheus, const char *suffix,
	const struct prometheus_label *labels, size_t label_count, const char *bound)
{
	FILE *out = prometheus->out;
	const char *separator = "{";
	fprintf(out, "%s%s", prometheus->name, suffix);
	for (size_t i = 0; i < label_count; i++, separator = ",") {
		fprintf(out, "%s%s=\"", separator, labels[i].name);
		write_value(out, labels[i].value);
		fputc('"', out);
	}
	if (bound) {
		fprintf(out, "%sle=\"%s\"", separator, bound);
		separator = ",";
	}
	if (*separator == ',')
		fputc('}', out);
}

void prometheus_count(struct prometheus *prometheus, const struct prometheus_label *labels,
	size_t label_count, uint64_t value)
{
	if (!prometheus->out)
		return;
	write_name(prometheus, "", labels, label_count, NULL);
	fprintf(prometheus->out, " %" PRIu64 "\n", value);
}

void prometheus_number(struct prometheus *prometheus, const struct prometheus_label *labels,
	size_t label_count, double value)
{
	if (!prometheus->out)
		return;
	write_name(prometheus, "", labels, label_count, NULL);
	if (isnan(value))
		fputs(" NaN\n", prometheus->out);
	else if (isinf(value))
		fputs(value > 0 ? " +Inf\n" : " -Inf\n", prometheus->out);
	else
		fprintf(prometheus->out, " %.15g\n", value);
}

void prometheus_latency(struct prometheus *prometheus, const struct prometheus_label *labels,
	size_t label_count, struct latency_histogram *histogram)
{
	FILE *out = prometheus->out;
	uint64_t total = 0;
	if (!out)
		return;
	for (size_t b = 0; b <= LATENCY_BUCKETS; b++) {
		char bound[32] = "+Inf";
		if (b < LATENCY_BUCKETS)
			snprintf(bound, sizeof(bound), "%.15g", bounds_s[b]);
		total += atomic_load_explicit(&histogram->counts[b], memory_order_relaxed);
		write_name(prometheus, "_bucket", labels, label_count, bound);
		fprintf(out, " %" PRIu64 "\n", total);
	}
	write_name(prometheus, "_sum", labels, label_count, NULL);
	fprintf(out, " %.15g\n",
		(double)atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed) / NS_PER_S);
	write_name(prometheus, "_count", labels, label_count, NULL);
	/* Not counted by itself: it must be the last bucket, whatever is observed meanwhile. */
	fprintf(out, " %" PRIu64 "\n", total);
}

/* ---- the process ---- */

/* Field number `field` (from 1) of /proc/self/stat, -1 when it cannot be read. proc(5). */
static double stat_field(int field)
{
	char line[1024] = "";
	FILE *file = fopen("/proc/self/stat", "re");
	if (file) {
		if (!fgets(line, sizeof(line), file))
			line[0] = '\0';
		fclose(file);
	}
	/* The second field, the program's name in parentheses, may contain anything. */
	char *at = strrchr(line, ')');
	for (int i = 2; at && i < field; i++)
		at = strchr(at + 1, ' ');
	return at ? strtod(at, NULL) : -1;
}

/* The system's start, in seconds since 1970. */
static double boot_time_s(void)
{
	char line[256];
	double boot = -1;
	FILE *file = fopen("/proc/stat", "re");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "btime ", 6) == 0)
			boot = strtod(line + 6, NULL);
	if (file)
		fclose(file);
	return boot;
}

static uint64_t open_files(void)
{
	uint64_t n = 0;
	DIR *directory = opendir("/proc/self/fd");
	while (directory && readdir(directory))
		n++;
	if (directory)
		closedir(directory);
	return n > 3 ? n - 3 : 0; /* without ".", ".." and the directory itself */
}

static double seconds_of(const struct timeval *time)
{
	return (double)time->tv_sec + (double)time->tv_usec * 1e-6;
}

void prometheus_process(struct prometheus *prometheus)
{
	struct rusage usage = {0};
	(void)getrusage(RUSAGE_SELF, &usage);
	const double started = stat_field(22), boot = boot_time_s(), pages = stat_field(24);
	prometheus_family(prometheus, "process_cpu_seconds_total", PROMETHEUS_COUNTER,
		"User and system CPU time.");
	prometheus_number(
		prometheus, NULL, 0, seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
	prometheus_family(
		prometheus, "process_open_fds", PROMETHEUS_GAUGE, "Open file descriptors.");
	prometheus_count(prometheus, NULL, 0, open_files());
	if (pages >= 0) {
		prometheus_family(prometheus, "process_resident_memory_bytes", PROMETHEUS_GAUGE,
			"Resident memory.");
		prometheus_number(prometheus, NULL, 0, pages * (double)sysconf(_SC_PAGESIZE));
	}
	if (started >= 0 && boot >= 0) {
		prometheus_family(prometheus, "process_start_time_seconds", PROMETHEUS_GAUGE,
			"Start of the process, in seconds since 1970.");
		prometheus_number(
			prometheus, NULL, 0, boot + started / (double)sysconf(_SC_CLK_TCK));
	}
}
