/*
 * The rows of one table in the order of its tensor, from the shards of a checkpoint, where they lie
 * in no order.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_INFERENCE_EXPORT_ROWS_H
#define MARQUEE_INFERENCE_EXPORT_ROWS_H

#include "inference/export_tables.h"
#include "inference/model_directory.h"

/* Inputs and outputs are those of struct export_tables. */
struct export_rows {
	const struct export_tables *tables;
	const struct model_table *table;
	enum table_entity entity;
	bool compact;
	uint64_t rows;		  /* of the tensor */
	const uint64_t *entities; /* the catalog's ids, rising; NULL for a feature */
	uint8_t *trained;	  /* their marks */
	struct export_unknown *unknown;

	/* Where rows [first, first + count) of the tensor lie; NULL: nobody sent them. Owned. */
	const float **from;
	uint64_t first;
	size_t count, capacity;
	size_t next_entity; /* the first whose row has not been taken */
};

/* Of table number t; there is nothing to release yet. */
struct export_rows export_rows_of(const struct export_tables *tables, uint32_t t);

/* Before the first row is taken. Draws the unknown row, if the table has one. */
MUST_CHECK enum status export_rows_begin(struct export_rows *rows, struct error *err);
/* Also what has not begun. */
void export_rows_end(struct export_rows *rows);

/*
 * Copies the n rows from `first` on, those that nobody sent being drawn, and marks their entities.
 * Calls take all rows of the tensor, one after the other. DATA_LOSS: the checkpoint's rows are not
 * the model's.
 */
MUST_CHECK enum status export_rows_take(
	struct export_rows *rows, uint64_t first, size_t n, float *values, struct error *err);

#endif
