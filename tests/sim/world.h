/*
 * A world for simulated jobs: contexts that run one at a time, virtual time, events, processes that
 * die. Everything that happens in it follows from one seed.
 *
 * The simulation puts the world, not the product, in place of another: a test program is linked
 * with --wrap for the functions of libc and pthreads that our libraries call (threads.c, disk.c),
 * and with functions of nng's names (nng_*.c). Outside of a world, what is wrapped is libc's.
 *
 * A context is one thread of one simulated process, on a stack of its own. It runs until it blocks:
 * in a lock, a wait, a sleep, a disk's operation. Then the scheduler draws the next one among those
 * that can go on; when there is none, time jumps to the next event. A process that dies stops at
 * such a point: its contexts never run again, its memory is left behind, its descriptors are
 * closed.
 *
 * There is one world at a time, in one thread of the real process. Memory that dead processes leave
 * is the real process's until it ends; simulate in children (jobs.c).
 */
#ifndef MARQUEE_TESTS_SIM_WORLD_H
#define MARQUEE_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NEVER UINT64_MAX
#define SIM_US	  UINT64_C(1000)
#define SIM_MS	  UINT64_C(1000000)
#define SIM_S	  UINT64_C(1000000000)

struct sim_context;

struct sim_process {
	char name[24];
	uint32_t number; /* in the order in which they were made, from 1 */
	bool alive;
	uint64_t paused_until_ns;
	struct sim_process *next; /* all of the world's */
};

/*
 * Independent streams of random numbers, so that a change of one fault leaves the others alone.
 * What is drawn, and how often, must follow from the seed and from what has happened in the world,
 * never from the machine: an address, an inode's number, the order in which a directory lists its
 * files.
 */
enum sim_stream {
	SIM_SCHEDULE,
	SIM_NETWORK,
	SIM_DISK,
	SIM_PLAN,
	SIM_ENTROPY,
	SIM_DAMAGE, /* by a loss of power */
	SIM_STREAMS
};

/* ---- the world ---- */

void sim_begin(uint64_t seed);
/* Forgets everything: every process is dead. */
void sim_end(void);

enum sim_outcome {
	SIM_DONE,    /* the context has returned */
	SIM_STUCK,   /* nothing can happen any more */
	SIM_ENDLESS, /* a bound on time or on turns was passed */
};
/* Runs the world until the context has returned. Called from outside of the world. */
enum sim_outcome sim_run(const struct sim_context *until, uint64_t time_max_ns, uint64_t turns_max);

/* Whether the caller is a context of the world. */
bool sim_inside(void);
uint64_t sim_now_ns(void);
uint64_t sim_turns(void);

/* Uniform in [0, below). */
uint32_t sim_draw(enum sim_stream stream, uint32_t below);
/* True in `permyriad` of 10000 cases. */
bool sim_chance(enum sim_stream stream, uint32_t permyriad);

/*
 * What happens goes into a hash, by which two runs are compared, and so does every number that is
 * drawn. With MARQUEE_SIM_TRACE set it is also printed, and beside it how many numbers each stream
 * has given: in the first line that differs between two runs stands what was drawn before it.
 */
void sim_trace(const char *what, uint64_t a, uint64_t b);
uint64_t sim_trace_hash(void);
/* For people only. */
void sim_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- processes and contexts ---- */

struct sim_process *sim_process_new(const char *name);
/* Its contexts never run again; a caller among them does not return. */
void sim_process_kill(struct sim_process *process);
/* As SIGSTOP, and SIGCONT after a while. */
void sim_process_pause(struct sim_process *process, uint64_t for_ns);
/* The caller's; NULL outside. */
struct sim_process *sim_self(void);

/* Starts function(argument) in the process. */
struct sim_context *sim_start(
	struct sim_process *process, void *(*function)(void *), void *argument);
/* Waits for the end of a context, and returns what its function did. Its memory goes. */
void *sim_join(struct sim_context *context);
/* Nobody will join it. */
void sim_detach(struct sim_context *context);
uint32_t sim_context_number(void);

/* Lets others run. */
void sim_yield(void);
void sim_sleep(uint64_t for_ns);
/* Waits for a wake of the object; false when the time came first. */
bool sim_wait(const void *object, uint64_t until_ns);
void sim_wake_one(const void *object);
void sim_wake_all(const void *object);

/* function(context, number) at that time, outside of all processes; it must not block. */
typedef void sim_event(void *context, uint64_t number);
void sim_at(uint64_t at_ns, sim_event *function, void *context, uint64_t number);

/* Called before each turn, outside of all processes: for faults at a turn. NULL: none. */
void sim_each_turn(sim_event *function, void *context);

/* ---- what the parts of the world know of each other ---- */

/* network.c */
void sim_network_begin(void);
void sim_network_forget(const struct sim_process *process);
/* disk.c */
void sim_disk_begin(void);
void sim_disk_forget(const struct sim_process *process);

#endif
