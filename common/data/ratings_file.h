/*
 * A ratings file in binary: checked once, cut into blocks of fixed size that are read by number, so
 * that training streams any number of ratings in constant memory. docs/cache.md has the layout.
 *
 * Users and movies are numbers of the catalog that the text was read with, so the file belongs to
 * that catalog; the hash of its ids stands in it.
 *
 * Blocks are read with pread(): pages of a map would count as the process's memory, and a file cut
 * short meanwhile would kill it.
 *
 * Threads: immutable after open; blocks may be read side by side.
 */
#ifndef MARQUEE_DATA_RATINGS_FILE_H
#define MARQUEE_DATA_RATINGS_FILE_H

#include "common/base/status.h"
#include "common/data/catalog.h"
#include "common/data/ratings.h"
#include "common/data/ratings_text.h"

#include <stddef.h>
#include <stdint.h>

/* Part of the format, and of the order in which large shards are shuffled (worker/shard.h). */
#define RATINGS_BLOCK 4096u

/* What the file was made of. */
struct ratings_origin {
	struct file_identity source;
	uint64_t catalog;	    /* ratings_catalog_hash() */
	struct data_report skipped; /* the text's bad lines; the message without the path */
};

struct ratings_file {
	int descriptor; /* owned */
	char *path;	/* for messages; owned */
	struct ratings_origin origin;
	uint64_t count; /* ratings */
	uint64_t block_count;
	uint64_t *hashes; /* [block_count] XXH3-64 of each block */
	uint64_t content; /* hash of all ratings in their order */
};

/* Over the ids in their order: what the numbers in a ratings file mean. */
uint64_t ratings_catalog_hash(const struct catalog *catalog);

/*
 * Reads header and hashes. Takes over the descriptor, on failure too. DATA_LOSS: damaged or another
 * version. Ratings are not looked at: see ratings_file_check().
 */
MUST_CHECK enum status ratings_file_open(
	struct ratings_file *ret, int descriptor, const char *path, struct error *err);
/* Takes all zeros. */
void ratings_file_close(struct ratings_file *file);

/* Looks at the ratings of one block; several threads call it side by side. */
typedef void ratings_visitor(
	void *context, uint64_t block, const struct rating *ratings, size_t count);

/*
 * Reads everything once, with at most `threads` threads, and checks hashes and ranges: DATA_LOSS
 * when one is wrong. `visit` sees every block that is right.
 */
MUST_CHECK enum status ratings_file_check(const struct ratings_file *file,
	const struct catalog *catalog, uint32_t threads, ratings_visitor *visit, void *context,
	struct error *err);

/* Ratings of a block: RATINGS_BLOCK, but for the last one. */
static inline size_t ratings_file_block_size(const struct ratings_file *file, uint64_t block)
{
	uint64_t left = file->count - block * RATINGS_BLOCK;
	return left < RATINGS_BLOCK ? (size_t)left : RATINGS_BLOCK;
}

/* ratings[RATINGS_BLOCK]. DATA_LOSS: it is no longer what was opened. */
MUST_CHECK enum status ratings_file_read(const struct ratings_file *file, uint64_t block,
	struct rating *ratings, size_t *ret_count, struct error *err);

/* Says that these blocks will be read soon. */
void ratings_file_prefetch(const struct ratings_file *file, uint64_t first, uint64_t count);

/* ---- writing one ---- */

/* A write that fails is remembered in `failed`: the disk's fault, not the ratings'. */
struct ratings_writer {
	int descriptor; /* borrowed */
	const char *path;
	uint64_t count;
	struct rating *block; /* [RATINGS_BLOCK] */
	uint64_t *hashes;
	size_t hash_capacity;
	bool failed;
};

/* Writes to an empty file from its start; borrows everything. */
MUST_CHECK enum status ratings_writer_init(
	struct ratings_writer *writer, int descriptor, const char *path, struct error *err);
/* A ratings_sink. */
MUST_CHECK enum status ratings_writer_add(
	void *writer, const struct rating *ratings, size_t count, struct error *err);
/* Makes it a ratings file. Not durable: one that a crash has torn is recognised by its hashes. */
MUST_CHECK enum status ratings_writer_finish(
	struct ratings_writer *writer, const struct ratings_origin *origin, struct error *err);
/* Takes all zeros. */
void ratings_writer_fini(struct ratings_writer *writer);

#endif
