#include "tests/sim/world.h"

#include "common/base/hash.h"
#include "tests/sim/fiber.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXTS_MAX 1024u
#define EVENTS_MAX   16384u
#define TURN_NS_MAX  2000u /* what a turn takes, at most */

enum state { READY, WAITING, ENDED };

struct sim_context {
	struct fiber fiber;
	struct sim_process *process;
	uint32_t number;
	enum state state;
	const void *object; /* WAITING */
	uint64_t until_ns;
	bool timed_out;
	bool detached;
	void *(*function)(void *);
	void *argument, *result;
};

struct event {
	uint64_t at_ns;
	uint64_t order; /* among those of the same time */
	sim_event *function;
	void *context;
	uint64_t number;
};

static struct world {
	struct sim_context *current;
	struct sim_context *contexts[CONTEXTS_MAX];
	uint32_t context_count, contexts_made;
	struct sim_process *processes;
	uint32_t processes_made;
	struct event events[EVENTS_MAX]; /* by time, the next one last */
	uint32_t event_count;
	uint64_t events_made;
	uint64_t now_ns, turns;
	uint64_t random[SIM_STREAMS], drawn[SIM_STREAMS];
	uint64_t hash;
	bool tracing, ending;
	sim_event *each_turn;
	void *each_turn_context;
} world;

/* Our own bugs. */
static void broken(const char *what)
{
	fprintf(stderr, "simulation: %s\n", what);
	abort();
}

/* ---- numbers ---- */

uint32_t sim_draw(enum sim_stream stream, uint32_t below)
{
	const uint64_t value = hash_u64(world.random[stream]++);
	const uint32_t number = below ? (uint32_t)((value >> 32) * below >> 32) : 0;
	world.drawn[stream]++;
	world.hash = hash_u64(world.hash ^ hash_u64((uint64_t)stream << 32 | number));
	return number;
}

bool sim_chance(enum sim_stream stream, uint32_t permyriad)
{
	return permyriad && sim_draw(stream, 10000) < permyriad;
}

void sim_trace(const char *what, uint64_t a, uint64_t b)
{
	const uint64_t words[] = {world.now_ns, a, b};
	world.hash = hash_bytes(words, sizeof(words), world.hash);
	world.hash = hash_bytes(what, strlen(what), world.hash);
	if (!world.tracing)
		return;
	fprintf(stderr, "%14.6f ms %-16s %-12s %llx %llx; drawn", (double)world.now_ns * 1e-6,
		world.current ? world.current->process->name : "-", what, (unsigned long long)a,
		(unsigned long long)b);
	for (int i = 0; i < SIM_STREAMS; i++)
		fprintf(stderr, " %llu", (unsigned long long)world.drawn[i]);
	fprintf(stderr, ", %08x\n", (unsigned int)(world.hash >> 32));
}

uint64_t sim_trace_hash(void)
{
	return world.hash;
}

