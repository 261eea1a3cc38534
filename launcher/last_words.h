/*
 * What the workers said last before they gave up: the cause of a failed attempt, in their words.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_LAUNCHER_LAST_WORDS_H
#define MARQUEE_LAUNCHER_LAST_WORDS_H

#include "common/base/status.h"

#include <stdint.h>

#define LAST_WORDS_URL_SIZE 256

/* All zeros: nothing was said. */
struct last_words {
	char text[ERROR_MESSAGE_SIZE];
};

/* A line of the workers' errors. Kept if it is a failure's: "worker: ..." and no warning. */
void last_words_hear(struct last_words *words, const char *line);

/*
 * The words with every server's address replaced by its name, "pserver 1", as far as they fit.
 * urls[count]: of the servers, in their order.
 */
void last_words_tell(const struct last_words *words, char (*urls)[LAST_WORDS_URL_SIZE],
	uint32_t count, char text[ERROR_MESSAGE_SIZE]);

#endif
