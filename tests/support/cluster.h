/*
 * Whole training jobs inside one process: workers are threads, parameter servers listen on
 * ephemeral addresses.
 */
#ifndef MARQUEE_TESTS_CLUSTER_H
#define MARQUEE_TESTS_CLUSTER_H

#include "tests/support/scratch.h"
#include "worker/options.h"
#include "worker/trainer.h"

#define CLUSTER_SERVERS_MAX 8u

enum cluster_transport { TRANSPORT_INPROC, TRANSPORT_IPC, TRANSPORT_TCP };

struct cluster {
	uint32_t workers; /* 1..LANES_MAX */
	uint32_t servers; /* 0: tables embedded in the only worker */
	enum cluster_transport transport;
	bool hosted;	     /* worker w hosts shard w: steps go through memory */
	size_t shared_bytes; /* of the longest step that does; 0: the default */
	struct train_options options;
	/* What stands between a worker and its tables: takes them, returns owned ones. May be NULL.
	 */
	struct params *(*wrap)(void *context, struct params *params);
	void *wrap_context;
	void (*on_warning)(void *context, const char *text); /* may be NULL */
	void *warning_context;
};

/* The first failure in worker order, or worker 0's result. */
MUST_CHECK enum status cluster_train(
	const struct cluster *cluster, struct train_result *ret, struct error *err);

/* One worker with embedded tables, for one epoch of the shared data. */
struct cluster cluster_alone(void);
/* Of the parameters that it ends with; fails the test when it fails. */
struct digest cluster_digest(const struct cluster *cluster);
void cluster_assert_same(struct digest a, struct digest b);

/* Options as a program has them after parsing, for this directory of data. */
struct train_options cluster_options(const char *data);

/* Small generated data in ml-1m's layout; fails the test when it cannot be made. */
void cluster_data(const char *directory, uint64_t users, uint64_t movies, uint64_t ratings);

/* One such directory for a whole program: for run_cases_around(). */
#define CLUSTER_SHARED_RATINGS 5000u
extern char cluster_shared_data[PATH_SIZE];
void cluster_open_shared_data(void);
void cluster_close_shared_data(void);

#endif
