/* Configuration and sizes as JSON, as checkpoints and exported models keep them. */
#include "common/model/model_record.h"

#include "common/model/model.h"
#include "tests/support/suite.h"

#include <stdlib.h>
#include <string.h>

static enum status parse(struct model_config *ret, const char *text, struct error *err)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
	ck_assert_msg(json != NULL, "test JSON: %s", text);
	enum status status = model_config_from_json(ret, json, err);
	json_decref(json);
	return status;
}

START_TEST(errors_in_the_configuration_name_the_key)
{
	static const struct {
		const char *json, *text;
	} bad[] = {
		{"[]", "object"},
		{"{\"hiden\": 3}", "\"hiden\""},
		{"{\"hidden\": 0}", "\"hidden\" is 0: expected an integer from 1 to 4096"},
		{"{\"hidden\": 4097}", "\"hidden\""},
		{"{\"word_dim\": -1}", "\"word_dim\""},
		{"{\"word_dim\": 1e1}", "\"word_dim\""},
		{"{\"user_dim\": \"32\"}", "\"user_dim\""},
		{"{\"filter_width\": 65}", "\"filter_width\""},
		{"{\"genre_dim\": 9223372036854775807}", "\"genre_dim\""},
		{"{\"pooling\": \"mean\"}", "\"pooling\": expected \"sum\" or \"max\""},
		{"{\"pooling\": 1}", "\"pooling\""},
		{"{\"model\": \"fission\"}", "\"model\""},
		{"{\"model\": 1}", "\"model\""},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err;
		struct model_config config = {.kind = NULL};
		assert_fails(parse(&config, bad[i].json, &err), STATUS_INVALID_ARGUMENT, &err,
			bad[i].text);
		ck_assert_ptr_null(config.kind);
	}
}
END_TEST

START_TEST(a_configuration_survives_json)
{
	struct error err;
	struct model_config config, again, initial;
	assert_ok(
		parse(&config, "{\"hidden\": 50, \"pooling\": \"max\", \"filter_width\": 5}", &err),
		&err);
	json_t *json = model_config_to_json(&config);
	ck_assert_str_eq(json_string_value(json_object_get(json, "model")), "fusion");
	ck_assert_str_eq(json_string_value(json_object_get(json, "pooling")), "max");
	ck_assert_int_eq(json_integer_value(json_object_get(json, "hidden")), 50);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "word_dim")), 32);
	assert_ok(model_config_from_json(&again, json, &err), &err);
	ck_assert_mem_eq(&again, &config, sizeof(config));
	json_decref(json);
	assert_ok(parse(&config, "{}", &err), &err);
	model_config_init(&initial);
	ck_assert_mem_eq(&initial, &config, sizeof(config));
}
END_TEST

/* Ids have 64 bits, and so have the tables' rows. */
START_TEST(a_record_survives_json_whatever_the_sizes)
{
	static const uint64_t rows[] = {1, 6041, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
	struct error err;
	struct model_config config, config_back;
	struct model_sizes sizes = {6041, 2, 7, 21, 3953, 18, 5174}, sizes_back;
	model_config_init(&config);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		sizes.users = rows[i];
		json_t *written = model_record_to_json(&config, &sizes);
		ck_assert_ptr_nonnull(written);
		char *text = json_dumps(written, 0);
		json_t *read = json_loads(text, 0, NULL);
		assert_ok(model_record_from_json(&config_back, &sizes_back, read, &err), &err);
		ck_assert_mem_eq(&sizes_back, &sizes, sizeof(sizes));
		ck_assert_ptr_eq(config_back.kind, config.kind);
		json_decref(read);
		free(text);
		json_decref(written);
	}
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {errors_in_the_configuration_name_the_key,
		a_configuration_survives_json, a_record_survives_json_whatever_the_sizes, NULL};
	return run_cases("model record", cases);
}
