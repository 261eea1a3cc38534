/*
 * Files of ids: decimal numbers between blanks, commas or line ends.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_LAUNCHER_ID_FILE_H
#define MARQUEE_LAUNCHER_ID_FILE_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/*
 * All ids in their order, owned; NULL when there are none. INVALID_ARGUMENT: something else stands
 * among them. Errors name the file.
 */
MUST_CHECK enum status id_file_read(
	const char *path, uint64_t **ret, size_t *ret_count, struct error *err);

#endif
