#include "common/base/hash.h"
#include "common/base/memory.h"
#include "common/data/ratings_layout.h"

#include <stdlib.h>
#include <string.h>

enum status ratings_writer_init(
	struct ratings_writer *writer, int descriptor, const char *path, struct error *err)
{
	*writer = (struct ratings_writer){.descriptor = descriptor, .path = path};
	return memory_alloc(&writer->block, RATINGS_BLOCK, sizeof(*writer->block), "block", err);
}

void ratings_writer_fini(struct ratings_writer *writer)
{
	free(writer->block);
	free(writer->hashes);
	*writer = (struct ratings_writer){0};
}

static enum status put(struct ratings_writer *writer, const void *bytes, size_t size,
	uint64_t offset, struct error *err)
{
	enum status status =
		file_write_at(writer->descriptor, bytes, size, offset, writer->path, err);
	writer->failed |= status != STATUS_OK;
	return status;
}

static enum status put_block(struct ratings_writer *writer, size_t count, struct error *err)
{
	const uint64_t block = (writer->count - 1) / RATINGS_BLOCK;
	const size_t bytes = count * sizeof(*writer->block);
	enum status status = memory_grow(&writer->hashes, &writer->hash_capacity, (size_t)block + 1,
		sizeof(*writer->hashes), "hashes", err);
	if (status != STATUS_OK)
		return status;
	writer->hashes[block] = hash_bytes(writer->block, bytes, block);
	return put(writer, writer->block, bytes, RATINGS_HEADER_BYTES + block * RATINGS_BLOCK_BYTES,
		err);
}

enum status ratings_writer_add(
	void *context, const struct rating *ratings, size_t count, struct error *err)
{
	struct ratings_writer *writer = context;
	enum status status = STATUS_OK;
	while (count > 0 && status == STATUS_OK) {
		size_t used = (size_t)(writer->count % RATINGS_BLOCK);
		size_t some = count < RATINGS_BLOCK - used ? count : RATINGS_BLOCK - used;
		memcpy(writer->block + used, ratings, some * sizeof(*ratings));
		writer->count += some;
		ratings += some;
		count -= some;
		if (used + some == RATINGS_BLOCK)
			status = put_block(writer, RATINGS_BLOCK, err);
	}
	return status;
}

enum status ratings_writer_finish(
	struct ratings_writer *writer, const struct ratings_origin *origin, struct error *err)
{
	const size_t rest = (size_t)(writer->count % RATINGS_BLOCK);
	enum status status = rest ? put_block(writer, rest, err) : STATUS_OK;
	const uint64_t blocks = (writer->count + RATINGS_BLOCK - 1) / RATINGS_BLOCK;
	const size_t bytes = (size_t)blocks * sizeof(*writer->hashes);
	struct ratings_header header = {
		.magic = RATINGS_MAGIC,
		.version = RATINGS_VERSION,
		.block = RATINGS_BLOCK,
		.count = writer->count,
		.source_size = origin->source.size,
		.source_mtime_ns = origin->source.mtime_ns,
		.catalog = origin->catalog,
		.hashes = hash_bytes(writer->hashes, bytes, 0),
		.skipped_lines = origin->skipped.skipped_lines,
	};
	/* The text alone: what lies behind it in memory is nobody's business. */
	memcpy(header.first_bad_line, origin->skipped.first_bad_line,
		strnlen(origin->skipped.first_bad_line, sizeof(header.first_bad_line) - 1));
	header.header = hash_bytes(&header, offsetof(struct ratings_header, header), 0);
	if (status == STATUS_OK)
		status = put(writer, writer->hashes, bytes,
			RATINGS_HEADER_BYTES + writer->count * sizeof(struct rating), err);
	if (status == STATUS_OK)
		status = put(writer, &header, sizeof(header), 0, err);
	return status;
}
