#include "tests/sim/schedule.h"

#include "common/checkpoint/checkpoint_digest.h"
#include "common/checkpoint/directory.h"
#include "tests/sim/disk.h"
#include "tests/sim/power.h"
#include "tests/support/cluster.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIME_MAX_NS	 (40000 * SIM_S)
#define TURNS_MAX	 UINT64_C(3000000)
#define REAL_SECONDS	 120u /* for a schedule that does not give way */
#define BATCH		 32u  /* schedules of one child, which keeps what dead processes leave */
#define DEATHS_MAX	 4u
#define TURNS_USUAL	 7000u /* of an undisturbed attempt, roughly */
#define CALM_AFTER	 8u    /* attempts */
#define DISK_OPERATIONS	 250u
#define POWER_LOSSES_MAX 3u
#define PAUSES_MAX	 3u
#define DEADLINE_S	 300
#define BATCH_SIZE	 64u
#define WIDTH		 2

/* The names of its files, the same in every run: messages and manifests have them. */
#define DATA	    "data"
#define CHECKPOINTS "checkpoints"
#define ATTIC	    "attic"

/* What is to happen, and the job it happens to. */
struct plan {
	const struct sim_schedule *schedule;
	struct sim_job *job;
	struct sim_report *report;
	unsigned int trouble; /* that this schedule has */
	uint32_t deaths_left, pauses_left, power_losses_left;
	uint64_t next_death, next_pause, next_power_loss; /* turns */
	bool calmed;
	struct error damage; /* to a checkpoint, found at a death; OK: none */
};

/* ---- checkpoints ---- */

static bool same_digest(const struct digest *a, const struct digest *b)
{
	return a->low == b->low && a->high == b->high;
}

/* Whether a checkpoint that is left has the parameters that the undisturbed job had. */
static enum status check_checkpoint(
	const struct sim_schedule *schedule, const char *root, uint64_t step, struct error *err)
{
	char path[PATH_SIZE];
	struct manifest manifest;
	struct digest digest;
	enum status status = checkpoint_path(root, step, path, err);
	if (status == STATUS_OK)
		status = checkpoint_verify(path, &manifest, err);
	if (status != STATUS_OK)
		return status;
	status = checkpoint_digest(path, &manifest, &digest, err);
	if (status == STATUS_OK && !schedule->asynchronous &&
		(step > SIM_STEPS || !same_digest(&digest, &schedule->steps[step])))
		status = error_set(err, STATUS_DATA_LOSS,
			"the checkpoint of step %llu holds other parameters than the job had",
			(unsigned long long)step);
	manifest_fini(&manifest);
	return status;
}

static enum status check_checkpoints(const struct sim_schedule *schedule, const char *root,
	uint32_t *ret_count, struct error *err)
{
	uint64_t *steps;
	size_t count;
	enum status status = checkpoint_list(root, &steps, &count, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < count && status == STATUS_OK; i++)
		status = check_checkpoint(schedule, root, steps[i], err);
	*ret_count = (uint32_t)count;
	free(steps);
	return status;
}

/* After deaths: what is committed is whole, whatever came to an end. */
static void check_what_is_left(struct plan *plan)
{
	uint32_t count;
	struct error error;
	if (check_checkpoints(plan->schedule, plan->job->options.checkpoint_dir, &count, &error) !=
			STATUS_OK &&
		plan->damage.status == STATUS_OK)
		plan->damage = error;
}

/* ---- what happens ---- */

static struct sim_process *choose_victim(const struct sim_job *job, uint32_t *ret_index)
{
	uint32_t count = job->servers + job->workers;
	*ret_index = sim_draw(SIM_PLAN, count);
	struct sim_process *process = sim_job_process(job, *ret_index);
	return process && process->alive ? process : NULL;
}

static void return_server(void *context, uint64_t index)
{
	struct sim_job *job = context;
	if (job->working && !sim_job_process(job, (uint32_t)index)->alive)
		sim_job_return_server(job, (uint32_t)index);
}

static void kill_somebody(struct plan *plan)
{
	uint32_t index;
	struct sim_process *victim = choose_victim(plan->job, &index);
	if (!victim)
		return;
	sim_process_kill(victim);
	plan->report->deaths++;
	check_what_is_left(plan);
	/* Somebody starts the server again by hand, before the launcher sees what happened. */
	if (index < plan->job->servers && sim_chance(SIM_PLAN, 3000))
		sim_at(sim_now_ns() + SIM_MS * sim_draw(SIM_PLAN, 1500), return_server, plan->job,
			index);
	sim_job_notice(plan->job);
}

static void lose_power(struct plan *plan)
{
	if (!plan->job->working)
		return;
	sim_job_kill_all(plan->job);
	sim_power_cut();
	plan->report->power_losses++;
	check_what_is_left(plan);
}

static void pause_somebody(struct plan *plan)
{
	uint32_t index;
	struct sim_process *victim = choose_victim(plan->job, &index);
	if (!victim)
		return;
	plan->report->pauses++;
	sim_process_pause(victim, SIM_MS * (1 + sim_draw(SIM_PLAN, 40000)));
}

