/*
 * TFRecord framing: records behind one another in a file that only grows.
 *
 *   u64 length, u32 masked CRC of these 8 bytes, the bytes, u32 masked CRC of them; little endian
 *
 * The CRC is Castagnoli's (RFC 3720), masked as ((crc >> 15) | (crc << 17)) + 0xa282ead8, so that
 * the CRC of what holds CRCs stays a good one. Format: tensorflow/core/lib/io/record_writer.h.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_METRICS_RECORD_FILE_H
#define MARQUEE_METRICS_RECORD_FILE_H

#include "common/base/file.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define RECORD_HEAD_SIZE 12u
#define RECORD_TAIL_SIZE 4u

/* CRC-32C of the bytes, and its masked form. */
uint32_t crc32c(const void *bytes, size_t size);
uint32_t crc32c_masked(const void *bytes, size_t size);

/* All zeros is closed. */
struct record_file {
	int descriptor_plus_one;
	uint64_t size;
	unsigned char *buffer; /* of one record with its frame */
	size_t capacity;
	char path[PATH_SIZE];
};

/* Creates the file, which must not be there: ALREADY_EXISTS. */
MUST_CHECK enum status record_file_create(
	struct record_file *file, const char *path, struct error *err);
/* Takes a closed one. */
void record_file_close(struct record_file *file);

/* Room for a record of `size` bytes, to be filled in before record_file_append(). */
MUST_CHECK enum status record_file_reserve(
	struct record_file *file, size_t size, unsigned char **ret, struct error *err);
/*
 * Appends what was reserved last, in one write. After a failure, such as a full disk, nothing of it
 * counts: the next record takes its place.
 */
MUST_CHECK enum status record_file_append(struct record_file *file, size_t size, struct error *err);

#endif
