/*
 * Both MovieLens layouts are fuzzed alike: an input is the layout's files in order, each but the
 * last ended by a line "%%". It is read strictly and with bad lines skipped.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_TESTS_LAYOUT_FUZZ_H
#define MARQUEE_TESTS_LAYOUT_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* names[count]; the last is the ratings file. */
void layout_fuzz(const uint8_t *data, size_t size, const char *const *names, size_t count);

#endif
