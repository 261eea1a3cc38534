#include "common/model/model_record.h"

#include "common/base/flags.h"

#include <inttypes.h>

static const struct {
	const char *name;
	size_t member;
} sizes_members[] = {
	{"users", offsetof(struct model_sizes, users)},
	{"genders", offsetof(struct model_sizes, genders)},
	{"ages", offsetof(struct model_sizes, ages)},
	{"occupations", offsetof(struct model_sizes, occupations)},
	{"movies", offsetof(struct model_sizes, movies)},
	{"genres", offsetof(struct model_sizes, genres)},
	{"words", offsetof(struct model_sizes, words)},
};

#define SIZES_COUNT (sizeof(sizes_members) / sizeof(sizes_members[0]))

/* JSON integers end at 2^63 - 1 in jansson; a larger one is a decimal string. */
static json_t *size_to_json(uint64_t value)
{
	return value <= INT64_MAX ? json_integer((json_int_t)value)
				  : json_sprintf("%" PRIu64, value);
}

static bool size_from_json(uint64_t *ret, const json_t *value)
{
	if (json_is_string(value))
		return parse_u64(json_string_value(value), ret, NULL) == STATUS_OK;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(value);
	return true;
}

json_t *model_record_to_json(const struct model_config *config, const struct model_sizes *sizes)
{
	json_t *members = json_object();
	for (size_t i = 0; i < SIZES_COUNT; i++) {
		const char *at = (const char *)sizes + sizes_members[i].member;
		json_object_set_new(
			members, sizes_members[i].name, size_to_json(*(const uint64_t *)at));
	}
	return json_pack("{s:o, s:o}", "config", model_config_to_json(config), "sizes", members);
}

enum status model_record_from_json(struct model_config *ret_config, struct model_sizes *ret_sizes,
	const json_t *json, struct error *err)
{
	struct model_config config;
	struct model_sizes sizes;
	enum status status = model_config_from_json(&config, json_object_get(json, "config"), err);
	if (status != STATUS_OK)
		return error_wrap(err, STATUS_DATA_LOSS, "'config'");
	const json_t *members = json_object_get(json, "sizes");
	for (size_t i = 0; i < SIZES_COUNT; i++) {
		uint64_t *at = (uint64_t *)((char *)&sizes + sizes_members[i].member);
		if (!size_from_json(at, json_object_get(members, sizes_members[i].name)))
			return error_set(err, STATUS_DATA_LOSS, "'sizes': '%s' is not a number",
				sizes_members[i].name);
	}
	*ret_config = config;
	*ret_sizes = sizes;
	return STATUS_OK;
}
