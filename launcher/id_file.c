#include "launcher/id_file.h"

#include "common/base/file.h"
#include "common/base/flags.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)1 << 30)
#define SEPARATORS     " \t\r\n,"

enum status id_file_read(const char *path, uint64_t **ret, size_t *ret_count, struct error *err)
{
	char *text, *state = NULL;
	uint64_t *ids = NULL;
	size_t size, count = 0, capacity = 0;
	enum status status = file_read_all(path, FILE_BYTES_MAX, &text, &size, err);
	if (status != STATUS_OK)
		return status;
	if (strlen(text) != size)
		status = error_set(err, STATUS_INVALID_ARGUMENT, "a zero byte: this is no text");
	for (char *word = strtok_r(text, SEPARATORS, &state); word && status == STATUS_OK;
		word = strtok_r(NULL, SEPARATORS, &state)) {
		status = memory_grow(&ids, &capacity, count + 1, sizeof(*ids), "ids", err);
		if (status == STATUS_OK && parse_u64(word, &ids[count++], NULL) != STATUS_OK)
			status = error_set(err, STATUS_INVALID_ARGUMENT,
				"'%.40s' among the ids is not a number", word);
	}
	free(text);
	if (status != STATUS_OK) {
		free(ids);
		return error_wrap(err, status, "%s", path);
	}
	*ret = ids;
	*ret_count = count;
	return STATUS_OK;
}
