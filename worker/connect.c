#include "worker/connect.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/rpc/token.h"
#include "pserver/service.h"
#include "worker/params_remote.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define URL_SIZE  128
#define HOST_SIZE 64
#define JOB_SIZE  33

struct connector {
	struct connect_options options;
	double deadline_s;
	struct comm *comm;
	struct ps_server *server; /* this rank's own; NULL: none */
	char (*urls)[URL_SIZE];	  /* [url_count]; none: tables are embedded */
	uint32_t url_count;
	char job[JOB_SIZE];
	char *token; /* owned; NULL: none */
};

/* What worker 0 makes up for everyone. */
struct job_secrets {
	char job[JOB_SIZE];
	char token[JOB_SIZE]; /* of the shards that the ranks host themselves */
};

static enum status random_hex(char text[JOB_SIZE], struct error *err)
{
	unsigned char bytes[(JOB_SIZE - 1) / 2];
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return error_set_errno(err, errno, "no random bytes for a job's name");
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return STATUS_OK;
}

/* "URL,URL,..." taken apart; free() the addresses, whatever the status. */
static enum status split_urls(
	const char *at, char (**ret_urls)[URL_SIZE], uint32_t *ret_count, struct error *err)
{
	char(*urls)[URL_SIZE];
	uint32_t count = 1;
	*ret_urls = NULL;
	for (const char *c = at; *c; c++)
		count += *c == ',';
	if (count > SERVERS_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"--servers names %u servers, at most %u are possible", count, SERVERS_MAX);
	enum status status = memory_zalloc(&urls, count, sizeof(*urls), "servers", err);
	if (status != STATUS_OK)
		return status;
	*ret_urls = urls;
	*ret_count = count;
	for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
		size_t length = strcspn(at, ",");
		if (length == 0 || length >= URL_SIZE)
			status = error_set(err, STATUS_INVALID_ARGUMENT,
				"--servers: '%.*s' is no address: expected tcp://HOST:PORT, "
				"tls+tcp://HOST:PORT or ipc://PATH",
				(int)(length < 80 ? length : 80), at);
		else
			memcpy(urls[i], at, length);
		if (status == STATUS_OK && rpc_url_check(urls[i], err) != STATUS_OK)
			status = error_wrap(err, STATUS_INVALID_ARGUMENT, "--servers");
		at += length + (at[length] == ',');
	}
	return status;
}

enum status connect_options_check(const struct connect_options *options, struct error *err)
{
	char(*urls)[URL_SIZE];
	uint32_t count;
	if (!options->servers)
		return STATUS_OK;
	enum status status = split_urls(options->servers, &urls, &count, err);
	free(urls);
	return status;
}

/* Ranks host shards on loopback, which other machines cannot reach. */
static enum status check_one_host(struct comm *comm, struct error *err)
{
	char mine[HOST_SIZE] = {0}, all[LANES_MAX][HOST_SIZE];
	gethostname(mine, sizeof(mine) - 1);
	enum status status = comm_all_gather(comm, mine, sizeof(mine), all, err);
	for (uint32_t w = 0; w < comm->workers && status == STATUS_OK; w++)
		if (strncmp(mine, all[w], sizeof(mine)) != 0)
			return error_set(err, STATUS_FAILED_PRECONDITION,
				"the workers run on several hosts (%s, %.63s): start pservers and "
				"pass --servers",
				mine, all[w]);
	return status;
}

/*
 * How many of the ranks host a shard. More than the cores would only be more messages: a rank sends
 * one to every server in every step.
 */
static enum status choose_servers(struct connector *connector, uint32_t *ret, struct error *err)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t count = cores > 0 ? (uint32_t)cores : 1;
	if (connector->options.embedded_servers)
		count = (uint32_t)connector->options.embedded_servers;
	if (count > connector->comm->workers)
		count = connector->comm->workers;
	if (count > SERVERS_MAX)
		count = SERVERS_MAX;
	*ret = count;
	return comm_broadcast(connector->comm, ret, sizeof(*ret), err);
}

