/*
 * What the measurements of checkpoints and of exports share: a model with many users whose tables
 * are full, a saver, and a plain writer to hold them against.
 *
 * The plain writer writes a file of as many bytes in pieces of a megabyte and syncs it.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_BENCH_CHECKPOINT_WORLD_H
#define MARQUEE_BENCH_CHECKPOINT_WORLD_H

#include "common/base/file.h"
#include "common/data/catalog.h"
#include "common/model/model.h"
#include "pserver/service.h"
#include "tests/bench/bench.h"
#include "worker/dense.h"
#include "worker/params.h"
#include "worker/saver.h"

#define SAME_BYTES_LIMIT "70% of plain writes of the same bytes"
#define SAME_BYTES_SHARE 0.7

struct checkpoint_world {
	const struct bench *bench;
	char root[PATH_SIZE]; /* a directory for what is written */
	uint64_t users;
	struct catalog catalog;
	struct model *model;
	json_t *model_json;
	struct dense dense;
	unsigned char *piece; /* of a plain write */

	/* between world_open_tables() and world_close_tables() */
	struct ps_server *server; /* NULL: tables are embedded */
	struct params *params;
	struct saver *saver;
	uint64_t step; /* applied */
	uint64_t *ids; /* of the next step; room for 65536 */
	float *rows;
};

typedef enum status world_work(struct checkpoint_world *world, struct error *err);

/* main() of a program: the options, a world without tables, its work, and all gone after it. */
int world_main(const char *program, const char *summary, world_work *work, int argc, char **argv);

/* Tables with every user's row, in this process or, with a URL, on a server that listens there. */
MUST_CHECK enum status world_open_tables(
	struct checkpoint_world *world, const char *listen_url, struct error *err);
/* Also what is half open, or nothing. */
void world_close_tables(struct checkpoint_world *world);

/* One step: pushes gradients to the n users in world->ids and pulls the same rows. */
MUST_CHECK enum status world_step(struct checkpoint_world *world, uint32_t n, struct error *err);

/* Begins a checkpoint: what the trainer waits for, up to the start of the saver's thread. */
MUST_CHECK enum status world_begin(
	struct checkpoint_world *world, double *ret_seconds, struct error *err);

/* What was written and removed before is not the next one's: the disk comes to rest. */
MUST_CHECK enum status world_settle(const struct checkpoint_world *world, struct error *err);

/* Bytes a second of plain writes, the disk having come to rest. */
MUST_CHECK enum status world_write_plain(
	const struct checkpoint_world *world, uint64_t bytes, double *ret_rate, struct error *err);

/* Of the files in a directory. */
MUST_CHECK enum status directory_bytes(const char *path, uint64_t *ret, struct error *err);

#endif