void sim_note(const char *format, ...)
{
	va_list args;
	if (!world.tracing)
		return;
	fprintf(stderr, "%14.6f ms %-16s ", (double)world.now_ns * 1e-6,
		world.current ? world.current->process->name : "-");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

bool sim_inside(void)
{
	return world.current != NULL;
}

uint64_t sim_now_ns(void)
{
	return world.now_ns;
}

uint64_t sim_turns(void)
{
	return world.turns;
}

struct sim_process *sim_self(void)
{
	return world.current ? world.current->process : NULL;
}

uint32_t sim_context_number(void)
{
	return world.current ? world.current->number : 0;
}

/* ---- contexts ---- */

static void context_main(void *argument)
{
	struct sim_context *self = argument;
	self->result = self->function(self->argument);
	self->state = ENDED;
	sim_wake_all(self);
}

static void forget_context(uint32_t index)
{
	struct sim_context *context = world.contexts[index];
	fiber_fini(&context->fiber);
	memmove(&world.contexts[index], &world.contexts[index + 1],
		(--world.context_count - index) * sizeof(world.contexts[0]));
	free(context);
}

struct sim_context *sim_start(
	struct sim_process *process, void *(*function)(void *), void *argument)
{
	struct sim_context *context = calloc(1, sizeof(*context));
	if (!context || world.context_count == CONTEXTS_MAX)
		broken("too many contexts");
	context->process = process;
	context->number = ++world.contexts_made;
	context->function = function;
	context->argument = argument;
	fiber_init(&context->fiber, context_main, context);
	world.contexts[world.context_count++] = context;
	return context;
}

void *sim_join(struct sim_context *context)
{
	while (context->state != ENDED)
		(void)sim_wait(context, SIM_NEVER);
	void *result = context->result;
	context->detached = true; /* swept by the scheduler */
	return result;
}

void sim_detach(struct sim_context *context)
{
	context->detached = true;
}

void sim_yield(void)
{
	fiber_give_way(&world.current->fiber);
}

bool sim_wait(const void *object, uint64_t until_ns)
{
	struct sim_context *self = world.current;
	self->state = WAITING;
	self->object = object;
	self->until_ns = until_ns;
	self->timed_out = false;
	fiber_give_way(&self->fiber);
	return !self->timed_out;
}

void sim_sleep(uint64_t for_ns)
{
	(void)sim_wait(NULL, world.now_ns + for_ns);
}

static void make_ready(struct sim_context *context)
{
	context->state = READY;
	context->object = NULL;
}

void sim_wake_all(const void *object)
{
	for (uint32_t i = 0; i < world.context_count; i++)
		if (world.contexts[i]->state == WAITING && world.contexts[i]->object == object)
			make_ready(world.contexts[i]);
}

void sim_wake_one(const void *object)
{
	struct sim_context *waiting[CONTEXTS_MAX];
	uint32_t count = 0;
	for (uint32_t i = 0; i < world.context_count; i++)
		if (world.contexts[i]->state == WAITING && world.contexts[i]->object == object)
			waiting[count++] = world.contexts[i];
	if (count > 0)
		make_ready(waiting[sim_draw(SIM_SCHEDULE, count)]);
}

/* ---- processes ---- */

struct sim_process *sim_process_new(const char *name)
{
	struct sim_process *process = calloc(1, sizeof(*process));
	if (!process)
		broken("no memory for a process");
	snprintf(process->name, sizeof(process->name), "%s", name);
	process->number = ++world.processes_made;
	process->alive = true;
	process->next = world.processes;
	world.processes = process;
	sim_trace("start", process->number, 0);
	return process;
}

void sim_process_kill(struct sim_process *process)
{
	if (!process->alive)
		return;
	if (!world.ending) {
		sim_note("%s dies", process->name);
		sim_trace("die", process->number, 0);
	}
	process->alive = false;
	sim_network_forget(process);
	sim_disk_forget(process);
	if (world.current && world.current->process == process)
		fiber_end(&world.current->fiber);
}

void sim_process_pause(struct sim_process *process, uint64_t for_ns)
{
	sim_trace("pause", process->number, for_ns);
	process->paused_until_ns = world.now_ns + for_ns;
}

/* ---- events ---- */

void sim_at(uint64_t at_ns, sim_event *function, void *context, uint64_t number)
{
	if (world.event_count == EVENTS_MAX)
		broken("too many events");
	uint32_t at = world.event_count++;
	for (; at > 0 && world.events[at - 1].at_ns <= at_ns; at--)
		world.events[at] = world.events[at - 1];
	world.events[at] = (struct event){at_ns, world.events_made++, function, context, number};
}

void sim_each_turn(sim_event *function, void *context)
{
	world.each_turn = function;
	world.each_turn_context = context;
}

static void fire_due_events(void)
{
	while (world.event_count > 0 && world.events[world.event_count - 1].at_ns <= world.now_ns) {
		struct event event = world.events[--world.event_count];
		event.function(event.context, event.number);
	}
}

/* ---- the scheduler ---- */

/* Wakes those whose time has come and counts those who can run; ret_next: the next time at which
 * somebody will. */
static uint32_t find_ready(struct sim_context *ready[CONTEXTS_MAX], uint64_t *ret_next)
{
	uint32_t count = 0;
	*ret_next = world.event_count ? world.events[world.event_count - 1].at_ns : SIM_NEVER;
	for (uint32_t i = 0; i < world.context_count;) {
		struct sim_context *context = world.contexts[i];
		const struct sim_process *process = context->process;
		if (!process->alive || (context->state == ENDED && context->detached)) {
			forget_context(i);
			continue;
		}
		i++;
		if (context->state == WAITING && context->until_ns <= world.now_ns) {
			make_ready(context);
			context->timed_out = true;
		}
		uint64_t at = context->state == WAITING ? context->until_ns : world.now_ns;
		if (process->paused_until_ns > at)
			at = process->paused_until_ns;
		if (context->state == ENDED)
			continue;
		if (context->state == READY && at <= world.now_ns)
			ready[count++] = context;
		else if (at < *ret_next)
			*ret_next = at;
	}
	return count;
}

enum sim_outcome sim_run(const struct sim_context *until, uint64_t time_max_ns, uint64_t turns_max)
{
	struct sim_context *ready[CONTEXTS_MAX];
	while (until->state != ENDED) {
		uint64_t next;
		if (world.each_turn)
			world.each_turn(world.each_turn_context, world.turns);
		fire_due_events();
		uint32_t count = find_ready(ready, &next);
		if (count == 0 && next == SIM_NEVER)
			return SIM_STUCK;
		if (world.now_ns > time_max_ns || world.turns > turns_max)
			return SIM_ENDLESS;
		if (count == 0) {
			world.now_ns = next;
			continue;
		}
		struct sim_context *chosen = ready[sim_draw(SIM_SCHEDULE, count)];
		world.now_ns += 1 + sim_draw(SIM_SCHEDULE, TURN_NS_MAX);
		world.turns++;
		sim_trace("turn", chosen->number, count);
		world.current = chosen;
		fiber_run(&chosen->fiber);
		world.current = NULL;
	}
	return SIM_DONE;
}

void sim_begin(uint64_t seed)
{
	for (int i = 0; i < SIM_STREAMS; i++)
		world.random[i] = hash_u64(hash_u64(seed) + (uint64_t)i) << 20;
	world.now_ns = SIM_S;
	world.turns = 0;
	memset(world.drawn, 0, sizeof(world.drawn));
	world.hash = 0;
	world.contexts_made = world.processes_made = 0;
	world.events_made = 0;
	world.each_turn = NULL;
	world.tracing = getenv("MARQUEE_SIM_TRACE") != NULL;
	sim_network_begin();
	sim_disk_begin();
}

void sim_end(void)
{
	world.ending = true;
	for (struct sim_process *process = world.processes; process; process = process->next)
		sim_process_kill(process);
	while (world.context_count > 0)
		forget_context(world.context_count - 1);
	while (world.processes) {
		struct sim_process *next = world.processes->next;
		free(world.processes);
		world.processes = next;
	}
	world.event_count = 0;
	world.ending = false;
}
