/*
 * The two ways MovieLens lays out its files: a table of names and line parsers.
 *
 * Threads: immutable.
 */
#ifndef MARQUEE_DATA_LAYOUT_H
#define MARQUEE_DATA_LAYOUT_H

#include "common/base/status.h"
#include "common/data/catalog_builder.h"
#include "common/data/lines.h"

/* Adds one line to the builder; statuses as the builder's. */
typedef enum status (*parse_line)(
	struct catalog_builder *builder, struct text line, struct error *err);

struct layout_file {
	const char *name;
	const char *expected; /* what a line should be, for messages */
	parse_line parse;     /* NULL: the file is not part of the layout */
};

struct layout {
	const char *name;
	/* In the order of reading. genres may have no name. */
	struct layout_file genres, users, movies;
	const char *ratings_name;
	const char *ratings_expected;
	char separator; /* of ratings: ':' stands for "::" */
};

extern const struct layout layout_ml_1m;
extern const struct layout layout_ml_100k;

/* The row of a layout. */
const struct layout *layout_of(enum data_layout layout);

/* What both share: "M" or "F". */
MUST_CHECK enum status layout_parse_gender(struct text text, uint8_t *ret, struct error *err);

#endif
