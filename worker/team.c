#include "worker/team.h"

#include "common/base/memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* Some 20 microseconds: longer than the gap between two phases of a step, shorter than a batch. */
#define SPINS 2000

struct team;

struct member {
	struct team *team;
	uint32_t index;
	pthread_t thread;
};

struct team {
	/* immutable after team_new */
	uint32_t members;
	int spins;
	struct member *others; /* [members - 1] */
	uint32_t started;

	/* written by the owner before a round starts */
	team_function *function;
	void *context;
	bool stop;

	/* the round number starts a round, the number of the running ones ends it */
	atomic_uint round;
	atomic_uint running;

	/* for those who stopped spinning */
	pthread_mutex_t lock;
	pthread_cond_t round_started;
	pthread_cond_t round_ended;
};

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static unsigned int wait_for_round(struct team *team, unsigned int last)
{
	for (int i = 0; i < team->spins; i++) {
		unsigned int now = atomic_load_explicit(&team->round, memory_order_acquire);
		if (now != last)
			return now;
		relax();
	}
	pthread_mutex_lock(&team->lock);
	unsigned int now;
	while ((now = atomic_load_explicit(&team->round, memory_order_acquire)) == last)
		pthread_cond_wait(&team->round_started, &team->lock);
	pthread_mutex_unlock(&team->lock);
	return now;
}

static void finish_share(struct team *team)
{
	if (atomic_fetch_sub_explicit(&team->running, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_lock(&team->lock);
	pthread_cond_signal(&team->round_ended);
	pthread_mutex_unlock(&team->lock);
}

static void *member_main(void *argument)
{
	struct member *member = argument;
	struct team *team = member->team;
	unsigned int round = 0;
	for (;;) {
		round = wait_for_round(team, round);
		if (team->stop)
			return NULL;
		team->function(team->context, member->index, team->members);
		finish_share(team);
	}
}

static void start_round(struct team *team)
{
	pthread_mutex_lock(&team->lock);
	atomic_fetch_add_explicit(&team->round, 1, memory_order_release);
	pthread_cond_broadcast(&team->round_started);
	pthread_mutex_unlock(&team->lock);
}

enum status team_new(struct team **ret, uint32_t members, struct error *err)
{
	struct team *team;
	if (members == 0)
		return error_set(err, STATUS_INVALID_ARGUMENT, "a team needs at least one thread");
	enum status status = memory_zalloc(&team, 1, sizeof(*team), "team", err);
	if (status != STATUS_OK)
		return status;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	team->members = members;
	team->spins = (long)members <= cores ? SPINS : 0;
	pthread_mutex_init(&team->lock, NULL);
	pthread_cond_init(&team->round_started, NULL);
	pthread_cond_init(&team->round_ended, NULL);
	status = memory_zalloc(&team->others, members - 1, sizeof(*team->others), "team", err);
	for (uint32_t i = 0; status == STATUS_OK && i < members - 1; i++) {
		team->others[i] = (struct member){.team = team, .index = i + 1};
		int failed = pthread_create(
			&team->others[i].thread, NULL, member_main, &team->others[i]);
		if (failed)
			status = error_set_errno(
				err, failed, "cannot start thread %u of %u", i + 2, members);
		else
			team->started++;
	}
	if (status != STATUS_OK) {
		team_free(team);
		return status;
	}
	*ret = team;
	return STATUS_OK;
}

void team_free(struct team *team)
{
	if (!team)
		return;
	team->stop = true;
	start_round(team);
	for (uint32_t i = 0; i < team->started; i++)
		pthread_join(team->others[i].thread, NULL);
	free(team->others);
	pthread_cond_destroy(&team->round_ended);
	pthread_cond_destroy(&team->round_started);
	pthread_mutex_destroy(&team->lock);
	free(team);
}

uint32_t team_members(const struct team *team)
{
	return team->members;
}

void team_run(struct team *team, team_function *function, void *context)
{
	if (team->members == 1) {
		function(context, 0, 1);
		return;
	}
	team->function = function;
	team->context = context;
	atomic_store_explicit(&team->running, team->members - 1, memory_order_relaxed);
	start_round(team);
	function(context, 0, team->members);
	for (int i = 0; i < team->spins; i++) {
		if (atomic_load_explicit(&team->running, memory_order_acquire) == 0)
			return;
		relax();
	}
	pthread_mutex_lock(&team->lock);
	while (atomic_load_explicit(&team->running, memory_order_acquire) != 0)
		pthread_cond_wait(&team->round_ended, &team->lock);
	pthread_mutex_unlock(&team->lock);
}

void team_share(
	uint64_t n, uint32_t member, uint32_t members, uint64_t *ret_begin, uint64_t *ret_end)
{
	*ret_begin = n / members * member + n % members * member / members;
	*ret_end = n / members * (member + 1) + n % members * (member + 1) / members;
}
