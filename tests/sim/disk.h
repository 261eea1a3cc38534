/*
 * The simulated disk: a directory of the real one whose operations take time and fail. power.h has
 * what a loss of power leaves of it.
 *
 * Operations below the root are the world's; others are libc's, but for the descriptors that a
 * process has open: they are closed when it dies, and with them go its locks.
 */
#ifndef MARQUEE_TESTS_SIM_DISK_H
#define MARQUEE_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* Watches the directory from now on; borrowed. */
void sim_disk_watch(const char *root);

/* From operation `first` on, whatever would change something fails with this errno for a while. */
void sim_disk_fail(uint64_t first, uint64_t for_ns, int error_number);

/* From now on nothing is synced, whatever is said. */
void sim_disk_lie(void);

/* Operations that have failed. */
uint64_t sim_disk_failures(void);

#endif
