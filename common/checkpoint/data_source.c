#include "common/checkpoint/data_source.h"

#include "common/checkpoint/json_field.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static char *absolute(const char *path)
{
	if (!path)
		return NULL;
	char *resolved = realpath(path, NULL);
	return resolved ? resolved : strdup(path);
}

/* Takes the source, unless there was no memory for its paths. */
static enum status take_paths(struct data_source *ret, struct data_source *source,
	bool has_test_ratings, struct error *err)
{
	if (!source->directory || (has_test_ratings && !source->test_ratings)) {
		data_source_fini(source);
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "data source: no memory");
	}
	*ret = *source;
	return STATUS_OK;
}

enum status data_source_init(struct data_source *ret, const char *directory,
	const char *test_ratings, double holdout, uint64_t seed, struct error *err)
{
	struct data_source source = {.directory = absolute(directory),
		.test_ratings = absolute(test_ratings),
		.holdout = holdout,
		.seed = seed};
	return take_paths(ret, &source, test_ratings != NULL, err);
}

void data_source_fini(struct data_source *source)
{
	free(source->directory);
	free(source->test_ratings);
	*source = (struct data_source){0};
}

json_t *data_source_to_json(const struct data_source *source)
{
	return json_pack("{s:s, s:s?, s:f, s:o}", "directory", source->directory, "test_ratings",
		source->test_ratings, "holdout", source->holdout, "seed",
		json_from_u64(source->seed));
}

enum status data_source_from_json(struct data_source *ret, const json_t *object, struct error *err)
{
	const char *directory, *test_ratings;
	double holdout;
	uint64_t seed;
	enum status status = json_field_string(object, "directory", &directory, err);
	if (status == STATUS_OK)
		status = json_field_optional_string(object, "test_ratings", &test_ratings, err);
	if (status == STATUS_OK)
		status = json_field_double(object, "holdout", &holdout, err);
	if (status == STATUS_OK)
		status = json_field_u64(object, "seed", &seed, err);
	if (status != STATUS_OK)
		return status;
	if (!(holdout >= 0.0 && holdout < 1.0))
		return error_set(err, STATUS_DATA_LOSS, "'holdout' %g is not in [0, 1)", holdout);
	struct data_source source = {.directory = strdup(directory),
		.test_ratings = test_ratings ? strdup(test_ratings) : NULL,
		.holdout = holdout,
		.seed = seed};
	return take_paths(ret, &source, test_ratings != NULL, err);
}
