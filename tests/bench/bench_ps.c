/*
 * Parameter traffic: rows a second from a worker to a server and back, beside what nng alone moves
 * for the same bytes (ps_steps.h says what a step is).
 *
 * The server is the built pserver in a process of its own (with inproc: in this one), in async
 * mode: a push is applied when it comes. The limit is three quarters of a REQ/REP echo of messages
 * of the very same sizes, with as many contexts in flight, between two processes as well. Rounds of
 * both take turns; a sample is a round.
 *
 * Without --rows: the cases that the project holds against a limit.
 */
#include "common/base/memory.h"
#include "pserver/service.h"
#include "tests/bench/ps_bare.h"
#include "tests/bench/ps_children.h"
#include "tests/bench/ps_steps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHARE_WANTED   0.75
#define BYTES_WANTED   1.1
#define ROUND_S	       0.1
#define ROUND_SMOKE_S  0.005
#define ROWS_SMOKE     32u
#define UNIVERSE_SMOKE 1000u

struct options {
	uint64_t rows, dim, universe, in_flight;
	double skew;
	const char *transport, *optimizer, *calls, *server, *echo;
};

struct shape {
	uint32_t rows, in_flight;
	bool together; /* push and pull share a call */
};

static const struct shape standard[] = {
	{512, 1, false},
	{512, 1, true},
	{4096, 1, false},
	{4096, 1, true},
	{512, 8, true},
	{4096, 8, true},
};

/* The two servers: the parameter server and the echo. */
struct servers {
	char directory[32];
	char wanted[STEPS_SIDES][CHILD_URL_SIZE], bound[STEPS_SIDES][CHILD_URL_SIZE];
	struct child *children[STEPS_SIDES];
	struct ps_server *here; /* inproc */
};

struct run {
	const struct bench *bench;
	const struct options *options;
	const struct servers *servers;
	uint32_t cases;
	struct bench_samples rates[STEPS_SIDES];
};

/* ---- a case ---- */

static enum status run_rounds(struct run *run, struct steps *steps, struct error *err)
{
	const double round_s = run->bench->smoke ? ROUND_SMOKE_S : ROUND_S;
	enum status status = STATUS_OK;
	for (uint32_t side = 0; side < STEPS_SIDES; side++)
		bench_samples_start(&run->rates[side], run->bench);
	while (bench_samples_wanted(&run->rates[STEPS_BARE]) && status == STATUS_OK) {
		bool warming = run->rates[STEPS_BARE].warming;
		for (uint32_t side = 0; side < STEPS_SIDES && status == STATUS_OK; side++) {
			double rate;
			if (warming)
				steps_latencies(steps, (enum steps_side)side)->count = 0;
			status = steps_run(steps, (enum steps_side)side, round_s, &rate, err);
			if (status == STATUS_OK)
				bench_samples_add(&run->rates[side], rate);
		}
	}
	return status;
}

static json_t *parameters(const struct options *options, const struct shape *shape)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:f}", "calls",
		shape->together ? "push_pull" : "pull_push", "rows", (json_int_t)shape->rows, "dim",
		(json_int_t)options->dim, "in_flight", (json_int_t)shape->in_flight, "transport",
		options->transport, "optimizer", options->optimizer, "universe",
		(json_int_t)options->universe, "skew", options->skew);
}

static enum status report(
	struct run *run, const struct shape *shape, struct steps *steps, struct error *err)
{
	struct bench_samples *bare_step = steps_latencies(steps, STEPS_BARE);
	const struct bench_case rows = {.name = "rows",
		.unit = "rows/s each way",
		.higher_is_better = true,
		.limit_name = "75% of bare nng",
		.limit = SHARE_WANTED * bench_samples_median(&run->rates[STEPS_BARE])};
	const struct bench_case step = {.name = "step",
		.unit = "us",
		.limit_name = "bare nng's / 75%",
		.limit = bench_samples_median(bare_step) / SHARE_WANTED};
	const struct bench_case bare = {
		.name = "bare_nng", .unit = "rows/s each way", .higher_is_better = true};
	const struct bench_case bytes = {.name = "wire",
		.unit = "bytes/byte of rows",
		.limit_name = "1.1 x the rows' own",
		.limit = BYTES_WANTED};
	const double own = 2.0 * (double)(shape->rows * run->options->dim * sizeof(float));
	const struct bench *bench = run->bench;
	enum status status = STATUS_OK;
	if (bench_wants(bench, rows.name))
		status = bench_report(bench, &rows, &run->rates[STEPS_MARQUEE],
			parameters(run->options, shape), err);
	if (status == STATUS_OK && bench_wants(bench, step.name))
		status = bench_report(bench, &step, steps_latencies(steps, STEPS_MARQUEE),
			parameters(run->options, shape), err);
	if (status == STATUS_OK && bench_wants(bench, bare.name))
		status = bench_report(bench, &bare, &run->rates[STEPS_BARE],
			parameters(run->options, shape), err);
	if (status == STATUS_OK && bench_wants(bench, bytes.name))
		status = bench_report_value(bench, &bytes, steps_wire_bytes(steps) / own,
			parameters(run->options, shape), err);
	return status;
}

