/*
 * A cut through one partition: its records as they were at one moment, read from the first to the
 * last while training goes on.
 *
 * A partition appends records and never moves them, so a cut is a count and a watermark: records
 * [0, done) have been read, those of [done, count) are still to be read, and those behind came
 * later. The first change of a record that is still to be read puts a copy of it aside, in a
 * partition of the same schema. So beginning a cut costs nothing, and what is aside is bounded by
 * the rows that training touches meanwhile.
 *
 * What cannot be put aside for want of memory costs the cut, never the training.
 *
 * Threads: externally locked, by the partition's lock; table_cut_read() may share.
 */
#ifndef MARQUEE_PSERVER_TABLE_CUT_H
#define MARQUEE_PSERVER_TABLE_CUT_H

#include "pserver/table.h"

struct table_cut {
	bool active;
	bool lost; /* there was no memory to keep it */
	uint32_t count;
	uint32_t done;
	struct table_partition aside; /* old records, by id */
	uint64_t *is_aside;	      /* [count] bits, by position; NULL: none is */
};

/* Begins, in place of an earlier one. A cut of all zeros is valid: there is none. */
void table_cut_begin(struct table_cut *cut, const struct table_partition *partition,
	const struct table_schema *schema);
void table_cut_end(struct table_cut *cut, const struct table_schema *schema);

/*
 * To be called before the records of a batch change: keeps those that are still to be read by an
 * active cut. cuts: the table's, beside its partitions.
 */
void table_cut_keep(
	struct table_cut *cuts, const struct table *table, const struct table_batch *batch);

/* Records before this position have been read and need not be kept any longer. */
void table_cut_pass(struct table_cut *cut, const struct table_schema *schema, uint32_t position);

/*
 * As table_read(), of the records as they were; from position >= done, again and again.
 * RESOURCE_EXHAUSTED: the cut is lost.
 */
MUST_CHECK enum status table_cut_read(const struct table_cut *cut,
	const struct table_partition *partition, const struct table_schema *schema,
	uint32_t position, uint32_t max, void *ret_ids, float *ret_records, uint32_t *ret_n,
	struct error *err);

#endif
