/*
 * NumPy's .npy files, version 1.0: little-endian arrays in C order.
 *
 * Source: numpy.lib.format. Threads: no shared state.
 */
#ifndef MARQUEE_INFERENCE_NPY_H
#define MARQUEE_INFERENCE_NPY_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* values[rows x columns] as '<f4'. */
MUST_CHECK enum status npy_write_f32(
	const char *path, const float *values, size_t rows, size_t columns, struct error *err);
/* values[count] as '<u8'. */
MUST_CHECK enum status npy_write_u64(
	const char *path, const uint64_t *values, size_t count, struct error *err);

#endif
