/*
 * A model directory: what export writes and everything here answers from.
 *
 * DIR/model.json (configuration, vocabularies, unknown rows; sealed), DIR/model.safetensors (tables
 * and dense tensors) and DIR/catalog.safetensors (users, movies, titles; who was trained), and
 * DIR/movies.changes.json, the changes to its movies since then, which open applies. Open checks
 * sizes, XXH3 and every shape before a number is used. docs/model-directory.md has the formats.
 *
 * Threads: immutable after open.
 */
#ifndef MARQUEE_INFERENCE_MODEL_DIRECTORY_H
#define MARQUEE_INFERENCE_MODEL_DIRECTORY_H

#include "common/checkpoint/catalog_file.h"
#include "common/checkpoint/manifest.h"
#include "common/data/catalog_revise.h"
#include "common/model/model.h"
#include "inference/row_code.h"

#define MODEL_JSON_NAME		       "model.json"
#define MODEL_WEIGHTS_NAME	       "model.safetensors"
#define MODEL_CATALOG_NAME	       "catalog.safetensors"
#define MODEL_DIRECTORY_FORMAT	       "marquee-model"
#define MODEL_DIRECTORY_FORMAT_VERSION 1u

/* A table of more rows than this many per entity, and a million, is exported in compact form: only
 * the catalog's ids have rows. */
#define COMPACT_ROWS_PER_ENTITY UINT64_C(16)
#define COMPACT_ROWS_FREE	UINT64_C(1000000)

/* Whose ids a table is indexed by. */
enum table_entity { ENTITY_FEATURE, ENTITY_USER, ENTITY_MOVIE };

enum table_entity table_entity_of(const struct model_table *table);
/* Entities of the catalog that have a row in the table; 0 for a feature. */
uint32_t table_entity_count(const struct model_table *table, const struct catalog *catalog);
/* The entity's number in the catalog, UINT32_MAX when absent. Not for features. */
uint32_t table_entity_find(
	const struct model_table *table, const struct catalog *catalog, uint64_t id);
/* Whether the table is exported in compact form. */
bool table_is_compact(const struct model_table *table, const struct catalog *catalog);

struct model_directory_table {
	const struct tensor *weight; /* [n x dim], of the map */
	const struct tensor *scale;  /* [n], of int8 rows; else NULL */
	bool compact;		     /* row i belongs to the catalog's i-th entity, else to id i */
	bool unknown_trained;
	float *unknown; /* [dim], owned; NULL for tables without one */
};

/* What model_changes.h is about. All zeros where no movie was changed. */
struct model_changes {
	struct catalog exported;	/* the movies as they were exported, and nothing else */
	uint8_t *exported_trained;	/* [exported.movie_count], owned */
	struct catalog_numbers numbers; /* `before`: among the exported movies */
	uint8_t *changed;		/* [catalog.movie_count] 1: added or updated; owned */
	uint32_t *list;			/* [count] the same as numbers, ascending; owned */
	uint32_t count;
	uint32_t added, removed;
};

struct model_directory {
	char path[PATH_SIZE];
	struct manifest about; /* step, epoch, seed, test_rmse, data source, files */
	struct model *model;
	struct catalog catalog; /* with the changes */
	struct catalog_trained trained;
	struct model_changes changes;
	enum row_type rows; /* of all tables */
	struct safetensors weights;
	struct model_directory_table *tables; /* [model_table_count], owned */
	float *dense;			      /* [model_dense_size], owned */
};

/* NOT_FOUND: no such directory, or no model.json in it. FAILED_PRECONDITION: another format
 * version. DATA_LOSS: damaged; the message names file and reason. */
MUST_CHECK enum status model_directory_open(
	struct model_directory *ret, const char *path, struct error *err);
/* Takes a zeroed struct. */
void model_directory_close(struct model_directory *directory);

/*
 * Copies a row [dim] of a table. The id is UNKNOWN_ID (in tables that have it), one of the
 * catalog's, or a feature's value below the table's rows.
 */
void model_directory_row(
	const struct model_directory *directory, uint32_t table, uint64_t id, float *row);

#endif
