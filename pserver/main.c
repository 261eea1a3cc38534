/* The pserver program: one parameter server, until a signal. */
#include "common/base/file.h"
#include "common/base/flags.h"
#include "common/base/memory.h"
#include "common/checkpoint/directory.h"
#include "common/http/http.h"
#include "common/metrics/prometheus.h"
#include "common/rpc/server.h"
#include "common/rpc/token.h"
#include "common/rpc/transport.h"
#include "pserver/crew.h"
#include "pserver/metrics.h"
#include "pserver/placement.h"
#include "pserver/service.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CLOSE_MAX_S	    5u
#define REFUSED_PAUSE_S	    1u
#define METRICS_CONNECTIONS 16u

struct options {
	const char *listen;
	const char *shard;
	const char *checkpoint_dir;
	bool resume;
	const char *token_file;
	const char *metrics;
	bool metrics_public;
	uint64_t max_connections;
	struct rpc_tls tls;
};

/* "I/N", I from 0. */
static enum status parse_shard(
	const char *text, uint32_t *ret_index, uint32_t *ret_count, struct error *err)
{
	char index_text[16] = "";
	size_t length = strcspn(text, "/");
	uint64_t index, count;
	if (text[length] != '/' || length >= sizeof(index_text))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--shard %.40s: expected I/N, such as 0/2", text);
	memcpy(index_text, text, length);
	if (parse_u64(index_text, &index, NULL) != STATUS_OK ||
		parse_u64(text + length + 1, &count, NULL) != STATUS_OK)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--shard %.40s: expected I/N, such as 0/2", text);
	if (count == 0 || count > VIRTUAL_SHARDS || index >= count)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--shard %.40s: expected I from 0 to N-1 and N from 1 to %u", text,
			VIRTUAL_SHARDS);
	*ret_index = (uint32_t)index;
	*ret_count = (uint32_t)count;
	return STATUS_OK;
}

static enum status check(const struct options *options, struct error *err)
{
	if (!rpc_url_is_tls(options->listen) &&
		(options->tls.cert_file || options->tls.key_file || options->tls.ca_file))
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--tls-cert, --tls-key and --tls-ca need a tls+tcp address, not %.100s",
			options->listen);
	if (options->checkpoint_dir && !directory_exists(options->checkpoint_dir))
		return error_set(err, STATUS_NOT_FOUND,
			"--checkpoint-dir %.300s: no such directory", options->checkpoint_dir);
	if (options->checkpoint_dir && access(options->checkpoint_dir, W_OK | X_OK) != 0)
		return error_set_errno(
			err, errno, "--checkpoint-dir %.300s", options->checkpoint_dir);
	if (options->resume && !options->checkpoint_dir)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--resume: from where? It needs the job's --checkpoint-dir");
	return STATUS_OK;
}

/*
 * For who starts a server again by hand: which checkpoint the job's workers go on from with
 * --resume, or that they cannot. They bring the rows: a checkpoint fits any number of servers.
 */
static enum status find_checkpoint(const char *directory, struct error *err)
{
	struct checkpoint found = {0};
	enum status status = checkpoint_newest_verified(&found, directory, err);
	if (status == STATUS_NOT_FOUND) {
		fprintf(stderr, "pserver: no checkpoint in %s yet: workers begin at step 0\n",
			directory);
		return STATUS_OK;
	}
	if (status != STATUS_OK)
		return error_wrap(err, status, "--resume");
	if (found.notes[0])
		fprintf(stderr, "pserver: passed over, not usable:\n%s\n", found.notes);
	fprintf(stderr,
		"pserver: workers that --resume go on from step %" PRIu64 " and bring its rows\n",
		found.manifest.step);
	checkpoint_fini(&found);
	return STATUS_OK;
}

static void end_now(int signal_number)
{
	(void)signal_number;
	_exit(EXIT_OK);
}

