#include "common/data/ratings_file.h"

#include "common/base/hash.h"
#include "common/base/memory.h"
#include "common/base/parallel.h"
#include "common/data/ratings_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Blocks that a checking thread takes at a time: 3 MB. */
#define CHECK_BLOCKS 64u

uint64_t ratings_catalog_hash(const struct catalog *catalog)
{
	uint64_t users =
		hash_bytes(catalog->user_ids, catalog->user_count * sizeof(*catalog->user_ids), 0);
	return hash_bytes(
		catalog->movie_ids, catalog->movie_count * sizeof(*catalog->movie_ids), users);
}

static enum status damaged(const struct ratings_file *file, const char *what, struct error *err)
{
	return error_set(err, STATUS_DATA_LOSS, "%s: %s", file->path, what);
}

static enum status read_header(
	const struct ratings_file *file, struct ratings_header *ret, struct error *err)
{
	size_t got;
	enum status status =
		file_read_at(file->descriptor, ret, sizeof(*ret), 0, file->path, &got, err);
	if (status != STATUS_OK)
		return status;
	if (got != sizeof(*ret) || memcmp(ret->magic, RATINGS_MAGIC, sizeof(ret->magic)) != 0)
		return damaged(file, "not a ratings cache", err);
	if (ret->version != RATINGS_VERSION || ret->block != RATINGS_BLOCK)
		return damaged(file, "of another version", err);
	if (ret->header != hash_bytes(ret, offsetof(struct ratings_header, header), 0) ||
		!memchr(ret->first_bad_line, '\0', sizeof(ret->first_bad_line)))
		return damaged(file, "the header is damaged", err);
	return STATUS_OK;
}

/* The hashes are read only when the file is exactly as long as its count of ratings says. */
static enum status read_hashes(
	struct ratings_file *file, const struct ratings_header *header, struct error *err)
{
	struct stat info;
	if (fstat(file->descriptor, &info) != 0)
		return error_set_errno(err, errno, "%s", file->path);
	const uint64_t size = (uint64_t)info.st_size;
	if (header->count > size / sizeof(struct rating))
		return damaged(file, "it is cut short", err);
	file->count = header->count;
	file->block_count = (file->count + RATINGS_BLOCK - 1) / RATINGS_BLOCK;
	const uint64_t records = file->count * sizeof(struct rating);
	const size_t bytes = (size_t)file->block_count * sizeof(*file->hashes);
	if (size != RATINGS_HEADER_BYTES + records + bytes)
		return damaged(file, "its size is not what its header says", err);
	enum status status = memory_alloc(&file->hashes, (size_t)file->block_count,
		sizeof(*file->hashes), "ratings cache", err);
	size_t got = 0;
	if (status == STATUS_OK)
		status = file_read_at(file->descriptor, file->hashes, bytes,
			RATINGS_HEADER_BYTES + records, file->path, &got, err);
	if (status == STATUS_OK &&
		(got != bytes || hash_bytes(file->hashes, bytes, 0) != header->hashes))
		status = damaged(file, "the list of hashes is damaged", err);
	return status;
}

enum status ratings_file_open(
	struct ratings_file *ret, int descriptor, const char *path, struct error *err)
{
	struct ratings_file file = {.descriptor = descriptor, .path = strdup(path)};
	struct ratings_header header;
	if (!file.path) {
		close(descriptor);
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "no memory for a path");
	}
	enum status status = read_header(&file, &header, err);
	if (status == STATUS_OK)
		status = read_hashes(&file, &header, err);
	if (status != STATUS_OK) {
		ratings_file_close(&file);
		return status;
	}
	file.origin.source.size = header.source_size;
	file.origin.source.mtime_ns = header.source_mtime_ns;
	file.origin.catalog = header.catalog;
	file.origin.skipped.skipped_lines = header.skipped_lines;
	memcpy(file.origin.skipped.first_bad_line, header.first_bad_line,
		sizeof(header.first_bad_line));
	file.content = header.hashes;
	*ret = file;
	return STATUS_OK;
}

void ratings_file_close(struct ratings_file *file)
{
	if (file->path)
		close(file->descriptor);
	free(file->path);
	free(file->hashes);
	*file = (struct ratings_file){0};
}