static enum status run_case(struct run *run, const struct shape *shape, struct error *err)
{
	const struct options *options = run->options;
	enum optimizer_kind kind = OPTIMIZER_SGD;
	(void)optimizer_find(options->optimizer, &kind);
	const struct steps_options wanted = {
		.clock = run->bench->clock,
		.server_url = run->servers->bound[STEPS_MARQUEE],
		.bare_url = run->servers->bound[STEPS_BARE],
		.incarnation = ++run->cases,
		.rows = shape->rows,
		.dim = (uint32_t)options->dim,
		.universe = options->universe,
		.skew = options->skew,
		.in_flight = shape->in_flight,
		.together = shape->together,
		.optimizer = kind,
	};
	struct steps *steps;
	struct error ignored;
	enum status status = steps_open(&steps, &wanted, err);
	if (status != STATUS_OK)
		return status;
	status = run_rounds(run, steps, err);
	if (status == STATUS_OK)
		status = report(run, shape, steps, err);
	enum status left = steps_close(steps, status == STATUS_OK ? err : &ignored);
	return status == STATUS_OK ? left : status;
}

static enum status run_cases(struct run *run, struct error *err)
{
	const struct options *options = run->options;
	const size_t count = sizeof(standard) / sizeof(standard[0]);
	enum status status = STATUS_OK;
	for (uint32_t side = 0; side < STEPS_SIDES && status == STATUS_OK; side++)
		status = bench_samples_init(&run->rates[side], err);
	for (size_t c = 0; c < count && status == STATUS_OK; c++) {
		struct shape shape = standard[c];
		if (run->bench->smoke)
			shape.rows /= ROWS_SMOKE;
		if (options->rows > 0)
			shape = (struct shape){(uint32_t)options->rows,
				(uint32_t)options->in_flight,
				strcmp(options->calls, "push_pull") == 0};
		status = run_case(run, &shape, err);
		if (options->rows > 0)
			break;
	}
	for (uint32_t side = 0; side < STEPS_SIDES; side++)
		bench_samples_fini(&run->rates[side]);
	return status;
}

/* ---- servers ---- */

static void name_server(struct servers *servers, uint32_t side, const char *transport)
{
	static const char *const names[STEPS_SIDES] = {"marquee", "bare"};
	char *url = servers->wanted[side];
	if (strcmp(transport, "tcp") == 0)
		(void)snprintf(url, CHILD_URL_SIZE, "tcp://127.0.0.1:0");
	else
		(void)snprintf(url, CHILD_URL_SIZE, "%s://%s/%s", transport, servers->directory,
			names[side]);
}

static enum status open_here(struct servers *servers, struct error *err)
{
	const struct ps_server_options options = {.listen_url = servers->wanted[STEPS_MARQUEE]};
	enum status status = ps_server_open(&servers->here, &options, err);
	if (status != STATUS_OK)
		return status;
	(void)snprintf(servers->bound[STEPS_MARQUEE], CHILD_URL_SIZE, "%s", options.listen_url);
	return bare_listen(
		servers->wanted[STEPS_BARE], servers->bound[STEPS_BARE], CHILD_URL_SIZE, err);
}

static enum status servers_open(
	struct servers *servers, const struct options *options, const char *self, struct error *err)
{
	const char *pserver[] = {options->server, "--listen", servers->wanted[STEPS_MARQUEE], NULL};
	const char *bare[] = {self, "--echo", servers->wanted[STEPS_BARE], NULL};
	(void)snprintf(servers->directory, sizeof(servers->directory), "/tmp/bench_ps.XXXXXX");
	if (!mkdtemp(servers->directory))
		return error_set_errno(err, errno, "%s", servers->directory);
	for (uint32_t side = 0; side < STEPS_SIDES; side++)
		name_server(servers, side, options->transport);
	if (strcmp(options->transport, "inproc") == 0)
		return open_here(servers, err);
	enum status status = child_start(
		&servers->children[STEPS_MARQUEE], pserver, servers->bound[STEPS_MARQUEE], err);
	if (status == STATUS_OK)
		status = child_start(
			&servers->children[STEPS_BARE], bare, servers->bound[STEPS_BARE], err);
	return status;
}

