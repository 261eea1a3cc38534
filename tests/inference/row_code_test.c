/* Rows with fewer bits a number. */
#include "inference/row_code.h"

#include "common/base/random.h"
#include "tests/support/suite.h"

#include <math.h>

#define ROWS 50
#define DIM  33

START_TEST(rows_come_back_within_half_a_step)
{
	float rows[ROWS * DIM], back[DIM], scales[ROWS];
	unsigned char bytes[sizeof(rows)];
	random_uniform_row(1, random_stream("rows"), 1, 0.3f, rows, ROWS * DIM);
	for (enum row_type type = ROWS_F32; type < ROW_TYPES; type++) {
		const size_t row_bytes = DIM * tensor_type_size(row_type_tensor(type));
		rows_encode(type, rows, ROWS, DIM, bytes, scales);
		for (size_t r = 0; r < ROWS; r++) {
			row_decode(type, bytes + r * row_bytes, scales[r], DIM, back);
			for (size_t i = 0; i < DIM; i++) {
				const float value = rows[r * DIM + i];
				const float step = type == ROWS_F32    ? 0
						   : type == ROWS_BF16 ? fabsf(value) / 128
								       : scales[r];
				ck_assert_msg(fabsf(back[i] - value) <= step * 0.5001f,
					"%s: %g for %g", row_type_name(type), (double)back[i],
					(double)value);
			}
		}
	}
}
END_TEST

START_TEST(int8_uses_all_of_its_range)
{
	const float row[4] = {-2.54f, 0, 1.27f, 0.005f};
	float scale;
	int8_t bytes[4];
	rows_encode(ROWS_INT8, row, 1, 4, bytes, &scale);
	ck_assert_float_eq(scale, 2.54f / 127);
	ck_assert_mem_eq(bytes, ((int8_t[]){-127, 0, 64, 0}), 4);
}
END_TEST

START_TEST(odd_rows_stay_what_they_are)
{
	const float tiny = 0x1p-149f;
	const float rows[3][2] = {{0, -0.0f}, {NAN, 1}, {190 * tiny, -tiny}};
	float scales[3], back[2];
	int8_t bytes[3][2];
	rows_encode(ROWS_INT8, rows[0], 3, 2, bytes, scales);
	row_decode(ROWS_INT8, bytes[0], scales[0], 2, back);
	ck_assert_float_eq(back[0], 0);
	row_decode(ROWS_INT8, bytes[1], scales[1], 2, back);
	ck_assert(isnan(back[0]) && isnan(back[1]));
	row_decode(ROWS_INT8, bytes[2], scales[2], 2, back);
	ck_assert_float_eq(back[0], 127 * tiny);
	ck_assert_float_eq(back[1], -tiny);
}
END_TEST

START_TEST(types_have_names)
{
	enum row_type type;
	for (enum row_type t = ROWS_F32; t < ROW_TYPES; t++)
		ck_assert(row_type_find(row_type_name(t), &type) && type == t);
	ck_assert(!row_type_find("int4", &type));
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {rows_come_back_within_half_a_step, int8_uses_all_of_its_range,
		odd_rows_stay_what_they_are, types_have_names, NULL};
	return run_cases("row_code", cases);
}
