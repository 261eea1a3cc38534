/* The file of --model. */
#include "common/model/model.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_config config, again;
	struct error err;
	json_t *json = json_loadb((const char *)data, size, 0, NULL);
	if (!json)
		return 0;
	if (model_config_from_json(&config, json, &err) == STATUS_OK) {
		json_t *written = model_config_to_json(&config);
		FUZZ_CHECK(written != NULL);
		FUZZ_CHECK(model_config_from_json(&again, written, &err) == STATUS_OK);
		json_t *twice = model_config_to_json(&again);
		FUZZ_CHECK(json_equal(written, twice));
		json_decref(twice);
		json_decref(written);
	}
	json_decref(json);
	return 0;
}
