/* Bytes that come at one end and go at the other. Zeroed: none. */
#ifndef MARQUEE_TESTS_SIM_BYTES_H
#define MARQUEE_TESTS_SIM_BYTES_H

#include <stddef.h>

struct sim_bytes {
	unsigned char *first; /* of those that are there */
	size_t count;
	unsigned char *memory;
	size_t capacity;
};

void sim_bytes_add(struct sim_bytes *bytes, const void *from, size_t count);
/* Drops the first ones. */
void sim_bytes_drop(struct sim_bytes *bytes, size_t count);
/* Drops all, and the memory. */
void sim_bytes_fini(struct sim_bytes *bytes);

#endif