static void on_turn(void *context, uint64_t turn)
{
	struct plan *plan = context;
	if (plan->deaths_left > 0 && turn >= plan->next_death) {
		plan->deaths_left--;
		plan->next_death = turn + 1 + sim_draw(SIM_PLAN, TURNS_USUAL);
		kill_somebody(plan);
	}
	if (plan->pauses_left > 0 && turn >= plan->next_pause) {
		plan->pauses_left--;
		plan->next_pause = turn + 1 + sim_draw(SIM_PLAN, TURNS_USUAL);
		pause_somebody(plan);
	}
	if (plan->power_losses_left > 0 && turn >= plan->next_power_loss) {
		plan->power_losses_left--;
		plan->next_power_loss = turn + 1 + sim_draw(SIM_PLAN, TURNS_USUAL);
		lose_power(plan);
	}
	if (!plan->calmed && plan->job->attempts > CALM_AFTER) {
		static const struct sim_weather calm;
		plan->calmed = true;
		plan->deaths_left = plan->pauses_left = plan->power_losses_left = 0;
		sim_weather(&calm);
		sim_disk_fail(0, 0, 0);
	}
}

static void send_weather(bool gentle)
{
	const struct sim_weather weather = {
		.lost = sim_draw(SIM_PLAN, gentle ? 50 : 200),
		.doubled = sim_draw(SIM_PLAN, 500),
		.slow = sim_draw(SIM_PLAN, 1000),
		.stuck = sim_draw(SIM_PLAN, 100),
		.reset = sim_draw(SIM_PLAN, 100),
	};
	sim_weather(&weather);
}

/* A schedule in three is gentle; the others have some kinds of trouble, or all. */
static void make_plan(struct plan *plan, unsigned int possible)
{
	unsigned int drawn = 1 + sim_draw(SIM_PLAN, SIM_EVERYTHING);
	plan->trouble = possible & (sim_chance(SIM_PLAN, 3333) ? SIM_GENTLE : drawn);
	const bool gentle = !(plan->trouble & ~SIM_GENTLE);
	if (plan->trouble & SIM_MESSAGES)
		send_weather(gentle);
	if (plan->trouble & SIM_DEATHS) {
		plan->deaths_left = 1 + sim_draw(SIM_PLAN, DEATHS_MAX);
		plan->next_death = 1 + sim_draw(SIM_PLAN, TURNS_USUAL);
	}
	if (plan->trouble & SIM_POWER) {
		plan->power_losses_left = 1 + sim_draw(SIM_PLAN, POWER_LOSSES_MAX);
		plan->next_power_loss = 1 + sim_draw(SIM_PLAN, TURNS_USUAL);
	}
	if (plan->trouble & SIM_PAUSES) {
		plan->pauses_left = 1 + sim_draw(SIM_PLAN, PAUSES_MAX);
		plan->next_pause = 1 + sim_draw(SIM_PLAN, TURNS_USUAL);
	}
	if (plan->trouble & SIM_DISK_FAULTS) {
		static const int reasons[] = {EIO, ENOSPC, EROFS};
		sim_disk_fail(sim_draw(SIM_PLAN, DISK_OPERATIONS),
			sim_draw(SIM_PLAN, sim_chance(SIM_PLAN, 5000) ? 100 : 5000) * SIM_MS,
			reasons[sim_draw(SIM_PLAN, 3)]);
	}
}

struct train_options sim_job_options(const char *data)
{
	struct train_options options = cluster_options(data);
	struct error error;
	options.epochs = SIM_EPOCHS;
	options.deadline_s = DEADLINE_S;
	options.batch_size = BATCH_SIZE;
	/* Narrow: what is looked at is who says what to whom. */
	static const char *const widths[] = {"user_dim", "gender_dim", "age_dim", "occupation_dim",
		"movie_dim", "genre_dim", "word_dim", "user_fc", "gender_fc", "age_fc",
		"occupation_fc", "movie_fc", "filters", "hidden"};
	for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++)
		assert_ok(model_config_set(&options.model, widths[i], WIDTH, &error), &error);
	return options;
}

static void choose_job(struct sim_job *job, const struct sim_schedule *schedule,
	const struct train_options *options, const char *directory)
{
	job->options = *options;
	job->options.checkpoint_dir = directory;
	job->options.checkpoint_every = 2 + sim_draw(SIM_PLAN, 4);
	job->workers = 2 + sim_draw(SIM_PLAN, SIM_WORKERS_MAX - 1);
	job->servers = 1 + sim_draw(SIM_PLAN, SIM_SERVERS_MAX);
	if (schedule->asynchronous) {
		job->options.mode = sim_chance(SIM_PLAN, 5000) ? MODE_SSP : MODE_ASYNC;
		job->options.staleness = sim_draw(SIM_PLAN, 4);
		return;
	}
	/* One asynchronous worker has the bits of a synchronous one, and other ways on the servers.
	 */
	if (sim_chance(SIM_PLAN, 1250)) {
		job->options.mode = MODE_ASYNC;
		job->workers = 1;
	}
}

