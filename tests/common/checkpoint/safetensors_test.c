#include "common/checkpoint/safetensors.h"

#include "common/base/random.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[PATH_SIZE], path[PATH_SIZE];

static void open_scratch(void)
{
	scratch_open(directory);
	scratch_path(path, directory, "file.safetensors");
}

/* A file of this header text and so many bytes of data. */
static void write_raw(const char *header, size_t data_size)
{
	const uint64_t length = strlen(header);
	char *bytes = calloc(1, sizeof(length) + length + data_size);
	memcpy(bytes, &length, sizeof(length));
	memcpy(bytes + sizeof(length), header, length);
	scratch_write(path, bytes, sizeof(length) + length + data_size);
	free(bytes);
}

static const struct tensor_plan plan[] = {
	{.name = "flags", .type = TENSOR_U8, .rank = 1, .shape = {3}},
	{.name = "weights", .type = TENSOR_F32, .rank = 2, .shape = {2, 3}},
	{.name = "ids", .type = TENSOR_U64, .rank = 1, .shape = {2}},
	{.name = "shorts", .type = TENSOR_U16, .rank = 1, .shape = {1}},
	{.name = "none", .type = TENSOR_F32, .rank = 2, .shape = {5, 0}},
};
static const uint8_t flags[3] = {1, 2, 255};
static const float weights[6] = {1, -2, 3, 4, 5.5f, 6};
static const uint64_t ids[2] = {7, UINT64_MAX};
static const uint16_t shorts[1] = {65535};

static void write_sample(struct file_stamp *stamp)
{
	struct error err;
	struct safetensors_writer *writer;
	const struct tensor_metadata metadata[] = {{"format", "sample"}};
	assert_ok(safetensors_writer_open(&writer, path, plan, 5, metadata, 1, &err), &err);
	/* In pieces and out of order. */
	assert_ok(safetensors_writer_put(writer, 1, 12, weights + 3, 12, &err), &err);
	assert_ok(safetensors_writer_put(writer, 0, 0, flags, 3, &err), &err);
	assert_ok(safetensors_writer_put(writer, 3, 0, shorts, 2, &err), &err);
	assert_ok(safetensors_writer_put(writer, 1, 0, weights, 12, &err), &err);
	assert_ok(safetensors_writer_put(writer, 2, 0, ids, 16, &err), &err);
	assert_ok(safetensors_writer_close(writer, stamp, &err), &err);
}

START_TEST(what_is_written_is_read_back)
{
	struct error err;
	struct file_stamp stamp;
	struct safetensors file;
	uint64_t hash, size;
	open_scratch();
	write_sample(&stamp);
	assert_ok(file_digest(path, &hash, &size, &err), &err);
	ck_assert_uint_eq(stamp.size, size);
	ck_assert_uint_eq(stamp.xxh3, hash);

	assert_ok(safetensors_open(&file, path, &err), &err);
	ck_assert_uint_eq(file.count, 5);
	ck_assert_str_eq(safetensors_metadata(&file, "format"), "sample");
	ck_assert_ptr_null(safetensors_metadata(&file, "other"));
	const struct tensor *tensor;
	assert_ok(safetensors_expect(&file, "weights", TENSOR_F32, 2,
			  (const uint64_t[]){2, TENSOR_ANY}, &tensor, &err),
		&err);
	ck_assert_mem_eq(tensor->bytes, weights, sizeof(weights));
	ck_assert_mem_eq(safetensors_find(&file, "flags")->bytes, flags, sizeof(flags));
	ck_assert_mem_eq(safetensors_find(&file, "ids")->bytes, ids, sizeof(ids));
	ck_assert_mem_eq(safetensors_find(&file, "shorts")->bytes, shorts, sizeof(shorts));
	ck_assert_uint_eq(safetensors_find(&file, "none")->size, 0);
	ck_assert_ptr_null(safetensors_find(&file, "missing"));
	for (size_t i = 0; i < file.count; i++)
		ck_assert_uint_eq(
			(uintptr_t)file.tensors[i].bytes % tensor_type_size(file.tensors[i].type),
			0);
	safetensors_close(&file);
	scratch_close(directory);
}
END_TEST

