/* TFRecord framing and TensorBoard's events, byte by byte; tests/worker/event_log_test.py reads
 * them with TensorBoard. */
#include "common/metrics/event_file.h"

#include "proto/event.pb-c.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static char directory[PATH_SIZE];

static uint32_t get_u32(const char *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof(value));
	return value;
}

/* RFC 3720, B.4. */
START_TEST(crc_is_castagnolis)
{
	unsigned char bytes[32];
	static const unsigned char command[48] = {0x01,
		0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
	memset(bytes, 0, sizeof(bytes));
	ck_assert_uint_eq(crc32c(bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	ck_assert_uint_eq(crc32c(bytes, 32), 0x62a8ab43);
	for (unsigned char i = 0; i < 32; i++)
		bytes[i] = i;
	ck_assert_uint_eq(crc32c(bytes, 32), 0x46dd794e);
	for (unsigned char i = 0; i < 32; i++)
		bytes[i] = (unsigned char)(31 - i);
	ck_assert_uint_eq(crc32c(bytes, 32), 0x113fdb5c);
	ck_assert_uint_eq(crc32c(command, sizeof(command)), 0xd9963a56);
	ck_assert_uint_eq(crc32c("123456789", 9), 0xe3069283);
	ck_assert_uint_eq(crc32c("", 0), 0);
	ck_assert_uint_eq(crc32c_masked("", 0), 0xa282ead8);
}
END_TEST

/* The path of the directory's only file. */
static const char *only_file(char path[PATH_SIZE])
{
	size_t found = 0;
	DIR *entries = opendir(directory);
	ck_assert_ptr_nonnull(entries);
	for (struct dirent *entry; (entry = readdir(entries));) {
		if (entry->d_name[0] == '.')
			continue;
		ck_assert_msg(strncmp(entry->d_name, "events.out.tfevents.1700000000.", 31) == 0,
			"%s", entry->d_name);
		scratch_path(path, directory, entry->d_name);
		found++;
	}
	closedir(entries);
	ck_assert_uint_eq(found, 1);
	return path;
}

#define EVENTS_MAX 8

/* All of the file's events, their frames checked. */
static size_t read_events(const char *path, Marquee__Tensorboard__V1__Event *events[EVENTS_MAX])
{
	size_t size, n = 0, at = 0;
	char *bytes = scratch_read(path, &size);
	while (at < size) {
		ck_assert_uint_lt(n, EVENTS_MAX);
		ck_assert_uint_le(at + RECORD_HEAD_SIZE + RECORD_TAIL_SIZE, size);
		const size_t length = get_u32(bytes + at);
		ck_assert_uint_eq(get_u32(bytes + at + 4), 0);
		ck_assert_uint_eq(get_u32(bytes + at + 8), crc32c_masked(bytes + at, 8));
		at += RECORD_HEAD_SIZE;
		ck_assert_uint_le(length + RECORD_TAIL_SIZE, size - at);
		ck_assert_uint_eq(get_u32(bytes + at + length), crc32c_masked(bytes + at, length));
		events[n] = marquee__tensorboard__v1__event__unpack(
			NULL, length, (const uint8_t *)bytes + at);
		ck_assert_ptr_nonnull(events[n]);
		n++;
		at += length + RECORD_TAIL_SIZE;
	}
	free(bytes);
	return n;
}

static void free_events(Marquee__Tensorboard__V1__Event **events, size_t n)
{
	for (size_t i = 0; i < n; i++)
		marquee__tensorboard__v1__event__free_unpacked(events[i], NULL);
}

START_TEST(a_file_has_its_version_its_restart_and_its_values)
{
	struct error err;
	struct event_file file;
	char path[PATH_SIZE];
	Marquee__Tensorboard__V1__Event *events[EVENTS_MAX];
	struct event_histogram histogram = {0}, empty = {0};
	for (int i = 0; i < 3; i++)
		event_histogram_add(&histogram, 2.0);
	event_histogram_add(&histogram, 0.5);
	const struct event_value values[] = {
		{.tag = "loss", .number = 0.25},
		{.tag = "not measured", .number = NAN},
		{.tag = "norms", .histogram = &histogram},
		{.tag = "none", .histogram = &empty},
		{.tag = "words", .text = "a *b*"},
	};
	scratch_open(directory);
	assert_ok(event_file_open(&file, directory, 1.7e9, &err), &err);
	assert_ok(event_file_restart(&file, 1.7e9, 100, &err), &err);
	assert_ok(event_file_write(&file, 1.7e9 + 1, 200, values, 5, &err), &err);
	assert_ok(event_file_write(&file, 1.7e9 + 1, 200, &values[1], 1, &err), &err);
	event_file_close(&file);
	ck_assert_uint_eq(read_events(only_file(path), events), 3);
	ck_assert_int_eq(events[0]->what_case, MARQUEE__TENSORBOARD__V1__EVENT__WHAT_FILE_VERSION);
	ck_assert_str_eq(events[0]->file_version, "brain.Event:2");
	ck_assert_int_eq(events[1]->what_case, MARQUEE__TENSORBOARD__V1__EVENT__WHAT_SESSION_LOG);
	ck_assert_int_eq(events[1]->step, 100);
	ck_assert_int_eq(events[2]->what_case, MARQUEE__TENSORBOARD__V1__EVENT__WHAT_SUMMARY);
	ck_assert_int_eq(events[2]->step, 200);
	ck_assert_double_eq(events[2]->wall_time, 1.7e9 + 1);
	const Marquee__Tensorboard__V1__Summary *summary = events[2]->summary;
	ck_assert_uint_eq(summary->n_value, 3);
	ck_assert_str_eq(summary->value[0]->tag, "loss");
	ck_assert_float_eq(summary->value[0]->simple_value, 0.25f);
	ck_assert_str_eq(summary->value[1]->tag, "norms");
	ck_assert_double_eq(summary->value[1]->histo->num, 4);
	ck_assert_str_eq(summary->value[2]->metadata->plugin_data->plugin_name, "text");
	ck_assert_uint_eq(summary->value[2]->tensor->string_val[0].len, 5);
	free_events(events, 3);
	scratch_close(directory);
}
END_TEST

START_TEST(every_value_falls_between_its_buckets_ends)
{
	struct error err;
	char path[PATH_SIZE];
	Marquee__Tensorboard__V1__Event *events[EVENTS_MAX];
	const double samples[] = {0, 1e-12, 1e-9, 3e-7, 0.02, 1, 1.0999999, 1.1, 7, 1e5, INFINITY};
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct event_file file;
		struct event_histogram histogram = {0};
		const struct event_value value = {.tag = "one", .histogram = &histogram};
		event_histogram_add(&histogram, NAN);
		event_histogram_add(&histogram, -1);
		event_histogram_add(&histogram, samples[i]);
		scratch_open(directory);
		assert_ok(event_file_open(&file, directory, 1.7e9, &err), &err);
		assert_ok(event_file_write(&file, 1.7e9, 1, &value, 1, &err), &err);
		event_file_close(&file);
		ck_assert_uint_eq(read_events(only_file(path), events), 2);
		const Marquee__Tensorboard__V1__HistogramProto *histo =
			events[1]->summary->value[0]->histo;
		const size_t n = histo->n_bucket;
		ck_assert_uint_eq(n, histo->n_bucket_limit);
		ck_assert_uint_ge(n, 1);
		ck_assert_double_eq(histo->bucket[n - 1], 1);
		ck_assert_double_eq(histo->min, histo->max);
		ck_assert(histo->max <= histo->bucket_limit[n - 1] * (1 + 1e-6));
		ck_assert(n == 1 || histo->min >= histo->bucket_limit[n - 2]);
		free_events(events, 2);
		scratch_close(directory);
	}
}
END_TEST

START_TEST(runs_of_one_second_have_files_of_their_own)
{
	struct error err;
	struct event_file first, second;
	scratch_open(directory);
	assert_ok(event_file_open(&first, directory, 1.7e9, &err), &err);
	assert_ok(event_file_open(&second, directory, 1.7e9, &err), &err);
	ck_assert_str_ne(first.records.path, second.records.path);
	event_file_close(&first);
	event_file_close(&second);
	scratch_close(directory);
	assert_fails(event_file_open(&first, "/proc/no", 1.7e9, &err), STATUS_NOT_FOUND, &err,
		"/proc/no");
}
END_TEST

/* A limit on the size of files stands for the disk. */
START_TEST(a_record_that_did_not_fit_is_not_counted)
{
	struct error err;
	struct event_file file;
	char path[PATH_SIZE];
	Marquee__Tensorboard__V1__Event *events[EVENTS_MAX];
	const struct event_value value = {.tag = "loss", .number = 1};
	struct rlimit before;
	scratch_open(directory);
	assert_ok(event_file_open(&file, directory, 1.7e9, &err), &err);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	const struct rlimit small = {file.records.size + 20, before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	enum status status = event_file_write(&file, 1.7e9, 1, &value, 1, &err);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	ck_assert_int_ne(status, STATUS_OK);
	assert_ok(event_file_write(&file, 1.7e9, 2, &value, 1, &err), &err);
	event_file_close(&file);
	ck_assert_uint_eq(read_events(only_file(path), events), 2);
	ck_assert_int_eq(events[1]->step, 2);
	free_events(events, 2);
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		crc_is_castagnolis,
		a_file_has_its_version_its_restart_and_its_values,
		every_value_falls_between_its_buckets_ends,
		runs_of_one_second_have_files_of_their_own,
		a_record_that_did_not_fit_is_not_counted,
		NULL,
	};
	return run_cases("event_file", cases);
}
