/* The bytes of a ratings file: docs/cache.md. Private to ratings_file.c and ratings_writer.c. */
#ifndef MARQUEE_DATA_RATINGS_LAYOUT_H
#define MARQUEE_DATA_RATINGS_LAYOUT_H

#include "common/data/ratings_file.h"

#define RATINGS_MAGIC	     "mqrates\n"
#define RATINGS_VERSION	     1u
#define RATINGS_HEADER_BYTES ((uint64_t)4096)
#define RATINGS_BLOCK_BYTES  ((uint64_t)RATINGS_BLOCK * sizeof(struct rating))

/* Little-endian, without padding. */
struct ratings_header {
	char magic[8];
	uint32_t version;
	uint32_t block; /* RATINGS_BLOCK */
	uint64_t count; /* ratings */
	uint64_t source_size;
	int64_t source_mtime_ns;
	uint64_t catalog;
	uint64_t hashes; /* XXH3-64 of the list of hashes */
	uint64_t skipped_lines;
	char first_bad_line[ERROR_MESSAGE_SIZE]; /* ":17: expected ..." */
	uint64_t header;			 /* XXH3-64 of everything above */
};

_Static_assert(sizeof(struct ratings_header) == 64 + ERROR_MESSAGE_SIZE + 8, "no padding");
_Static_assert(sizeof(struct rating) == 12, "a record of the format");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are read as they lie");

#endif