START_TEST(an_unexpected_type_or_shape_names_the_tensor)
{
	struct error err;
	struct safetensors file;
	const struct tensor *tensor;
	const uint64_t shape[] = {2, 4};
	open_scratch();
	write_sample(NULL);
	assert_ok(safetensors_open(&file, path, &err), &err);
	assert_fails(safetensors_expect(&file, "ids", TENSOR_F32, 1, shape, &tensor, &err),
		STATUS_DATA_LOSS, &err, "tensor 'ids': is U64, expected F32");
	assert_fails(safetensors_expect(&file, "weights", TENSOR_F32, 1, shape, &tensor, &err),
		STATUS_DATA_LOSS, &err, "tensor 'weights': has 2 dimensions, expected 1");
	assert_fails(safetensors_expect(&file, "weights", TENSOR_F32, 2, shape, &tensor, &err),
		STATUS_DATA_LOSS, &err, "dimension 1 is 3, expected 4");
	assert_fails(safetensors_expect(&file, "gone", TENSOR_F32, 2, shape, &tensor, &err),
		STATUS_DATA_LOSS, &err, "tensor 'gone': is missing");
	safetensors_close(&file);
	scratch_close(directory);
}
END_TEST

START_TEST(a_header_that_lies_is_refused_with_file_tensor_and_reason)
{
	static const struct {
		const char *header;
		size_t data;
		const char *reason;
	} cases[] = {
		{"", 0, "header"},
		{"[]      ", 0, "not a JSON object"},
		{"{\"a\":1}        ", 0, "tensor 'a': is not described by an object"},
		{"{\"a\":{}}       ", 0, "tensor 'a': no dtype"},
		{"{\"a\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[0,2]}}", 2, "'F16'"},
		{"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,2]}}", 2, "no shape"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,2]}}", 2,
			"not a whole number"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2.0],\"data_offsets\":[0,2]}}", 2,
			"not a whole number"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
			"5 dimensions"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0]}}", 2, "not a pair"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,3]}}", 2,
			"do not lie in the data"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,0]}}", 2,
			"do not lie in the data"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2,
			"its shape needs 3 bytes, data_offsets give 2"},
		{"{\"a\":{\"dtype\":\"U64\",\"shape\":[4611686018427387904,4],"
		 "\"data_offsets\":[0,0]}}",
			0, "does not fit 64 bits"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
		 "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
			3, "tensor 'b': starts at byte 1 of the data, the one before it ends at 2"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3,
			"starts at byte 1"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 3,
			"the tensors end at byte 2 of the data, which has 3"},
		{"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
		 "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
			2, "duplicate"},
		{"{\"a\":{\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[0,8]}} ", 8,
			"not aligned"},
		{"{\"__metadata__\":{\"a\":1}}", 0, "'a' is not a string"},
		{"{\"__metadata__\":[]}", 0, "not an object"},
	};
	open_scratch();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct safetensors file;
		struct error err;
		write_raw(cases[i].header, cases[i].data);
		assert_fails(safetensors_open(&file, path, &err), STATUS_DATA_LOSS, &err,
			cases[i].reason);
		ck_assert_msg(strstr(err.message, path) != NULL, "no path in '%s'", err.message);
	}
	scratch_close(directory);
}
END_TEST

START_TEST(a_header_length_beyond_file_or_limit_is_refused_before_it_is_read)
{
	struct error err;
	struct safetensors file;
	open_scratch();
	uint64_t length = 100;
	scratch_write(path, &length, 4);
	assert_fails(
		safetensors_open(&file, path, &err), STATUS_DATA_LOSS, &err, "truncated: 4 bytes");
	scratch_write(path, &length, 8);
	assert_fails(safetensors_open(&file, path, &err), STATUS_DATA_LOSS, &err,
		"the header takes 100 bytes of a file of 8");
	length = UINT64_MAX;
	scratch_write(path, &length, 8);
	assert_fails(
		safetensors_open(&file, path, &err), STATUS_DATA_LOSS, &err, "not a safetensors");
	assert_fails(safetensors_open(&file, directory, &err), STATUS_INVALID_ARGUMENT, &err,
		"not a regular file");
	scratch_close(directory);
}
END_TEST

START_TEST(a_deeply_nested_header_is_an_error)
{
	struct error err;
	struct safetensors file;
	open_scratch();
	char *header = malloc(1u << 20);
	memset(header, '[', (1u << 20) - 1);
	header[(1u << 20) - 1] = '\0';
	write_raw(header, 0);
	assert_fails(safetensors_open(&file, path, &err), STATUS_DATA_LOSS, &err, "depth");
	free(header);
	scratch_close(directory);
}
END_TEST