/* Who asks for the end gets it, whatever a close might wait for. */
static void limit_close(void)
{
	struct sigaction action = {.sa_handler = end_now};
	sigaction(SIGALRM, &action, NULL);
	alarm(CLOSE_MAX_S);
}

/* What has been refused is told at most once a second, or who attacks fills the log. */
struct refusals {
	atomic_uint_fast64_t untold;
	atomic_uint_fast64_t told_s;
};

static void on_refused(void *context, const char *peer, uint32_t limit)
{
	struct refusals *refusals = context;
	const uint64_t now_s = clock_now_ns(clock_real()) / UINT64_C(1000000000);
	uint_fast64_t told_s = atomic_load(&refusals->told_s);
	const uint64_t count = atomic_fetch_add(&refusals->untold, 1) + 1;
	if (now_s < told_s + REFUSED_PAUSE_S ||
		!atomic_compare_exchange_strong(&refusals->told_s, &told_s, now_s))
		return;
	atomic_fetch_sub(&refusals->untold, count);
	fprintf(stderr,
		"pserver: warning: refused a connection from %s (%" PRIu64
		" since the last warning): %" PRIu32 " are open; --max-connections allows more\n",
		peer, count, limit);
}

/* Beside the connections there are files, and connections whose handshake is not over yet. */
static void allow_descriptors(uint64_t connections)
{
	struct rlimit limit;
	const rlim_t wanted = 4 * connections + 64;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* else there are fewer: accepting pauses */
}

static void answer_metrics(void *context, size_t route, const struct http_request *request,
	struct http_reply *ret_reply)
{
	struct error err;
	(void)route, (void)request;
	enum status status = ps_server_metrics(context, &ret_reply->body, &ret_reply->size, &err);
	if (status != STATUS_OK) {
		http_reply_error(ret_reply, status, err.message);
		return;
	}
	ret_reply->code = 200;
	ret_reply->type = PROMETHEUS_TYPE;
}

static enum status open_metrics(struct http_server **ret, const struct options *options,
	struct ps_server *server, struct error *err)
{
	static const char *const paths[] = {"/metrics"};
	const struct http_options http = {
		.listen = options->metrics,
		.public = options->metrics_public,
		.connections_max = METRICS_CONNECTIONS,
		.paths = paths,
		.route_count = 1,
		.context = server,
		.handle = answer_metrics,
	};
	enum status status = http_server_open(ret, &http, err);
	return status == STATUS_OK ? status : error_wrap(err, status, "--metrics");
}

