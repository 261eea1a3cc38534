#include "common/metrics/event_file.h"

#include "common/base/memory.h"
#include "proto/event.pb-c.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_LIMIT    1e-9
#define GROWTH	       1.1
#define DT_STRING      7
#define FILE_VERSION   "brain.Event:2"
#define NAMES_A_SECOND 100u

typedef Marquee__Tensorboard__V1__Event event_message;
typedef Marquee__Tensorboard__V1__Summary summary_message;
typedef Marquee__Tensorboard__V1__Summary__Value value_message;
typedef Marquee__Tensorboard__V1__HistogramProto histogram_message;
typedef Marquee__Tensorboard__V1__SummaryMetadata metadata_message;
typedef Marquee__Tensorboard__V1__SummaryMetadata__PluginData plugin_message;
typedef Marquee__Tensorboard__V1__TensorProto tensor_message;
typedef Marquee__Tensorboard__V1__TensorProto__Shape shape_message;

/* ---- histograms ---- */

/* Bucket b > 0 ends at FIRST_LIMIT * GROWTH^(b - 1), bucket 0 at 0. */
static double bucket_limit(size_t bucket)
{
	return bucket == 0 ? 0 : FIRST_LIMIT * pow(GROWTH, (double)bucket - 1);
}

static size_t bucket_of(double value)
{
	if (value <= 0)
		return 0;
	if (value <= FIRST_LIMIT)
		return 1;
	double bucket = 1 + ceil(log(value / FIRST_LIMIT) / log(GROWTH) - 1e-9);
	return bucket < EVENT_BUCKETS ? (size_t)bucket : EVENT_BUCKETS - 1;
}

void event_histogram_add(struct event_histogram *histogram, double value)
{
	if (isnan(value) || value < 0)
		return;
	if (isinf(value))
		value = bucket_limit(EVENT_BUCKETS - 1);
	if (histogram->count == 0 || value < histogram->min)
		histogram->min = value;
	if (histogram->count == 0 || value > histogram->max)
		histogram->max = value;
	histogram->sum += value;
	histogram->sum_squares += value * value;
	histogram->counts[bucket_of(value)]++;
	histogram->count++;
}

/* The buckets from the one before the first that is not empty to the last; limits and counts have
 * room for all. */
static void describe_histogram(histogram_message *message, const struct event_histogram *histogram,
	double *limits, double *counts)
{
	size_t first = 0, last = EVENT_BUCKETS - 1, n = 0;
	while (!histogram->counts[first])
		first++;
	while (!histogram->counts[last])
		last--;
	if (first > 0)
		first--; /* the lower end of the first bucket that counts */
	for (size_t b = first; b <= last; b++, n++) {
		limits[n] = bucket_limit(b);
		counts[n] = (double)histogram->counts[b];
	}
	message->min = histogram->min;
	message->max = histogram->max;
	message->num = (double)histogram->count;
	message->sum = histogram->sum;
	message->sum_squares = histogram->sum_squares;
	message->n_bucket_limit = message->n_bucket = n;
	message->bucket_limit = limits;
	message->bucket = counts;
}

/* ---- events ---- */

static enum status write_event(
	struct event_file *file, const event_message *event, struct error *err)
{
	unsigned char *out;
	const size_t size = marquee__tensorboard__v1__event__get_packed_size(event);
	enum status status = record_file_reserve(&file->records, size, &out, err);
	if (status != STATUS_OK)
		return status;
	marquee__tensorboard__v1__event__pack(event, out);
	return record_file_append(&file->records, size, err);
}

static enum status create(
	struct event_file *file, const char *directory, double wall_time, struct error *err)
{
	char host[64] = "", name[160], path[PATH_SIZE];
	enum status status = STATUS_OK;
	(void)gethostname(host, sizeof(host) - 1);
	for (char *c = host; *c; c++)
		if (*c == '/')
			*c = '_';
	/* One process may start several runs in a second. */
	for (unsigned int i = 0; i < NAMES_A_SECOND; i++) {
		snprintf(name, sizeof(name), "events.out.tfevents.%010lld.%s.%ld.%02u",
			(long long)wall_time, host[0] ? host : "localhost", (long)getpid(), i);
		status = path_join(path, directory, name, err);
		if (status == STATUS_OK)
			status = record_file_create(&file->records, path, err);
		if (status != STATUS_ALREADY_EXISTS)
			break;
	}
	return status;
}