enum status ratings_file_read(const struct ratings_file *file, uint64_t block,
	struct rating *ratings, size_t *ret_count, struct error *err)
{
	const size_t count = ratings_file_block_size(file, block);
	const size_t bytes = count * sizeof(*ratings);
	size_t got;
	enum status status = file_read_at(file->descriptor, ratings, bytes,
		RATINGS_HEADER_BYTES + block * RATINGS_BLOCK_BYTES, file->path, &got, err);
	if (status != STATUS_OK)
		return status;
	if (got != bytes || hash_bytes(ratings, bytes, block) != file->hashes[block])
		return error_set(err, STATUS_DATA_LOSS, "%s: block %llu is damaged", file->path,
			(unsigned long long)block);
	*ret_count = count;
	return STATUS_OK;
}

void ratings_file_prefetch(const struct ratings_file *file, uint64_t first, uint64_t count)
{
	(void)posix_fadvise(file->descriptor,
		(off_t)(RATINGS_HEADER_BYTES + first * RATINGS_BLOCK_BYTES),
		(off_t)(count * RATINGS_BLOCK_BYTES), POSIX_FADV_WILLNEED);
}

/* ---- checking everything ---- */

struct check {
	const struct ratings_file *file;
	const struct catalog *catalog;
	ratings_visitor *visit;
	void *context;
	pthread_mutex_t lock; /* guards what follows */
	uint64_t next;	      /* the first block that nobody has taken */
	enum status status;
	struct error error;
};

static bool in_range(const struct catalog *catalog, const struct rating *ratings, size_t count)
{
	bool good = true;
	for (size_t i = 0; i < count; i++)
		good &= (ratings[i].user < catalog->user_count) &
			(ratings[i].movie < catalog->movie_count) &
			(ratings[i].stars >= STARS_MIN) & (ratings[i].stars <= STARS_MAX);
	return good;
}

static enum status check_block(
	const struct check *check, uint64_t block, struct rating *ratings, struct error *err)
{
	size_t count;
	enum status status = ratings_file_read(check->file, block, ratings, &count, err);
	if (status == STATUS_OK && !in_range(check->catalog, ratings, count))
		status = damaged(check->file, "a rating is out of range", err);
	if (status == STATUS_OK)
		check->visit(check->context, block, ratings, count);
	return status;
}

/* Takes the next blocks; false when there are none, or somebody has failed. */
static bool take_blocks(struct check *check, uint64_t *ret_first, uint64_t *ret_end)
{
	pthread_mutex_lock(&check->lock);
	bool more = check->status == STATUS_OK && check->next < check->file->block_count;
	uint64_t left = check->file->block_count - check->next;
	*ret_first = check->next;
	*ret_end = check->next + (left < CHECK_BLOCKS ? left : CHECK_BLOCKS);
	check->next = more ? *ret_end : check->next;
	pthread_mutex_unlock(&check->lock);
	return more;
}

static void check_blocks(void *context)
{
	struct check *check = context;
	struct rating *ratings = NULL;
	struct error error;
	uint64_t block, end;
	enum status status =
		memory_alloc(&ratings, RATINGS_BLOCK, sizeof(*ratings), "block", &error);
	while (status == STATUS_OK && take_blocks(check, &block, &end))
		for (; block < end && status == STATUS_OK; block++)
			status = check_block(check, block, ratings, &error);
	if (status != STATUS_OK) {
		pthread_mutex_lock(&check->lock);
		check->status = status;
		check->error = error;
		pthread_mutex_unlock(&check->lock);
	}
	free(ratings);
}

enum status ratings_file_check(const struct ratings_file *file, const struct catalog *catalog,
	uint32_t threads, ratings_visitor *visit, void *context, struct error *err)
{
	struct check check = {.file = file, .catalog = catalog, .visit = visit, .context = context};
	pthread_mutex_init(&check.lock, NULL);
	uint64_t shares = (file->block_count + CHECK_BLOCKS - 1) / CHECK_BLOCKS;
	parallel_run(threads < shares ? threads : (uint32_t)shares, check_blocks, &check);
	pthread_mutex_destroy(&check.lock);
	return check.status == STATUS_OK ? STATUS_OK
					 : error_set(err, check.status, "%s", check.error.message);
}
