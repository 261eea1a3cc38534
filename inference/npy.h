/*
 * NumPy's .npy files, version 1.0: little-endian arrays in C order, written piece by piece.
 *
 * Source: numpy.lib.format. Threads: a writer is owner-thread only.
 */
#ifndef MARQUEE_INFERENCE_NPY_H
#define MARQUEE_INFERENCE_NPY_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum npy_type { NPY_F32, NPY_U64 };

struct npy_writer {
	const char *path;
	int descriptor;
	size_t element_size; /* bytes */
	uint64_t at, end; /* bytes of the file: where the next piece goes, where the array ends */
};

/* Creates the file of a [rows x columns] array, of a vector [rows] when columns is 0. Borrows the
 * path for the writer's life. Whoever opened it closes it, also after a failure. */
MUST_CHECK enum status npy_writer_open(struct npy_writer *ret, const char *path, enum npy_type type,
	uint64_t rows, uint64_t columns, struct error *err);
/* The next `count` elements. */
MUST_CHECK enum status npy_writer_put(
	struct npy_writer *writer, const void *elements, size_t count, struct error *err);
/* Makes the file durable. INTERNAL when elements are missing. */
MUST_CHECK enum status npy_writer_close(struct npy_writer *writer, struct error *err);

#endif
