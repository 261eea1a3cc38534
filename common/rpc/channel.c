#include "common/rpc/channel_internal.h"

#include "common/base/condition.h"
#include "common/base/memory.h"
#include "common/rpc/tls.h"
#include "proto/health.pb-c.h"

#include <stdlib.h>
#include <string.h>

static enum status copy_bytes(
	unsigned char **ret, const void *bytes, size_t size, const char *what, struct error *err)
{
	unsigned char *copy;
	enum status status = memory_alloc(&copy, size + 1, 1, what, err);
	if (status != STATUS_OK)
		return status;
	if (size > 0)
		memcpy(copy, bytes, size);
	copy[size] = '\0';
	*ret = copy;
	return STATUS_OK;
}

static enum status copy_options(struct rpc_channel *channel, const char *url,
	const struct rpc_channel_options *options, struct error *err)
{
	const char *job = options->job ? options->job : "";
	if (strlen(job) > RPC_JOB_BYTES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"the job's name has more than %zu bytes", RPC_JOB_BYTES_MAX);
	if (options->token_bytes > RPC_TOKEN_BYTES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "a token has at most %zu bytes",
			RPC_TOKEN_BYTES_MAX);
	if (options->max_message_bytes > RPC_MESSAGE_BYTES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "a message has at most %zu bytes",
			RPC_MESSAGE_BYTES_MAX);
	channel->worker = options->worker;
	channel->incarnation = options->incarnation;
	channel->attempt_ms = options->attempt_ms ? options->attempt_ms : RPC_ATTEMPT_MS_DEFAULT;
	channel->max_message_bytes =
		options->max_message_bytes ? options->max_message_bytes : RPC_MESSAGE_BYTES_DEFAULT;
	channel->clock = options->clock ? options->clock : clock_real();
	enum status status =
		copy_bytes((unsigned char **)&channel->url, url, strlen(url), "address", err);
	if (status == STATUS_OK)
		status = copy_bytes(
			(unsigned char **)&channel->job, job, strlen(job), "job's name", err);
	if (status == STATUS_OK) {
		status = copy_bytes(
			&channel->token, options->token, options->token_bytes, "token", err);
		channel->token_bytes = options->token_bytes;
	}
	return status;
}

static enum status set_dialer_tls(
	const struct rpc_channel *channel, const struct rpc_tls *tls, struct error *err)
{
	nng_tls_config *config;
	enum status status = rpc_tls_client_config(&config, tls, channel->url, err);
	if (status != STATUS_OK)
		return status;
	int rv = nng_stream_dialer_set_ptr(channel->dialer, NNG_OPT_TLS_CONFIG, config);
	nng_tls_config_free(config); /* the dialer holds its own reference */
	if (rv != 0)
		return error_set(err, rpc_status_from_nng(rv), "TLS: %s", nng_strerror(rv));
	return STATUS_OK;
}

static enum status make_dialer(
	struct rpc_channel *channel, const struct rpc_tls *tls, struct error *err)
{
	char url[RPC_STREAM_URL_SIZE];
	rpc_url_of_stream(channel->url, url);
	int rv = nng_aio_alloc(&channel->dial_aio, NULL, NULL);
	if (rv == 0)
		rv = nng_stream_dialer_alloc(&channel->dialer, url);
	if (rv != 0)
		return error_set(
			err, rpc_status_from_nng(rv), "cannot connect: %s", nng_strerror(rv));
	/* A host that vanished is noticed; the other transports do not know the option. */
	(void)nng_stream_dialer_set_bool(channel->dialer, NNG_OPT_TCP_KEEPALIVE, true);
	(void)nng_stream_dialer_set_bool(channel->dialer, NNG_OPT_TCP_NODELAY, true);
	return rpc_url_is_tls(channel->url) ? set_dialer_tls(channel, tls, err) : STATUS_OK;
}

/* Waits for an answer, and learns how long a message the server takes. */
static enum status check_health(struct rpc_channel *channel, uint32_t connect_ms, struct error *err)
{
	struct rpc_call *call;
	enum status status = rpc_call_new(&call, channel, err);
	if (status != STATUS_OK)
		return status;
	Marquee__Health__V1__CheckRequest body = MARQUEE__HEALTH__V1__CHECK_REQUEST__INIT;
	struct rpc_request request = {
		.service = &marquee__health__v1__health__descriptor,
		.method = "Check",
		.body = &body.base,
		.deadline_ms = connect_ms,
	};
	struct rpc_reply reply;
	status = rpc_call_blocking(call, &request, &reply, err);
	if (status == STATUS_OK) {
		const Marquee__Health__V1__CheckReply *health =
			(const Marquee__Health__V1__CheckReply *)reply.body;
		if (health->max_message_bytes > 0 &&
			health->max_message_bytes < channel->max_message_bytes)
			channel->max_message_bytes = (size_t)health->max_message_bytes;
	}
	rpc_call_free(call);
	return status;
}

enum status rpc_channel_open(struct rpc_channel **ret, const char *url,
	const struct rpc_channel_options *options, struct error *err)
{
	struct rpc_channel *channel;
	enum status status = rpc_url_check(url, err);
	if (status != STATUS_OK)
		return status;
	status = memory_zalloc(&channel, 1, sizeof(*channel), "channel", err);
	if (status != STATUS_OK)
		return status;
	buffer_pool_init(&channel->buffers);
	pthread_mutex_init(&channel->lock, NULL);
	condition_init(&channel->changed);
	status = copy_options(channel, url, options, err);
	if (status == STATUS_OK)
		status = make_dialer(channel, options->tls, err);
	if (status != STATUS_OK) {
		rpc_channel_close(channel);
		return error_wrap(err, status, "%s", url);
	}
	status = check_health(
		channel, options->connect_ms ? options->connect_ms : RPC_CONNECT_MS_DEFAULT, err);
	if (status != STATUS_OK) {
		rpc_channel_close(channel);
		return status;
	}
	*ret = channel;
	return STATUS_OK;
}

void rpc_channel_close(struct rpc_channel *channel)
{
	if (!channel)
		return;
	/* Before its connection: so the ThreadSanitizer sees that nng's thread is the last to use
	 * it. */
	if (channel->dialer) {
		nng_stream_dialer_close(channel->dialer);
		nng_stream_dialer_free(channel->dialer);
	}
	channel_disconnect(channel);
	if (channel->dial_aio)
		nng_aio_free(channel->dial_aio);
	pthread_cond_destroy(&channel->changed);
	pthread_mutex_destroy(&channel->lock);
	buffer_pool_fini(&channel->buffers);
	if (channel->token)
		explicit_bzero(channel->token, channel->token_bytes);
	free(channel->token);
	free(channel->job);
	free(channel->url);
	free(channel);
}

const char *rpc_channel_url(const struct rpc_channel *channel)
{
	return channel->url;
}

void rpc_channel_stats(const struct rpc_channel *channel, struct rpc_channel_stats *ret)
{
	*ret = (struct rpc_channel_stats){
		.calls = atomic_load(&channel->calls),
		.attempts = atomic_load(&channel->attempts),
		.bytes_sent = atomic_load(&channel->bytes_sent),
		.bytes_received = atomic_load(&channel->bytes_received),
	};
}