static enum status run(const struct options *options, struct error *err)
{
	struct ps_server *server = NULL;
	struct http_server *metrics = NULL;
	char *token = NULL;
	struct refusals refusals = {0};
	struct ps_server_options server_options = {.listen_url = options->listen,
		.tls = &options->tls,
		.max_connections = (uint32_t)options->max_connections,
		.on_refused = on_refused,
		.refused_context = &refusals,
		.helpers = crew_helpers_default()};
	enum status status = parse_shard(
		options->shard, &server_options.shard_index, &server_options.shard_count, err);
	if (status != STATUS_OK)
		return status;
	if (options->token_file) {
		status = rpc_token_read(options->token_file, &token, err);
		if (status != STATUS_OK)
			return status;
		server_options.token = token;
		server_options.token_bytes = strlen(token);
	}
	/* Blocked before the first thread starts, so that only sigwait() gets them. */
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	allow_descriptors(options->max_connections);
	status = ps_server_open(&server, &server_options, err);
	if (status == STATUS_OK && options->metrics)
		status = open_metrics(&metrics, options, server, err);
	if (status != STATUS_OK)
		goto cleanup;
	printf("pserver: ready %s shard %u/%u\n", ps_server_url(server), server_options.shard_index,
		server_options.shard_count);
	if (metrics)
		printf("pserver: metrics %s/metrics\n", http_server_url(metrics));
	fflush(stdout);
	int signal_number;
	sigwait(&signals, &signal_number);
	limit_close();
cleanup:
	http_server_close(metrics);
	ps_server_close(server);
	if (token)
		explicit_bzero(token, server_options.token_bytes);
	free(token);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = {.shard = "0/1", .max_connections = RPC_CONNECTIONS_DEFAULT};
	const struct flag flags[] = {
		{.name = "listen",
			.kind = FLAG_STRING,
			.target = &options.listen,
			.value_name = "URL",
			.help = "tcp://HOST:PORT (port 0: any), tls+tcp://HOST:PORT or ipc://PATH",
			.required = true},
		{.name = "shard",
			.kind = FLAG_STRING,
			.target = &options.shard,
			.value_name = "I/N",
			.help = "which of how many servers, I from 0 (default 0/1)"},
		{.name = "checkpoint-dir",
			.kind = FLAG_STRING,
			.target = &options.checkpoint_dir,
			.value_name = "DIR",
			.help = "only checked to be a writable directory: workers write the "
				"checkpoints"},
		{.name = "resume",
			.kind = FLAG_BOOL,
			.target = &options.resume,
			.help = "started again by hand: says which checkpoint the workers that "
				"--resume go on from, and fails if none verifies"},
	};
	const struct flag security[] = {
		{.name = "token-file",
			.kind = FLAG_STRING,
			.target = &options.token_file,
			.value_name = "FILE",
			.help = "secret that every caller must have; needed for other addresses "
				"than loopback"},
		{.name = "tls-cert",
			.kind = FLAG_STRING,
			.target = &options.tls.cert_file,
			.value_name = "FILE",
			.help = "PEM certificate of this server, for tls+tcp"},
		{.name = "tls-key",
			.kind = FLAG_STRING,
			.target = &options.tls.key_file,
			.value_name = "FILE",
			.help = "PEM private key of the certificate"},
		{.name = "tls-ca",
			.kind = FLAG_STRING,
			.target = &options.tls.ca_file,
			.value_name = "FILE",
			.help = "PEM authority: only clients with a certificate of it are "
				"admitted"},
	};
	const struct flag limits[] = {
		{.name = "max-connections",
			.kind = FLAG_U64,
			.target = &options.max_connections,
			.value_name = "N",
			.min = 1,
			.max = RPC_CONNECTIONS_MAX,
			.help = "refuse connections beyond N (default 512); one that sends no "
				"request with the right token within 5 s loses its place"},
	};
	const struct flag watching[] = {
		{.name = "metrics",
			.kind = FLAG_STRING,
			.target = &options.metrics,
			.value_name = "HOST:PORT",
			.help = "answer Prometheus there, at /metrics (port 0: any); prints one "
				"more line, 'pserver: metrics URL'"},
		{.name = "metrics-public",
			.kind = FLAG_BOOL,
			.target = &options.metrics_public,
			.help = "let --metrics be another address than loopback: it asks for no "
				"token"},
	};
	const struct flag_group groups[] = {
		{"options", flags, sizeof(flags) / sizeof(flags[0])},
		{"security", security, sizeof(security) / sizeof(security[0])},
		{"limits", limits, sizeof(limits) / sizeof(limits[0])},
		{"watching", watching, sizeof(watching) / sizeof(watching[0])},
	};
	const struct command_line line = {
		.program = "pserver",
		.summary = "Serves one shard of a job's embedding tables, until SIGTERM or SIGINT. "
			   "Prints one\nline, 'pserver: ready URL shard I/N', when it answers.",
		.groups = groups,
		.group_count = sizeof(groups) / sizeof(groups[0]),
	};
	struct error err = {0};
	memory_keep_freed();
	enum status status = flags_parse(&line, argc, argv, NULL, &err);
	if (status == STATUS_OK)
		status = check(&options, &err);
	if (status == STATUS_OK && options.resume)
		status = find_checkpoint(options.checkpoint_dir, &err);
	if (status == STATUS_OK)
		status = run(&options, &err);
	return program_end(line.program, flags_exit(line.program, status, &err));
}
