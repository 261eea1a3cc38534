/*
 * The rows of an exported table: float32, or fewer bits a number.
 *
 *     bf16    value = float's upper half, rounded to the nearest, ties to even
 *     int8    value = scale * q, scale = max |value| / 127 of the row, q rounded to the nearest
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_INFERENCE_ROW_CODE_H
#define MARQUEE_INFERENCE_ROW_CODE_H

#include "common/checkpoint/safetensors.h"

#include <stdbool.h>

enum row_type { ROWS_F32, ROWS_BF16, ROWS_INT8, ROW_TYPES };

#define ROW_TYPE_CHOICES "f32|bf16|int8"

/* "f32" and so on. Static string. */
const char *row_type_name(enum row_type type);
/* Whether there is a type of this name. */
bool row_type_find(const char *name, enum row_type *ret);
/* How the numbers are stored. */
enum tensor_type row_type_tensor(enum row_type type);

/* Encodes rows[count x dim] into `bytes`; scales[count] are set for ROWS_INT8 only. What is not a
 * number in a row of ROWS_INT8 makes its scale none. */
void rows_encode(enum row_type type, const float *rows, size_t count, size_t dim, void *bytes,
	float *scales);
/* Decodes one row; the scale counts for ROWS_INT8 only. */
void row_decode(enum row_type type, const void *bytes, float scale, size_t dim, float *row);

#endif
