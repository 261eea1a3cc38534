#include "launcher/start.h"

#include "common/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_HOST	 "127.0.0.1"
#define SECRET_ARGUMENTS 8u /* at most */

/* How servers and workers know each other: files, so that no secret is seen in a list of processes.
 */
static size_t add_secrets(const char **argv, const struct launch_options *options)
{
	const char *const pairs[SECRET_ARGUMENTS / 2][2] = {
		{"--token-file", options->token_file},
		{"--tls-cert", options->tls.cert_file},
		{"--tls-key", options->tls.key_file},
		{"--tls-ca", options->tls.ca_file},
	};
	size_t count = 0;
	for (size_t i = 0; i < SECRET_ARGUMENTS / 2; i++)
		if (pairs[i][1]) {
			argv[count++] = pairs[i][0];
			argv[count++] = pairs[i][1];
		}
	return count;
}

enum status start_server(struct process *process, const struct launch_programs *programs,
	const struct launch_options *options, uint32_t server, struct error *err)
{
	char listen[START_URL_SIZE], shard[32];
	snprintf(listen, sizeof(listen), "%s://%s:0", options->tls.cert_file ? "tls+tcp" : "tcp",
		options->server_host ? options->server_host : SERVER_HOST);
	snprintf(shard, sizeof(shard), "%u/%u", server, options->servers);
	const char *argv[SECRET_ARGUMENTS + 6] = {
		programs->pserver, "--listen", listen, "--shard", shard};
	argv[5 + add_secrets(argv + 5, options)] = NULL;
	return process_start(process, argv, err);
}

bool start_heard_ready(
	const char *line, uint32_t server, uint32_t servers, char url[START_URL_SIZE])
{
	static const char start[] = "pserver: ready ";
	char end[40];
	snprintf(end, sizeof(end), " shard %u/%u", server, servers);
	if (strncmp(line, start, sizeof(start) - 1) != 0)
		return false;
	line += sizeof(start) - 1;
	size_t length = strcspn(line, " ,");
	if (length == 0 || length >= START_URL_SIZE || strcmp(line + length, end) != 0)
		return false;
	memcpy(url, line, length);
	url[length] = '\0';
	return true;
}

/* "URL,URL,..." as owned text. */
static enum status join_urls(
	char (*urls)[START_URL_SIZE], uint32_t count, char **ret, struct error *err)
{
	char *text;
	enum status status = memory_alloc(&text, count, START_URL_SIZE, "server addresses", err);
	if (status != STATUS_OK)
		return status;
	char *at = text;
	for (uint32_t i = 0; i < count; i++)
		at += snprintf(at, START_URL_SIZE, "%s%s", i ? "," : "", urls[i]);
	*ret = text;
	return STATUS_OK;
}

enum status start_workers(struct process *process, const struct launch_programs *programs,
	const struct launch_options *options, char (*urls)[START_URL_SIZE], uint32_t number,
	struct error *err)
{
	const struct launch_arguments *own =
		number == 0 ? &options->arguments : &options->restart_arguments;
	char *joined = NULL;
	const char **argv = NULL;
	char workers[16], generation[16];
	enum status status = join_urls(urls, options->servers, &joined, err);
	if (status != STATUS_OK)
		return status;
	status = memory_alloc(
		&argv, own->count + SECRET_ARGUMENTS + 11, sizeof(*argv), "arguments", err);
	if (status != STATUS_OK)
		goto cleanup;
	snprintf(workers, sizeof(workers), "%u", options->workers);
	size_t at = 0;
	argv[at++] = programs->mpirun;
	if (options->hostfile) {
		argv[at++] = "-f";
		argv[at++] = options->hostfile;
	}
	argv[at++] = "-n";
	argv[at++] = workers;
	argv[at++] = programs->worker;
	argv[at++] = "--servers";
	argv[at++] = joined;
	at += add_secrets(argv + at, options);
	if (number > 0) {
		snprintf(generation, sizeof(generation), "%u", number);
		argv[at++] = "--generation";
		argv[at++] = generation;
	}
	for (size_t i = 0; i < own->count; i++)
		argv[at++] = own->values[i];
	argv[at] = NULL;
	status = process_start(process, argv, err);
cleanup:
	free(argv);
	free(joined);
	return status;
}
