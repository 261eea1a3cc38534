#include "tests/sim/bytes.h"

#include <stdlib.h>
#include <string.h>

void sim_bytes_add(struct sim_bytes *bytes, const void *from, size_t count)
{
	const size_t before = (size_t)(bytes->first - bytes->memory);
	if (count == 0)
		return;
	if (before > 0 && before + bytes->count + count > bytes->capacity) {
		memmove(bytes->memory, bytes->first, bytes->count);
		bytes->first = bytes->memory;
	}
	if (bytes->count + count > bytes->capacity) {
		bytes->capacity = 2 * (bytes->count + count);
		bytes->memory = realloc(bytes->memory, bytes->capacity);
		if (!bytes->memory)
			abort();
		bytes->first = bytes->memory;
	}
	memcpy(bytes->first + bytes->count, from, count);
	bytes->count += count;
}

void sim_bytes_drop(struct sim_bytes *bytes, size_t count)
{
	bytes->first += count;
	bytes->count -= count;
	if (bytes->count == 0)
		bytes->first = bytes->memory;
}

void sim_bytes_fini(struct sim_bytes *bytes)
{
	free(bytes->memory);
	*bytes = (struct sim_bytes){0};
}
