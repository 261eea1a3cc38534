#include "inference/row_code.h"

#include "common/base/bf16.h"

#include <math.h>
#include <string.h>

#define INT8_LIMIT 127.0f

static const struct {
	const char *name;
	enum tensor_type tensor;
} types[ROW_TYPES] = {
	[ROWS_F32] = {"f32", TENSOR_F32},
	[ROWS_BF16] = {"bf16", TENSOR_BF16},
	[ROWS_INT8] = {"int8", TENSOR_I8},
};

const char *row_type_name(enum row_type type)
{
	return types[type].name;
}

bool row_type_find(const char *name, enum row_type *ret)
{
	for (int t = 0; t < ROW_TYPES; t++)
		if (strcmp(types[t].name, name) == 0) {
			*ret = (enum row_type)t;
			return true;
		}
	return false;
}

enum tensor_type row_type_tensor(enum row_type type)
{
	return types[type].tensor;
}

/* Returns the scale. */
static float encode_int8(const float *row, size_t dim, int8_t *bytes)
{
	float largest = 0;
	for (size_t i = 0; i < dim; i++) {
		if (!isfinite(row[i]))
			largest = NAN;
		else if (fabsf(row[i]) > largest)
			largest = fabsf(row[i]);
	}
	const float scale = largest / INT8_LIMIT;
	for (size_t i = 0; i < dim; i++) {
		/* A row without a scale, of zeros or of what is not a number, is one of zeros; a
		 * scale with few bits, of tiny numbers, may leave more than the limit. */
		const float q = scale > 0 ? row[i] / scale : 0;
		bytes[i] = (int8_t)lrintf(fminf(fmaxf(q, -INT8_LIMIT), INT8_LIMIT));
	}
	return scale;
}

void rows_encode(
	enum row_type type, const float *rows, size_t count, size_t dim, void *bytes, float *scales)
{
	int8_t *out = bytes;
	switch (type) {
	case ROWS_F32:
		memcpy(bytes, rows, count * dim * sizeof(*rows));
		break;
	case ROWS_BF16:
		bf16_round(bytes, rows, count * dim);
		break;
	case ROWS_INT8:
		for (size_t r = 0; r < count; r++)
			scales[r] = encode_int8(rows + r * dim, dim, out + r * dim);
		break;
	case ROW_TYPES:
		break;
	}
}

void row_decode(enum row_type type, const void *bytes, float scale, size_t dim, float *row)
{
	const int8_t *in = bytes;
	switch (type) {
	case ROWS_F32:
		memcpy(row, bytes, dim * sizeof(*row));
		break;
	case ROWS_BF16:
		bf16_widen(row, bytes, dim);
		break;
	case ROWS_INT8:
		for (size_t i = 0; i < dim; i++)
			row[i] = scale * in[i];
		break;
	case ROW_TYPES:
		break;
	}
}