enum status event_file_open(
	struct event_file *file, const char *directory, double wall_time, struct error *err)
{
	event_message event = MARQUEE__TENSORBOARD__V1__EVENT__INIT;
	*file = (struct event_file){0};
	enum status status = directory_create(directory, err);
	if (status == STATUS_OK)
		status = create(file, directory, wall_time, err);
	if (status != STATUS_OK)
		return status;
	event.wall_time = wall_time;
	event.what_case = MARQUEE__TENSORBOARD__V1__EVENT__WHAT_FILE_VERSION;
	event.file_version = FILE_VERSION;
	status = write_event(file, &event, err);
	if (status != STATUS_OK)
		event_file_close(file);
	return status;
}

void event_file_close(struct event_file *file)
{
	record_file_close(&file->records);
}

enum status event_file_restart(
	struct event_file *file, double wall_time, uint64_t step, struct error *err)
{
	event_message event = MARQUEE__TENSORBOARD__V1__EVENT__INIT;
	Marquee__Tensorboard__V1__SessionLog session = MARQUEE__TENSORBOARD__V1__SESSION_LOG__INIT;
	session.status = MARQUEE__TENSORBOARD__V1__SESSION_LOG__STATUS__START;
	event.wall_time = wall_time;
	event.step = (int64_t)step;
	event.what_case = MARQUEE__TENSORBOARD__V1__EVENT__WHAT_SESSION_LOG;
	event.session_log = &session;
	return write_event(file, &event, err);
}

/* One value with all that its message points to. */
struct described {
	value_message value;
	histogram_message histogram;
	metadata_message metadata;
	plugin_message plugin;
	tensor_message tensor;
	shape_message shape;
	ProtobufCBinaryData text;
	double limits[EVENT_BUCKETS], counts[EVENT_BUCKETS];
};

static void describe_text(struct described *to, const char *text)
{
	to->plugin = (plugin_message)MARQUEE__TENSORBOARD__V1__SUMMARY_METADATA__PLUGIN_DATA__INIT;
	to->plugin.plugin_name = "text";
	to->metadata = (metadata_message)MARQUEE__TENSORBOARD__V1__SUMMARY_METADATA__INIT;
	to->metadata.plugin_data = &to->plugin;
	to->shape = (shape_message)MARQUEE__TENSORBOARD__V1__TENSOR_PROTO__SHAPE__INIT;
	to->text = (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
	to->tensor = (tensor_message)MARQUEE__TENSORBOARD__V1__TENSOR_PROTO__INIT;
	to->tensor.dtype = DT_STRING;
	to->tensor.tensor_shape = &to->shape;
	to->tensor.n_string_val = 1;
	to->tensor.string_val = &to->text;
	to->value.metadata = &to->metadata;
	to->value.value_case = MARQUEE__TENSORBOARD__V1__SUMMARY__VALUE__VALUE_TENSOR;
	to->value.tensor = &to->tensor;
}

/* Whether there is something to write. */
static bool describe(struct described *to, const struct event_value *from)
{
	to->value = (value_message)MARQUEE__TENSORBOARD__V1__SUMMARY__VALUE__INIT;
	to->value.tag = (char *)(uintptr_t)from->tag;
	if (from->text) {
		describe_text(to, from->text);
		return true;
	}
	if (from->histogram) {
		to->histogram = (histogram_message)MARQUEE__TENSORBOARD__V1__HISTOGRAM_PROTO__INIT;
		if (from->histogram->count == 0)
			return false;
		describe_histogram(&to->histogram, from->histogram, to->limits, to->counts);
		to->value.value_case = MARQUEE__TENSORBOARD__V1__SUMMARY__VALUE__VALUE_HISTO;
		to->value.histo = &to->histogram;
		return true;
	}
	to->value.value_case = MARQUEE__TENSORBOARD__V1__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
	to->value.simple_value = (float)from->number;
	return !isnan(from->number);
}

enum status event_file_write(struct event_file *file, double wall_time, uint64_t step,
	const struct event_value *values, size_t count, struct error *err)
{
	event_message event = MARQUEE__TENSORBOARD__V1__EVENT__INIT;
	summary_message summary = MARQUEE__TENSORBOARD__V1__SUMMARY__INIT;
	struct described *described = NULL;
	value_message **list = NULL;
	enum status status = memory_alloc(&described, count, sizeof(*described), "event", err);
	if (status == STATUS_OK)
		status = memory_alloc(&list, count, sizeof(value_message *), "event", err);
	for (size_t i = 0; i < count && status == STATUS_OK; i++)
		if (describe(&described[i], &values[i]))
			list[summary.n_value++] = &described[i].value;
	summary.value = list;
	event.wall_time = wall_time;
	event.step = (int64_t)step;
	event.what_case = MARQUEE__TENSORBOARD__V1__EVENT__WHAT_SUMMARY;
	event.summary = &summary;
	if (status == STATUS_OK && summary.n_value > 0)
		status = write_event(file, &event, err);
	free(described);
	free(list);
	return status;
}
