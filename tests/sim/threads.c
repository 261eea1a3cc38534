/*
 * pthreads, clocks and random bytes of the simulated world, under the linker's names for them.
 *
 * Locks live in the objects of pthreads' own types, whose zeroed form is a free lock. A context
 * gives way before some of its locks, so that others come in between; a wait on a condition now and
 * then returns without cause, as POSIX allows.
 */
#include "tests/sim/world.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define YIELD_PERMYRIAD	   1000u
#define SPURIOUS_PERMYRIAD 100u
#define CORES		   2
#define EPOCH_S		   1700000000 /* of the wall clock */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*) */
#define REAL_AND_WRAP(type, name, ...)                                                             \
	type __real_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__)
REAL_AND_WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
	void *(*function)(void *), void *argument);
REAL_AND_WRAP(int, pthread_join, pthread_t thread, void **ret);
REAL_AND_WRAP(
	int, pthread_mutex_init, pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
REAL_AND_WRAP(int, pthread_mutex_destroy, pthread_mutex_t *mutex);
REAL_AND_WRAP(int, pthread_mutex_lock, pthread_mutex_t *mutex);
REAL_AND_WRAP(int, pthread_mutex_unlock, pthread_mutex_t *mutex);
REAL_AND_WRAP(int, pthread_cond_init, pthread_cond_t *cond, const pthread_condattr_t *attributes);
REAL_AND_WRAP(int, pthread_cond_destroy, pthread_cond_t *cond);
REAL_AND_WRAP(int, pthread_cond_wait, pthread_cond_t *cond, pthread_mutex_t *mutex);
REAL_AND_WRAP(int, pthread_cond_timedwait, pthread_cond_t *cond, pthread_mutex_t *mutex,
	const struct timespec *until);
REAL_AND_WRAP(int, pthread_cond_signal, pthread_cond_t *cond);
REAL_AND_WRAP(int, pthread_cond_broadcast, pthread_cond_t *cond);
REAL_AND_WRAP(
	int, pthread_rwlock_init, pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes);
REAL_AND_WRAP(int, pthread_rwlock_destroy, pthread_rwlock_t *lock);
REAL_AND_WRAP(int, pthread_rwlock_rdlock, pthread_rwlock_t *lock);
REAL_AND_WRAP(int, pthread_rwlock_wrlock, pthread_rwlock_t *lock);
REAL_AND_WRAP(int, pthread_rwlock_trywrlock, pthread_rwlock_t *lock);
REAL_AND_WRAP(int, pthread_rwlock_unlock, pthread_rwlock_t *lock);
REAL_AND_WRAP(void, futex_wait, atomic_uint *word, unsigned int value, uint64_t timeout_ns);
REAL_AND_WRAP(void, futex_wake_all, atomic_uint *word);
REAL_AND_WRAP(int, nanosleep, const struct timespec *time, struct timespec *ret_left);
REAL_AND_WRAP(int, clock_gettime, clockid_t clock, struct timespec *ret);
REAL_AND_WRAP(long, sysconf, int name);
REAL_AND_WRAP(int, sched_getaffinity, pid_t process, size_t size, cpu_set_t *ret);
REAL_AND_WRAP(ssize_t, getrandom, void *bytes, size_t size, unsigned int flags);

static void give_way(void)
{
	if (sim_chance(SIM_SCHEDULE, YIELD_PERMYRIAD))
		sim_yield();
}

/* ---- threads ---- */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
	void *(*function)(void *), void *argument)
{
	if (!sim_inside())
		return __real_pthread_create(thread, attributes, function, argument);
	*thread = (pthread_t)sim_start(sim_self(), function, argument);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret)
{
	if (!sim_inside())
		return __real_pthread_join(thread, ret);
	void *result = sim_join((struct sim_context *)thread);
	if (ret)
		*ret = result;
	return 0;
}

/* ---- mutexes ---- */

/* How the locks lie in pthreads' types. */
union mutex {
	pthread_mutex_t *theirs;
	uint32_t *owner; /* a context's number; 0: free */
};

struct rwlock {
	uint32_t writer; /* a context's number; 0: none */
	uint32_t readers;
};

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	if (!sim_inside())
		return __real_pthread_mutex_init(mutex, attributes);
	memset(mutex, 0, sizeof(*mutex));
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	return sim_inside() ? 0 : __real_pthread_mutex_destroy(mutex);
}

static void lock(pthread_mutex_t *mutex)
{
	uint32_t *owner = (union mutex){mutex}.owner;
	while (*owner != 0)
		(void)sim_wait(mutex, SIM_NEVER);
	*owner = sim_context_number();
}

static void unlock(pthread_mutex_t *mutex)
{
	*(union mutex){mutex}.owner = 0;
	sim_wake_all(mutex);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	if (!sim_inside())
		return __real_pthread_mutex_lock(mutex);
	give_way();
	lock(mutex);
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (!sim_inside())
		return __real_pthread_mutex_unlock(mutex);
	unlock(mutex);
	give_way();
	return 0;
}

