#include "tests/sim/fiber.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES  ((size_t)1 << 20)
#define GUARD_BYTES  ((size_t)4096)
#define SPARE_STACKS 256u

static struct {
	ucontext_t machine;
	void *fake_stack;
	const void *stack;
	size_t stack_bytes;
} outside;

static struct fiber *starting;
static void *spare_stacks[SPARE_STACKS];
static unsigned int spare_count;

/* AddressSanitizer wants to know on which stack we are. */
static void leave_stack(void **keep, const void *bottom, size_t size)
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_start_switch_fiber(keep, bottom, size);
#else
	(void)keep, (void)bottom, (void)size;
#endif
}

static void enter_stack(void *kept, const void **bottom, size_t *size)
{
#if defined(__SANITIZE_ADDRESS__)
	__sanitizer_finish_switch_fiber(kept, bottom, size);
#else
	(void)kept, (void)bottom, (void)size;
#endif
}

static void *take_stack(void)
{
	if (spare_count > 0)
		return spare_stacks[--spare_count];
	void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (stack == MAP_FAILED || mprotect(stack, GUARD_BYTES, PROT_NONE) != 0) {
		perror("simulation: a stack");
		abort();
	}
	return stack;
}

static void main_of_fiber(void)
{
	struct fiber *self = starting;
	enter_stack(NULL, &outside.stack, &outside.stack_bytes);
	self->function(self->context);
	fiber_end(self);
}

void fiber_init(struct fiber *fiber, void (*function)(void *context), void *context)
{
	*fiber = (struct fiber){.stack = take_stack(), .function = function, .context = context};
	getcontext(&fiber->machine);
	fiber->machine.uc_stack.ss_sp = fiber->stack;
	fiber->machine.uc_stack.ss_size = STACK_BYTES;
	fiber->machine.uc_link = NULL;
	makecontext(&fiber->machine, main_of_fiber, 0);
}

void fiber_fini(struct fiber *fiber)
{
#if defined(__SANITIZE_ADDRESS__)
	/* The frames on it may never have returned. */
	__asan_unpoison_memory_region(
		(char *)fiber->stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
#endif
	if (spare_count < SPARE_STACKS)
		spare_stacks[spare_count++] = fiber->stack;
	else
		munmap(fiber->stack, STACK_BYTES);
	fiber->stack = NULL;
}

void fiber_run(struct fiber *fiber)
{
	starting = fiber;
	leave_stack(&outside.fake_stack, fiber->stack, STACK_BYTES);
	swapcontext(&outside.machine, &fiber->machine);
	enter_stack(outside.fake_stack, NULL, NULL);
}

void fiber_give_way(struct fiber *self)
{
	self->saved_errno = errno;
	leave_stack(&self->fake_stack, outside.stack, outside.stack_bytes);
	swapcontext(&self->machine, &outside.machine);
	enter_stack(self->fake_stack, NULL, NULL);
	errno = self->saved_errno;
}

void fiber_end(struct fiber *self)
{
	leave_stack(NULL, outside.stack, outside.stack_bytes);
	swapcontext(&self->machine, &outside.machine);
	abort();
}