/* Every truncation is refused; a flipped byte of the header is refused or changes nothing that
 * leads outside of the file, which the sanitizers see. */
START_TEST(no_truncation_or_flipped_header_byte_leads_outside_the_file)
{
	struct error err;
	struct safetensors file;
	struct random_sequence random;
	size_t size;
	open_scratch();
	write_sample(NULL);
	char *bytes = scratch_read(path, &size);
	for (size_t cut = 0; cut < size; cut++) {
		scratch_write(path, bytes, cut);
		ck_assert_int_eq(safetensors_open(&file, path, &err), STATUS_DATA_LOSS);
	}
	random_sequence_init(&random, 5, random_stream("flips"));
	for (int round = 0; round < 2000; round++) {
		size_t offset = random_below(&random, (uint32_t)size);
		char mask = (char)(1 + random_below(&random, 255));
		bytes[offset] = (char)(bytes[offset] ^ mask);
		scratch_write(path, bytes, size);
		bytes[offset] = (char)(bytes[offset] ^ mask);
		if (safetensors_open(&file, path, &err) != STATUS_OK)
			continue;
		uint64_t sum = 0;
		for (size_t i = 0; i < file.count; i++)
			for (size_t b = 0; b < file.tensors[i].size; b++)
				sum += ((const unsigned char *)file.tensors[i].bytes)[b];
		ck_assert_uint_gt(sum, 0);
		safetensors_close(&file);
	}
	free(bytes);
	scratch_close(directory);
}
END_TEST

START_TEST(an_incomplete_file_does_not_survive_its_writer)
{
	struct error err;
	struct safetensors_writer *writer;
	open_scratch();
	assert_ok(safetensors_writer_open(&writer, path, plan, 5, NULL, 0, &err), &err);
	assert_ok(safetensors_writer_put(writer, 0, 0, flags, 2, &err), &err);
	assert_fails(safetensors_writer_put(writer, 0, 2, flags, 2, &err), STATUS_INVALID_ARGUMENT,
		&err, "tensor 'flags': 2 bytes at 2 do not fit the planned 3");
	assert_fails(safetensors_writer_close(writer, NULL, &err), STATUS_FAILED_PRECONDITION, &err,
		"tensor 'flags': 2 bytes written of the planned 3");
	ck_assert(!file_exists(path));

	assert_ok(safetensors_writer_open(&writer, path, plan, 5, NULL, 0, &err), &err);
	safetensors_writer_abandon(writer);
	ck_assert(!file_exists(path));
	scratch_close(directory);
}
END_TEST

START_TEST(two_tensors_of_one_name_are_refused)
{
	struct error err;
	struct safetensors_writer *writer;
	struct tensor_plan twice[2] = {plan[0], plan[0]};
	open_scratch();
	assert_fails(safetensors_writer_open(&writer, path, twice, 2, NULL, 0, &err),
		STATUS_INVALID_ARGUMENT, &err, "two tensors of one name");
	ck_assert(!file_exists(path));
	scratch_close(directory);
}
END_TEST

/* Through a link: a failed writer removes what it made, which must not be the device. */
START_TEST(a_full_disk_is_an_error_that_names_the_file)
{
	struct error err;
	struct safetensors_writer *writer;
	open_scratch();
	if (access("/dev/full", W_OK) == 0) {
		ck_assert_int_eq(symlink("/dev/full", path), 0);
		assert_fails(safetensors_writer_open(&writer, path, plan, 5, NULL, 0, &err),
			STATUS_RESOURCE_EXHAUSTED, &err, "No space left");
		ck_assert(strstr(err.message, path) != NULL);
		ck_assert(access(path, F_OK) != 0);
		ck_assert(access("/dev/full", F_OK) == 0);
	}
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {what_is_written_is_read_back,
		an_unexpected_type_or_shape_names_the_tensor,
		a_header_that_lies_is_refused_with_file_tensor_and_reason,
		a_header_length_beyond_file_or_limit_is_refused_before_it_is_read,
		a_deeply_nested_header_is_an_error,
		no_truncation_or_flipped_header_byte_leads_outside_the_file,
		an_incomplete_file_does_not_survive_its_writer, two_tensors_of_one_name_are_refused,
		a_full_disk_is_an_error_that_names_the_file, NULL};
	return run_cases("safetensors", cases);
}