static enum status host_shard(struct connector *connector, const char *token, struct error *err)
{
	const struct comm *comm = connector->comm;
	char mine[URL_SIZE] = {0}, all[LANES_MAX][URL_SIZE];
	uint32_t count;
	enum status status = choose_servers(connector, &count, err);
	if (comm->rank < count && status == STATUS_OK) {
		struct ps_server_options options = {
			.listen_url = "tcp://127.0.0.1:0",
			.shard_index = comm->rank,
			.shard_count = count,
			.token = token,
			.token_bytes = strlen(token),
		};
		status = ps_server_open(&connector->server, &options, err);
		if (status == STATUS_OK)
			snprintf(mine, sizeof(mine), "%s", ps_server_url(connector->server));
	}
	status = comm_agree_all(connector->comm, status, err);
	if (status == STATUS_OK)
		status = comm_all_gather(connector->comm, mine, sizeof(mine), all, err);
	if (status == STATUS_OK)
		status = memory_alloc(
			&connector->urls, count, sizeof(*connector->urls), "servers", err);
	if (status != STATUS_OK)
		return status;
	memcpy(connector->urls, all, count * sizeof(*connector->urls));
	connector->url_count = count;
	connector->token = strdup(token);
	return connector->token ? STATUS_OK
				: error_set(err, STATUS_RESOURCE_EXHAUSTED, "token: no memory");
}

enum status connector_open(struct connector **ret, const struct connect_options *options,
	const struct train_options *train, struct comm *comm, struct error *err)
{
	struct connector *connector;
	struct job_secrets secrets = {0};
	enum status status = comm_agree_all(
		comm, memory_zalloc(&connector, 1, sizeof(*connector), "connector", err), err);
	if (status != STATUS_OK)
		return status;
	connector->options = *options;
	connector->deadline_s = train->deadline_s;
	connector->comm = comm;
	if (comm->rank == 0) {
		status = random_hex(secrets.job, err);
		if (status == STATUS_OK)
			status = random_hex(secrets.token, err);
	}
	status = comm_agree(comm, status, err);
	if (status == STATUS_OK)
		status = comm_broadcast(comm, &secrets, sizeof(secrets), err);
	memcpy(connector->job, secrets.job, sizeof(connector->job));
	if (status == STATUS_OK && options->servers) {
		if (options->token_file)
			status = rpc_token_read(options->token_file, &connector->token, err);
		if (status == STATUS_OK)
			status = split_urls(
				options->servers, &connector->urls, &connector->url_count, err);
	} else if (status == STATUS_OK && comm->workers > 1) {
		status = check_one_host(comm, err);
		if (status == STATUS_OK)
			status = host_shard(connector, secrets.token, err);
	}
	status = comm_agree_all(comm, status, err);
	if (status != STATUS_OK) {
		connector_close(connector);
		return status;
	}
	*ret = connector;
	return STATUS_OK;
}

enum status connector_connect(
	void *context, const struct job_tables *job, struct params **ret, struct error *err)
{
	const struct connector *connector = context;
	if (connector->url_count == 0)
		return params_embedded_new(ret, job->seed, job->tables, job->table_count, err);
	const char *urls[SERVERS_MAX];
	for (uint32_t i = 0; i < connector->url_count; i++)
		urls[i] = connector->urls[i];
	const struct params_remote_options options = {
		.urls = urls,
		.url_count = connector->url_count,
		.job = connector->job,
		.token = connector->token,
		.tls = &connector->options.tls,
		.worker = connector->comm->rank,
		.workers = connector->comm->workers,
		.incarnation = clock_unix_ns(),
		.generation = connector->options.generation,
		.connect_timeout_s = connector->options.connect_timeout_s,
		.deadline_s = connector->deadline_s,
		.clock = clock_real(),
		.shared = connector->options.servers ? NULL : connector->comm->shared,
		.own = connector->server,
	};
	return params_remote_new(ret, &options, job, err);
}

void connector_close(struct connector *connector)
{
	if (!connector)
		return;
	ps_server_close(connector->server);
	free(connector->urls);
	free(connector->token);
	free(connector);
}
