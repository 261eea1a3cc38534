/* Files for tests: a directory of its own, and whole files read, written and damaged. */
#ifndef MARQUEE_TESTS_SCRATCH_H
#define MARQUEE_TESTS_SCRATCH_H

#include "common/base/file.h"

#include <stddef.h>

/* Makes an empty directory under TMPDIR (or /tmp) and returns its path; fails the test otherwise.
 */
void scratch_open(char path[PATH_SIZE]);
/* Removes it with everything inside. */
void scratch_close(const char *path);

/* directory/name; the buffer is the caller's. Returns it. */
const char *scratch_path(char path[PATH_SIZE], const char *directory, const char *name);

/* Replaces the file's content. */
void scratch_write(const char *path, const void *bytes, size_t size);
/* Owned bytes for free(), zero-terminated. */
char *scratch_read(const char *path, size_t *ret_size);
/* XORs one byte of the file. */
void scratch_flip(const char *path, size_t offset, unsigned char mask);

#endif
