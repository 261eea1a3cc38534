/*
 * Memory that runs out at a chosen allocation.
 *
 * A program that links failing_memory.c with FAILING_MEMORY_WRAPS (tests/CMakeLists.txt) has its
 * own malloc, calloc, realloc, aligned_alloc, strdup and anonymous mmap counted, in all libraries
 * of this project, and one of them refused. Those that other libraries make are not: jansson, for
 * one, ends the process by an assertion when a string's fails.
 *
 * Threads: allocations are counted over all threads; arm and disarm while no other thread
 * allocates.
 */
#ifndef MARQUEE_TESTS_FAILING_MEMORY_H
#define MARQUEE_TESTS_FAILING_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* From now on the allocation with this number, counted from 0, is refused, once. */
void failing_memory_arm(uint64_t number);
/* No further one is; returns whether one was. */
bool failing_memory_disarm(void);

#endif
