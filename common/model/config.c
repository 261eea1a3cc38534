#include "common/model/kind.h"

#include <stdio.h>
#include <string.h>

/* One row for each kind of model; the first is the default. */
static const struct model_kind *const kinds[] = {&model_kind_fusion};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static void config_init(struct model_config *ret, const struct model_kind *kind)
{
	*ret = (struct model_config){.kind = kind};
	for (uint32_t i = 0; i < kind->setting_count; i++)
		ret->values[i] = kind->settings[i].initial;
}

void model_config_init(struct model_config *ret)
{
	config_init(ret, kinds[0]);
}

/* The setting's position, or setting_count. */
static uint32_t find_setting(const struct model_kind *kind, const char *key)
{
	uint32_t i = 0;
	while (i < kind->setting_count && strcmp(kind->settings[i].key, key) != 0)
		i++;
	return i;
}

static enum status unknown_key(const struct model_kind *kind, const char *key, struct error *err)
{
	return error_set(err, STATUS_INVALID_ARGUMENT,
		"model configuration: model \"%s\" has no setting \"%.64s\"", kind->name, key);
}

enum status model_config_set(
	struct model_config *config, const char *key, int64_t value, struct error *err)
{
	uint32_t i = find_setting(config->kind, key);
	if (i == config->kind->setting_count)
		return unknown_key(config->kind, key, err);
	const struct model_setting *setting = &config->kind->settings[i];
	if (value < setting->min || value > setting->max)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"model configuration: \"%s\" is %lld: expected an integer from %u to %u",
			key, (long long)value, setting->min, setting->max);
	config->values[i] = (uint32_t)value;
	return STATUS_OK;
}

static enum status set_choice(
	uint32_t *ret, const struct model_setting *setting, const json_t *value, struct error *err)
{
	const char *word = json_string_value(value);
	char wanted[128] = "";
	for (uint32_t i = 0; setting->choices[i]; i++) {
		if (word && strcmp(word, setting->choices[i]) == 0) {
			*ret = i;
			return STATUS_OK;
		}
		size_t used = strlen(wanted);
		(void)snprintf(wanted + used, sizeof(wanted) - used, "%s\"%s\"", i ? " or " : "",
			setting->choices[i]);
	}
	return error_set(err, STATUS_INVALID_ARGUMENT, "model configuration: \"%s\": expected %s",
		setting->key, wanted);
}

static enum status set_from_json(
	struct model_config *config, const char *key, const json_t *value, struct error *err)
{
	uint32_t i = find_setting(config->kind, key);
	if (i == config->kind->setting_count)
		return unknown_key(config->kind, key, err);
	const struct model_setting *setting = &config->kind->settings[i];
	if (setting->choices)
		return set_choice(&config->values[i], setting, value, err);
	if (!json_is_integer(value))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"model configuration: \"%s\": expected an integer from %u to %u", key,
			setting->min, setting->max);
	return model_config_set(config, key, json_integer_value(value), err);
}

static enum status find_kind(const struct model_kind **ret, const json_t *name, struct error *err)
{
	*ret = kinds[0];
	if (!name)
		return STATUS_OK;
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (json_is_string(name) && strcmp(kinds[i]->name, json_string_value(name)) == 0) {
			*ret = kinds[i];
			return STATUS_OK;
		}
	return error_set(err, STATUS_INVALID_ARGUMENT,
		"model configuration: \"model\": expected the name of a model, such as \"%s\"",
		kinds[0]->name);
}

enum status model_config_from_json(struct model_config *ret, const json_t *json, struct error *err)
{
	if (!json_is_object(json))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"model configuration: expected a JSON object");
	const struct model_kind *kind;
	enum status status = find_kind(&kind, json_object_get(json, "model"), err);
	if (status != STATUS_OK)
		return status;
	struct model_config config;
	config_init(&config, kind);
	/* jansson's iterator takes an object it may change; this one is only read. */
	json_t *object = (json_t *)(uintptr_t)json;
	const char *key;
	json_t *value;
	json_object_foreach(object, key, value)
	{
		if (strcmp(key, "model") == 0)
			continue;
		status = set_from_json(&config, key, value, err);
		if (status != STATUS_OK)
			return status;
	}
	*ret = config;
	return STATUS_OK;
}

json_t *model_config_to_json(const struct model_config *config)
{
	json_t *object = json_object();
	if (!object || json_object_set_new(object, "model", json_string(config->kind->name)) != 0)
		goto failed;
	for (uint32_t i = 0; i < config->kind->setting_count; i++) {
		const struct model_setting *setting = &config->kind->settings[i];
		json_t *value = setting->choices ? json_string(setting->choices[config->values[i]])
						 : json_integer(config->values[i]);
		if (json_object_set_new(object, setting->key, value) != 0)
			goto failed;
	}
	return object;
failed:
	json_decref(object);
	return NULL;
}
