/* marquee serve: answers over HTTP until SIGTERM or SIGINT. */
#include "common/base/log.h"
#include "inference/api.h"
#include "launcher/answer_flags.h"
#include "launcher/commands.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LISTEN_DEFAULT "127.0.0.1:8080"
#define LOOK_EVERY_S   1 /* for another model */

struct arguments {
	const char *model, *index, *seen;
	struct http_options http;
	uint64_t threads, connections, per_client, timeout_ms;
};

static const struct log serve_log = {.program = "marquee serve", .descriptor = STDERR_FILENO};

static void reload(struct served *served)
{
	struct error err;
	struct lease lease;
	if (served_reload(served, &err) != STATUS_OK) {
		log_line(&serve_log, "still serving the model from before: %s", err.message);
		return;
	}
	served_take(served, &lease);
	log_line(&serve_log, "serving a new model, of step %llu",
		(unsigned long long)scorer_directory(lease.scorer)->about.step);
	served_return(served, &lease);
}

/* Until it is told to end; a hangup, or other files in the model's place, are a new model. */
static void wait_for_the_end(struct served *served, const sigset_t *signals)
{
	const struct timespec pause = {.tv_sec = LOOK_EVERY_S};
	for (;;) {
		const int number = sigtimedwait(signals, NULL, &pause);
		if (number == SIGTERM || number == SIGINT)
			return;
		if (number == SIGHUP ||
			(number < 0 && errno == EAGAIN && served_is_outdated(served)))
			reload(served);
	}
}

static enum status run(struct arguments *arguments, struct error *err)
{
	struct served *served = NULL;
	struct api *api = NULL;
	struct http_server *server = NULL;
	/* Blocked before the first thread starts, so that only this one gets them. */
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	arguments->http.threads = (uint32_t)arguments->threads;
	arguments->http.connections_max = (uint32_t)arguments->connections;
	arguments->http.connections_per_client_max = (uint32_t)arguments->per_client;
	arguments->http.request_timeout_ms = (uint32_t)arguments->timeout_ms;
	const struct served_options model = {.path = arguments->model,
		.ratings = arguments->seen,
		.index = index_choice_of(arguments->index),
		.leases = arguments->http.threads};
	enum status status = served_new(&served, &model, err);
	if (status == STATUS_OK)
		status = api_new(&api, served, err);
	if (status == STATUS_OK) {
		api_routes(api, &arguments->http);
		status = http_server_open(&server, &arguments->http, err);
	}
	if (status == STATUS_OK) {
		printf("marquee serve: ready %s\n", http_server_url(server));
		fflush(stdout);
		wait_for_the_end(served, &signals);
	}
	http_server_close(server);
	api_free(api);
	served_free(served);
	return status;
}

int cmd_serve(int argc, char **argv)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct arguments arguments = {.index = "auto",
		.http.listen = LISTEN_DEFAULT,
		.threads = cores > 0 ? (uint64_t)cores : 1};
	const struct flag flags[] = {
		model_flag(&arguments.model),
		{.name = "listen",
			.kind = FLAG_STRING,
			.target = &arguments.http.listen,
			.value_name = "HOST:PORT",
			.help = "where to listen (default " LISTEN_DEFAULT "; port 0: any)"},
		index_flag(&arguments.index),
		{.name = "seen",
			.kind = FLAG_STRING,
			.target = &arguments.seen,
			.value_name = "FILE",
			.help = "a ratings file: what users have seen, for exclude_seen"},
		{.name = "public",
			.kind = FLAG_BOOL,
			.target = &arguments.http.public,
			.help = "listen on other addresses than loopback, too: there are no "
				"passwords"},
		{.name = "threads",
			.kind = FLAG_U64,
			.target = &arguments.threads,
			.value_name = "N",
			.help = "that answer (default: one for each core)",
			.min = 1,
			.max = 256},
		{.name = "connections",
			.kind = FLAG_U64,
			.target = &arguments.connections,
			.value_name = "N",
			.help = "at once (default 512)",
			.min = 1,
			.max = 100000},
		{.name = "connections-per-client",
			.kind = FLAG_U64,
			.target = &arguments.per_client,
			.value_name = "N",
			.help = "from one address (default: half of all)",
			.min = 1,
			.max = 100000},
		{.name = "request-timeout-ms",
			.kind = FLAG_U64,
			.target = &arguments.timeout_ms,
			.value_name = "MS",
			.help = "for a client to send its next request, and to take the reply "
				"(default 10000)",
			.min = 10,
			.max = 3600000},
	};
	const struct flag_group group = {
		.title = "options", .flags = flags, .count = sizeof(flags) / sizeof(flags[0])};
	const struct command_line line = {
		.program = "marquee serve",
		.summary = "Answers over HTTP what predict, recommend and similar answer. Prints "
			   "'marquee serve: ready\nURL' when it does. SIGHUP, or another model in "
			   "DIR's place, makes it change to that model\nbetween two requests; "
			   "SIGTERM ends it after those under way.",
		.groups = &group,
		.group_count = 1,
	};
	struct error err = {0};
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status == STATUS_OK)
		status = http_address_check(arguments.http.listen, &err);
	if (status != STATUS_OK)
		return flags_exit(line.program, status, &err);
	status = run(&arguments, &err);
	return status == STATUS_OK ? EXIT_OK : program_failed(line.program, &err);
}
