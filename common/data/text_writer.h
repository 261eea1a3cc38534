/*
 * A text file written front to back through a buffer, and put in place only when it is complete.
 *
 * A write that fails is remembered: the calls after it do nothing and commit returns its status.
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_DATA_TEXT_WRITER_H
#define MARQUEE_DATA_TEXT_WRITER_H

#include "common/base/file.h"
#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* The most that one text_writer_room() may ask for. */
#define TEXT_WRITER_ROOM_MAX ((size_t)4096)

struct text_writer {
	char path[PATH_SIZE];
	char temporary[PATH_SIZE]; /* path.tmp, until it is renamed */
	int descriptor;		   /* -1: closed */
	char *buffer;
	size_t used;
	uint64_t written; /* bytes handed to the file */
	struct error error;
};

MUST_CHECK enum status text_writer_open(
	struct text_writer *ret, const char *directory, const char *name, struct error *err);

/* Where the next bytes go: room for TEXT_WRITER_ROOM_MAX. Say with advance how many there were. */
char *text_writer_room(struct text_writer *writer);
static inline void text_writer_advance(struct text_writer *writer, size_t bytes)
{
	writer->used += bytes;
}

/* Decimal digits at `at`; returns the place behind them. At most 20 bytes. */
char *text_put_u64(char *at, uint64_t value);

/* Writes what is left and makes it durable under its temporary name; then text_writer_publish(). */
MUST_CHECK enum status text_writer_complete(struct text_writer *writer, struct error *err);
/* Renames it into place. */
MUST_CHECK enum status text_writer_publish(struct text_writer *writer, struct error *err);
/* Frees, and removes the temporary file when it was not published. Takes all zeros. */
void text_writer_fini(struct text_writer *writer);

#endif