/* ---- the judgement ---- */

static void judge(struct sim_report *report, const struct plan *plan, enum sim_outcome outcome)
{
	const struct sim_schedule *schedule = plan->schedule;
	const struct sim_job *job = plan->job;
	char *text = report->wrong;
	const size_t size = sizeof(report->wrong);
	struct error error;
	text[0] = '\0';
	if (outcome != SIM_DONE)
		snprintf(text, size, "hangs: %s",
			outcome == SIM_STUCK ? "nothing can happen any more" : "there is no end");
	else if (job->status != STATUS_OK)
		snprintf(text, size, "fails: %s", job->error.message);
	else if (job->inexcusable.status != STATUS_OK)
		snprintf(text, size, "an attempt failed: %s", job->inexcusable.message);
	else if (plan->damage.status != STATUS_OK)
		snprintf(text, size, "after a death: %s", plan->damage.message);
	else if (!schedule->asynchronous &&
		 !same_digest(&job->result.digest, &schedule->steps[SIM_STEPS]))
		snprintf(text, size, "ends with another digest");
	else if (!(plan->trouble & ~SIM_GENTLE) && job->attempts > 1)
		snprintf(text, size, "needs %u attempts: %s", job->attempts, job->error.message);
	else if (check_checkpoints(schedule, job->options.checkpoint_dir, &report->checkpoints,
			 &error) != STATUS_OK)
		snprintf(text, size, "%s", error.message);
}

static void describe(struct sim_report *report, const struct sim_job *job)
{
	report->trace = sim_trace_hash();
	report->turns = sim_turns();
	report->time_ns = sim_now_ns();
	report->workers = job->workers;
	report->servers = job->servers;
	report->attempts = job->attempts;
	report->disk_failures = sim_disk_failures();
	sim_network_counts(&report->network);
}

static void enter(const char *place, const char *data)
{
	char *path = realpath(data, NULL);
	ck_assert_msg(path && chdir(place) == 0 && symlink(path, DATA) == 0 &&
			      mkdir(CHECKPOINTS, 0777) == 0 && mkdir(ATTIC, 0777) == 0,
		"%s: %s", place, strerror(errno));
	free(path);
}

static void run_schedule(const struct sim_schedule *schedule, struct sim_report *report)
{
	char place[PATH_SIZE];
	struct sim_job job = {.status = STATUS_UNKNOWN};
	struct plan plan = {.schedule = schedule, .job = &job, .report = report};
	const int before = openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	scratch_open(place);
	enter(place, schedule->data);
	const struct train_options options = sim_job_options(DATA);
	sim_begin(schedule->seed);
	sim_disk_watch(CHECKPOINTS);
	choose_job(&job, schedule, &options, CHECKPOINTS);
	make_plan(&plan, schedule->trouble);
	if (plan.trouble & SIM_POWER)
		sim_power_begin(ATTIC);
	sim_plant(schedule->plant);
	sim_each_turn(on_turn, &plan);
	const struct sim_context *launcher =
		sim_start(sim_process_new("launcher"), sim_job_main, &job);
	enum sim_outcome outcome = sim_run(launcher, TIME_MAX_NS, TURNS_MAX);
	describe(report, &job);
	sim_end();
	judge(report, &plan, outcome);
	sim_power_begin(NULL);
	ck_assert_int_eq(fchdir(before), 0);
	close(before);
	scratch_close(place);
}

/* ---- children ---- */

static void run_batch(
	const struct sim_schedule *like, uint64_t first, uint64_t count, struct sim_report *reports)
{
	for (uint64_t i = 0; i < count; i++) {
		struct sim_schedule schedule = *like;
		schedule.seed = like->seed + first + i;
		alarm(REAL_SECONDS);
		run_schedule(&schedule, &reports[i]);
	}
}

void sim_schedules_run(const struct sim_schedule *like, uint64_t count, struct sim_report *reports)
{
	const size_t bytes = BATCH * sizeof(*reports);
	struct sim_report *shared =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(shared != MAP_FAILED);
	for (uint64_t first = 0; first < count; first += BATCH) {
		const uint64_t batch = count - first < BATCH ? count - first : BATCH;
		memset(shared, 0, bytes);
		for (uint64_t i = 0; i < batch; i++) {
			shared[i].seed = like->seed + first + i;
			snprintf(shared[i].wrong, sizeof(shared[i].wrong),
				"the simulating process died, here or before");
		}
		fflush(NULL);
		pid_t child = fork();
		ck_assert_int_ge(child, 0);
		if (child == 0) {
			run_batch(like, first, batch, shared);
			_exit(EXIT_SUCCESS);
		}
		ck_assert_int_eq(waitpid(child, NULL, 0), child);
		memcpy(reports + first, shared, batch * sizeof(*reports));
	}
	munmap(shared, bytes);
}
