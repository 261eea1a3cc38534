/*
 * What a loss of power leaves of the simulated disk.
 *
 * The directory on the real disk is what processes see. Beside it stands a log of what is not yet
 * durable: the bytes of a file until it is synced, the entries of a directory until that is synced.
 * When power is lost a directory keeps the entries of its log up to some point, as a journalling
 * file system does, each directory for itself; a file that was not synced may be cut, or hold zeros
 * in place of its end.
 *
 * Called by disk.c, inside of the world, with the operation already made unless it says otherwise.
 */
#ifndef MARQUEE_TESTS_SIM_POWER_H
#define MARQUEE_TESTS_SIM_POWER_H

/* Keeps removed files in `attic`, on the same file system; borrowed. NULL: keeps no log. */
void sim_power_begin(const char *attic);

void sim_power_wrote(int descriptor);
/* Of a file or of a directory. */
void sim_power_synced(int descriptor);
void sim_power_created(const char *path);
void sim_power_made_directory(const char *path);
/* Before it. */
void sim_power_will_remove_directory(const char *path);
void sim_power_will_unlink(const char *path);
/* Before it: what `to` names may be lost. Both are in one directory. */
void sim_power_will_rename(const char *from, const char *to);
void sim_power_exchanged(const char *a, const char *b);

/* Power is lost. Every process that uses the disk is dead. */
void sim_power_cut(void);

#endif
