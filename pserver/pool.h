/*
 * Pooled tables in ssp and async mode: the gradients of as many pushes as the job has members are
 * summed and applied as one step of the optimizer, whoever they come from. Nobody waits for it.
 *
 * Why: what every push changes, like a model's dense weights, would else take W small steps where
 * sync mode takes one. Optimizers that scale their step themselves would go W times as far, and
 * SGD goes another way than the one that its learning rate was chosen for.
 * A gradient that was computed on rows from before the latest rounds counts for less: one that is
 * tau > 1 rounds old is divided by tau, since late steps are what training grows unstable by.
 * (Zhang, Gupta, Lian, Liu: Staleness-aware Async-SGD for Distributed Deep Learning, IJCAI 2016:
 * 1-softsync, and the learning rate divided by the staleness of each gradient.)
 *
 * Once all members have pushed equally many steps nothing is left over. Where it is otherwise,
 * since a member came or went, a cut or a leave ends the round early, so nothing is lost.
 *
 * Threads: internally locked; the lock is taken before the store's. The store is borrowed.
 */
#ifndef MARQUEE_PSERVER_POOL_H
#define MARQUEE_PSERVER_POOL_H

#include "common/base/status.h"
#include "pserver/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;

/*
 * Returns an owned, empty pool for those of the store's tables [0, table_count) that are pooled.
 * Rounds are applied as steps first_step + 1, first_step + 2, ...
 */
MUST_CHECK enum status pool_new(struct pool **ret, struct store *store,
	const struct table_spec *tables, uint32_t table_count, uint32_t members,
	uint64_t first_step, struct error *err);
/* Takes NULL. */
void pool_free(struct pool *pool);

/* Immutable: whether the table's gradients come here. */
bool pool_has(const struct pool *pool, uint32_t table);

/* Rounds that have been applied; without waiting for one that is being applied. */
uint64_t pool_rounds(const struct pool *pool);

/*
 * Adds gradients [n, dim] of a table that pool_has(), times `weight`, copied; ids [n] raw u64 of
 * any alignment that the store has checked. RESOURCE_EXHAUSTED leaves a part of them added.
 */
MUST_CHECK enum status pool_add(struct pool *pool, uint32_t table, const void *ids, size_t n,
	const float *gradients, float weight, struct error *err);

/* By which a gradient counts that was computed on rows as of so many rounds ago. */
float pool_weight(uint64_t rounds_old);

/* The examples that gradients of pool_add() stand for; counted by the store when they are applied.
 */
void pool_count_examples(struct pool *pool, uint32_t table, uint64_t examples);

/* All of a push has been added: applies what is here if it is the last one of a round. */
MUST_CHECK enum status pool_end_push(struct pool *pool, struct error *err);

/* Pushes of a round from now on. */
void pool_set_members(struct pool *pool, uint32_t members);

/* Applies what is here as a round, complete or not: before a cut, and when a member has left. */
MUST_CHECK enum status pool_flush(struct pool *pool, struct error *err);

#endif
