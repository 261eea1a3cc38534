/*
 * What the fuzz targets share. A target is one function, called with bytes from libFuzzer or, in
 * ordinary builds, from the files of its corpus (replay.c). It must neither crash, nor hang, nor
 * leak, nor keep memory from call to call, whatever the bytes are; what it checks beyond that it
 * checks with FUZZ_CHECK.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_TESTS_FUZZ_H
#define MARQUEE_TESTS_FUZZ_H

#include "common/base/file.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The symbol that libFuzzer looks for. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise of the code under test. */
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The input as a file, in memory; its path is good until fuzz_file_close. */
struct fuzz_file {
	int descriptor;
	char path[PATH_SIZE];
};

void fuzz_file_open(struct fuzz_file *ret, const void *bytes, size_t size);
void fuzz_file_close(struct fuzz_file *file);

/* A directory of files that each input replaces; made once, removed when the process ends. */
const char *fuzz_directory(void);
void fuzz_directory_write(const char *name, const void *bytes, size_t size);

/*
 * Cuts the next section off the front of an input made of several files: up to a line "%%", which
 * is dropped, or to the end.
 */
struct fuzz_input {
	const uint8_t *bytes;
	size_t size;
};

struct fuzz_input fuzz_section(struct fuzz_input *rest);

#endif
