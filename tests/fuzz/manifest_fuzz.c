/* JSON that is taken for a manifest, and the file with its seal. */
#include "common/checkpoint/manifest.h"
#include "common/model/model_record.h"
#include "tests/fuzz/fuzz.h"

/* What was read can be written, and reads the same. */
static void read_again(const struct manifest *manifest)
{
	struct manifest again = {0};
	struct error err;
	json_t *json = manifest_to_json(manifest);
	FUZZ_CHECK(json != NULL);
	FUZZ_CHECK(manifest_from_json(&again, json, &err) == STATUS_OK);
	FUZZ_CHECK(again.step == manifest->step && again.file_count == manifest->file_count);
	manifest_fini(&again);
	json_decref(json);
}

static void read_sealed(const uint8_t *data, size_t size)
{
	struct manifest manifest = {0};
	struct error err;
	fuzz_directory_write(MANIFEST_NAME, data, size);
	if (manifest_read(&manifest, fuzz_directory(), &err) == STATUS_OK)
		manifest_fini(&manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest manifest = {0};
	struct model_config config;
	struct model_sizes sizes;
	struct error err;
	json_t *json = json_loadb((const char *)data, size, 0, NULL);
	if (json) {
		if (manifest_from_json(&manifest, json, &err) == STATUS_OK) {
			(void)!model_record_from_json(&config, &sizes, manifest.model, &err);
			read_again(&manifest);
			manifest_fini(&manifest);
		}
		json_decref(json);
	}
	read_sealed(data, size);
	return 0;
}
