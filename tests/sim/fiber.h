/*
 * A function on a stack of its own, which gives way and is gone on with: a thread that runs only
 * when it is told to. One world, one real thread.
 */
#ifndef MARQUEE_TESTS_SIM_FIBER_H
#define MARQUEE_TESTS_SIM_FIBER_H

#include <ucontext.h>

struct fiber {
	ucontext_t machine;
	void *stack;
	void *fake_stack; /* AddressSanitizer's */
	int saved_errno;
	void (*function)(void *context);
	void *context;
};

/* Takes a stack; the function starts with the first fiber_run(). */
void fiber_init(struct fiber *fiber, void (*function)(void *context), void *context);
/* Gives the stack back, wherever the function stands. It does not run. */
void fiber_fini(struct fiber *fiber);

/* From outside of all fibers: goes on with it until it gives way. */
void fiber_run(struct fiber *fiber);
/* From inside: back to fiber_run(). */
void fiber_give_way(struct fiber *self);
/* The same, and nobody goes on with it any more. A function ends in this way. */
void fiber_end(struct fiber *self);

#endif