/* ---- conditions ---- */

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
	return sim_inside() ? 0 : __real_pthread_cond_init(cond, attributes);
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
	return sim_inside() ? 0 : __real_pthread_cond_destroy(cond);
}

static bool wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns)
{
	bool woken = true;
	unlock(mutex);
	if (sim_chance(SIM_SCHEDULE, SPURIOUS_PERMYRIAD))
		sim_yield();
	else
		woken = sim_wait(cond, until_ns);
	lock(mutex);
	return woken;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	if (!sim_inside())
		return __real_pthread_cond_wait(cond, mutex);
	(void)wait_until(cond, mutex, SIM_NEVER);
	return 0;
}

/* Everybody's conditions are on the monotonic clock. */
int __wrap_pthread_cond_timedwait(
	pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
	if (!sim_inside())
		return __real_pthread_cond_timedwait(cond, mutex, until);
	uint64_t until_ns = (uint64_t)until->tv_sec * SIM_S + (uint64_t)until->tv_nsec;
	return wait_until(cond, mutex, until_ns) ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	if (!sim_inside())
		return __real_pthread_cond_signal(cond);
	sim_wake_one(cond);
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	if (!sim_inside())
		return __real_pthread_cond_broadcast(cond);
	sim_wake_all(cond);
	return 0;
}

/* ---- reader-writer locks ---- */

int __wrap_pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes)
{
	if (!sim_inside())
		return __real_pthread_rwlock_init(lock, attributes);
	memset(lock, 0, sizeof(*lock));
	return 0;
}

int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *lock)
{
	return sim_inside() ? 0 : __real_pthread_rwlock_destroy(lock);
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
	struct rwlock *ours = (struct rwlock *)(void *)lock;
	if (!sim_inside())
		return __real_pthread_rwlock_rdlock(lock);
	give_way();
	while (ours->writer)
		(void)sim_wait(lock, SIM_NEVER);
	ours->readers++;
	return 0;
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
	struct rwlock *ours = (struct rwlock *)(void *)lock;
	if (!sim_inside())
		return __real_pthread_rwlock_wrlock(lock);
	give_way();
	while (ours->writer || ours->readers)
		(void)sim_wait(lock, SIM_NEVER);
	ours->writer = sim_context_number();
	return 0;
}

int __wrap_pthread_rwlock_trywrlock(pthread_rwlock_t *lock)
{
	struct rwlock *ours = (struct rwlock *)(void *)lock;
	if (!sim_inside())
		return __real_pthread_rwlock_trywrlock(lock);
	if (ours->writer || ours->readers)
		return EBUSY;
	ours->writer = sim_context_number();
	return 0;
}

int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
	struct rwlock *ours = (struct rwlock *)(void *)lock;
	if (!sim_inside())
		return __real_pthread_rwlock_unlock(lock);
	if (ours->writer)
		ours->writer = 0;
	else
		ours->readers--;
	sim_wake_all(lock);
	give_way();
	return 0;
}

/* ---- futexes ---- */

void __wrap_futex_wait(atomic_uint *word, unsigned int value, uint64_t timeout_ns)
{
	if (!sim_inside()) {
		__real_futex_wait(word, value, timeout_ns);
		return;
	}
	give_way();
	if (atomic_load(word) == value)
		(void)sim_wait(word, sim_now_ns() + timeout_ns);
}

void __wrap_futex_wake_all(atomic_uint *word)
{
	if (!sim_inside()) {
		__real_futex_wake_all(word);
		return;
	}
	sim_wake_all(word);
	give_way();
}

/* ---- time and chance ---- */

int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left)
{
	if (!sim_inside())
		return __real_nanosleep(time, ret_left);
	sim_sleep((uint64_t)time->tv_sec * SIM_S + (uint64_t)time->tv_nsec);
	return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	if (!sim_inside())
		return __real_clock_gettime(clock, ret);
	uint64_t now = sim_now_ns();
	ret->tv_sec = (time_t)(now / SIM_S) + (clock == CLOCK_REALTIME ? EPOCH_S : 0);
	ret->tv_nsec = (long)(now % SIM_S);
	return 0;
}

/* As many cores everywhere: some code starts a thread for each. */
long __wrap_sysconf(int name)
{
	return sim_inside() && name == _SC_NPROCESSORS_ONLN ? CORES : __real_sysconf(name);
}

int __wrap_sched_getaffinity(pid_t process, size_t size, cpu_set_t *ret)
{
	if (!sim_inside())
		return __real_sched_getaffinity(process, size, ret);
	CPU_ZERO_S(size, ret);
	for (size_t i = 0; i < CORES; i++)
		CPU_SET_S(i, size, ret);
	return 0;
}

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned int flags)
{
	if (!sim_inside())
		return __real_getrandom(bytes, size, flags);
	for (size_t i = 0; i < size; i++)
		((unsigned char *)bytes)[i] = (unsigned char)sim_draw(SIM_ENTROPY, 256);
	return (ssize_t)size;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl*) */
