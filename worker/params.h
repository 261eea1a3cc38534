/*
 * The parameter client: how a worker reads and updates the tables, wherever they are.
 *
 * One small interface, two implementations: embedded (a store in this process) and remote
 * (parameter servers over nng). The trainer knows this interface alone.
 *
 * A step is one exchange: the gradients of the step that was computed, and the rows of the next
 * one. With remote servers it is one message per server and step.
 *
 * Threads: owner-thread only, but for exchange_table, read_cut and uncut.
 */
#ifndef MARQUEE_WORKER_PARAMS_H
#define MARQUEE_WORKER_PARAMS_H

#include "common/base/hash.h"
#include "common/base/status.h"
#include "pserver/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Rows to read, in the order of ids, which are distinct: rows[count * dim] is filled. Where
 * exchange_start is there, rows may be NULL: *found is then set to where they lie, aligned to 4
 * bytes, borrowed until the slot's next start.
 */
struct params_pull {
	uint32_t table;
	uint32_t count;
	const uint64_t *ids;
	float *rows;
	const float **found;
};

/* Gradients to apply, summed over the lanes of the span that starts at lane `slot`; ids are
 * distinct. */
struct params_push {
	uint32_t table;
	uint32_t slot;
	uint32_t count;
	uint32_t examples; /* of the span: what the audit counts */
	const uint64_t *ids;
	const float *gradients; /* [count * dim] */
};

struct params_step {
	/* Applied as step `push_step` (0-based). push_count 0 and has_push false: nothing to push.
	 */
	bool has_push;
	uint64_t push_step;
	const struct params_push *pushes;
	uint32_t push_count;
	/* Then read, seeing every step before pull_step that the mode guarantees. */
	bool has_pull;
	uint64_t pull_step;
	const struct params_pull *pulls;
	uint32_t pull_count;
};

struct params_traffic {
	uint64_t bytes_sent, bytes_received;
	uint64_t messages; /* both ways */
};

/* Exchanges that may be under way together. */
#define PARAMS_SLOTS 8u

struct params;

/* Called once a chunk; the arrays are borrowed for the call. Record: row, then optimizer slots. */
typedef enum status params_sink(void *context, uint32_t table, const uint64_t *ids,
	const float *records, size_t count, struct error *err);

struct params_operations {
	enum status (*exchange)(
		struct params *params, const struct params_step *step, struct error *err);
	/*
	 * The same for one table, push and pull of which either may be NULL, from any thread, other
	 * tables at the same time. NULL where tables are not here: the exchange is then one for all
	 * of them.
	 */
	enum status (*exchange_table)(struct params *params, const struct params_push *push,
		uint64_t push_step, const struct params_pull *pull, struct error *err);
	/*
	 * An exchange in two halves, so that something else can be done meanwhile: other exchanges,
	 * each in a slot of its own, whose order on the servers is open; or what needs no tables.
	 * The step and all it points to are borrowed until finish, which follows every start that
	 * went well. NULL where tables are here.
	 */
	enum status (*exchange_start)(struct params *params, uint32_t slot,
		const struct params_step *step, struct error *err);
	enum status (*exchange_finish)(struct params *params, uint32_t slot, struct error *err);
	/* Every created record of a table, from every server, in no promised order. */
	enum status (*snapshot)(struct params *params, uint32_t table, params_sink *sink,
		void *context, struct error *err);
	/*
	 * Worker 0, between two steps: begins a cut through all tables, in place of an earlier one.
	 * `step` steps have been applied everywhere, and nothing is applied during the call: in
	 * sync mode no step is without worker 0's push, in the others the workers wait for it.
	 * Costs a round trip.
	 */
	enum status (*cut)(struct params *params, uint64_t step, struct error *err);
	/*
	 * As snapshot, of the tables as they were at the cut, once a table. This and uncut may be
	 * called from a thread of their own, beside the owner's exchanges.
	 */
	enum status (*read_cut)(struct params *params, uint32_t table, params_sink *sink,
		void *context, struct error *err);
	/* Nobody reads the cut any more. */
	enum status (*uncut)(struct params *params, struct error *err);
	/* Sets records, creating rows as needed; before the first exchange only. */
	enum status (*restore)(struct params *params, uint32_t table, const uint64_t *ids,
		const float *records, size_t count, struct error *err);
	/* Over every record of every table. */
	enum status (*digest)(struct params *params, struct digest *ret, struct error *err);
	/*
	 * Compares the examples whose gradients have been applied since the job's first step, as
	 * every table counts them on every server, with what was read: DATA_LOSS with both figures
	 * where they differ. Between two steps of all workers.
	 */
	enum status (*audit)(struct params *params, uint64_t examples, struct error *err);
	/* Every table's count goes on from here; before the first exchange only. */
	enum status (*restore_examples)(
		struct params *params, uint64_t examples, struct error *err);
	/*
	 * Says that this worker is done, so that nobody waits for it any longer; or, failed, that
	 * it gave up, which ends the job on the servers for everyone.
	 */
	enum status (*leave)(struct params *params, bool failed, struct error *err);
	void (*free)(struct params *params);
};

#define PARAMS_TABLES_MAX 32

struct params {
	const struct params_operations *operations;
	uint32_t table_count;
	struct table_spec tables[PARAMS_TABLES_MAX];
	uint32_t record_floats[PARAMS_TABLES_MAX]; /* row and slots */
	struct params_traffic traffic;		   /* of exchanges; the user may set it back to 0 */
	/* Under which this worker's pushes are accepted; 0: nobody tells them apart. */
	uint64_t incarnation;
	/* Steps that the slowest worker lacked in the rows that came last; 0 in sync mode. */
	uint64_t staleness;
};

/* Tables in this process. Copies the specs. Single worker only. */
MUST_CHECK enum status params_embedded_new(struct params **ret, uint64_t seed,
	const struct table_spec *tables, uint32_t table_count, struct error *err);

/* Takes NULL. */
void params_free(struct params *params);

/* For implementations: what a table of a server counted (where NULL: this process) against what was
 * read. */
MUST_CHECK enum status params_audit_table(const struct params *params, uint32_t table,
	const char *where, uint64_t applied, uint64_t examples, struct error *err);

/* For implementations: copies the specs and works out the size of their records. */
MUST_CHECK enum status params_set_tables(struct params *params, const struct table_spec *tables,
	uint32_t table_count, struct error *err);

/* Records that a store is read and restored in. */
#define PARAMS_CHUNK 4096u

#endif