static void servers_close(struct servers *servers)
{
	ps_server_close(servers->here);
	for (uint32_t side = 0; side < STEPS_SIDES; side++) {
		child_end(servers->children[side]);
		if (strncmp(servers->wanted[side], "ipc://", 6) == 0)
			(void)unlink(servers->wanted[side] + 6);
	}
	(void)rmdir(servers->directory);
}

/* The bare side's own process. */
static enum status serve(const char *url, struct error *err)
{
	char bound[CHILD_URL_SIZE];
	enum status status = bare_listen(url, bound, sizeof(bound), err);
	if (status != STATUS_OK)
		return status;
	printf("bench_ps: ready %s\n", bound);
	fflush(stdout);
	(void)pause();
	return STATUS_OK;
}

static enum status check(struct options *options, const struct bench *bench, struct error *err)
{
	if (bench->smoke)
		options->universe = UNIVERSE_SMOKE;
	uint64_t rows = options->rows ? options->rows : standard[5].rows;
	if (bench->smoke)
		rows /= ROWS_SMOKE;
	if (options->universe < 4 * rows)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--universe %llu: expected at least four times the rows",
			(unsigned long long)options->universe);
	return STATUS_OK;
}

static enum status measure(
	struct bench *bench, const struct options *options, const char *self, struct error *err)
{
	static struct servers servers;
	struct run run = {.bench = bench, .options = options, .servers = &servers};
	enum status status = servers_open(&servers, options, self, err);
	if (status == STATUS_OK)
		status = run_cases(&run, err);
	servers_close(&servers);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {.dim = 32,
		.universe = 1000000,
		.in_flight = 1,
		.skew = 2,
		.transport = "tcp",
		.optimizer = "sgd",
		.calls = "push_pull",
		.server = BENCH_PSERVER};
	const struct flag flags[] = {
		{.name = "rows",
			.kind = FLAG_U64,
			.target = &options.rows,
			.value_name = "N",
			.help = "distinct rows a step (all standard cases)",
			.min = 1,
			.max = 100000},
		{.name = "calls",
			.kind = FLAG_CHOICE,
			.target = &options.calls,
			.value_name = "WHICH",
			.help = "push and pull in one call, or in two (push_pull)",
			.choices = "push_pull|pull_push"},
		{.name = "in-flight",
			.kind = FLAG_U64,
			.target = &options.in_flight,
			.value_name = "N",
			.help = "steps at a time (1)",
			.min = 1,
			.max = BARE_IN_FLIGHT_MAX},
		{.name = "dim",
			.kind = FLAG_U64,
			.target = &options.dim,
			.value_name = "N",
			.help = "floats a row (32)",
			.min = 1,
			.max = 4096},
		{.name = "universe",
			.kind = FLAG_U64,
			.target = &options.universe,
			.value_name = "N",
			.help = "ids there are (1000000)",
			.min = 1000,
			.max = 1e8},
		{.name = "skew",
			.kind = FLAG_DOUBLE,
			.target = &options.skew,
			.value_name = "X",
			.help = "id = universe * u^X; 1: uniform (2)",
			.min = 1,
			.max = 4},
		{.name = "transport",
			.kind = FLAG_CHOICE,
			.target = &options.transport,
			.value_name = "WHICH",
			.help = "tcp, ipc, or inproc with the server in this process (tcp)",
			.choices = "tcp|ipc|inproc"},
		{.name = "optimizer",
			.kind = FLAG_CHOICE,
			.target = &options.optimizer,
			.value_name = "NAME",
			.help = "optimizer (sgd)",
			.choices = OPTIMIZER_CHOICES},
		{.name = "pserver",
			.kind = FLAG_STRING,
			.target = &options.server,
			.value_name = "FILE",
			.help = "the server program (the one that was built with this)"},
		{.name = "echo",
			.kind = FLAG_STRING,
			.target = &options.echo,
			.value_name = "URL",
			.help = "be the bare side's server"},
	};
	const struct flag_group group = {
		.title = "Options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {.program = "bench_ps",
		.summary = "Measures parameter traffic beside a bare nng echo of the same bytes.",
		.groups = &group,
		.group_count = 1};
	struct error err = {0};
	struct bench bench;
	/* As the worker and the server do; for both sides, and for the bare one's server. */
	memory_keep_freed();
	enum status status = bench_parse(&bench, &line, argc, argv, &err);
	if (status == STATUS_OK && options.echo)
		return flags_exit(line.program, serve(options.echo, &err), &err);
	if (status == STATUS_OK)
		status = check(&options, &bench, &err);
	if (status == STATUS_OK)
		status = measure(&bench, &options, argv[0], &err);
	return flags_exit(line.program, status, &err);
}
