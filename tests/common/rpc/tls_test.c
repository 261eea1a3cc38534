/* tls+tcp, with certificates that openssl makes for the test; skipped where it is not installed. */
#include "common/base/clock.h"
#include "common/base/file.h"
#include "tests/common/rpc/echo_service.h"
#include "tests/support/suite.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WAIT_MS	    10000u
#define SHORT_MS    500u
#define ROUNDS	    40u
#define GONE_S	    5.0
#define DESCRIPTORS 1024

static char directory[] = "rpc_tls_test.XXXXXX";

struct identity {
	char cert[64], key[64];
};

static struct identity server_identity, client_identity, stranger;

/* A self-signed certificate, its own authority. False when there is no openssl. */
static bool make_identity(struct identity *ret, const char *name)
{
	char command[512];
	snprintf(ret->cert, sizeof(ret->cert), "%s/%s.cert", directory, name);
	snprintf(ret->key, sizeof(ret->key), "%s/%s.key", directory, name);
	snprintf(command, sizeof(command),
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
		"-days 2 -subj /CN=127.0.0.1 -keyout %s -out %s 2>/dev/null",
		ret->key, ret->cert);
	return system(command) == 0; /* fixed words. NOLINT(cert-env33-c) */
}

static struct echo_service echo;

static struct rpc_server *open_tls(const char *ca)
{
	struct rpc_tls tls = {server_identity.cert, server_identity.key, ca};
	struct rpc_server_options options = {.url = "tls+tcp://127.0.0.1:0", .tls = &tls};
	return echo_open(&echo, &options);
}

static void close_tls(struct rpc_server *server)
{
	echo_close(&echo, server);
}

/* connect_ms: SHORT_MS, unless it is to succeed. */
static enum status try_to_connect(struct rpc_server *server, const struct rpc_tls *tls,
	uint32_t connect_ms, struct error *err)
{
	struct rpc_channel *channel;
	struct rpc_channel_options options = {.tls = tls, .connect_ms = connect_ms};
	enum status status = rpc_channel_open(&channel, rpc_server_url(server), &options, err);
	if (status == STATUS_OK)
		rpc_channel_close(channel);
	return status;
}

/* A slow machine needs more time to come to what is to be said. */
static void assert_refused_with(
	struct rpc_server *server, const struct rpc_tls *tls, const char *said)
{
	struct error err = {0};
	for (uint32_t connect_ms = SHORT_MS; connect_ms < 2 * WAIT_MS && !strstr(err.message, said);
		connect_ms *= 2)
		ck_assert_int_eq(try_to_connect(server, tls, connect_ms, &err), STATUS_UNAVAILABLE);
	ck_assert_msg(strstr(err.message, said) != NULL, "%s", err.message);
}

START_TEST(calls_go_through_tls)
{
	struct error err;
	struct rpc_server *server = open_tls(NULL);
	struct rpc_tls tls = {.ca_file = server_identity.cert};
	struct rpc_channel_options options = {.tls = &tls, .connect_ms = WAIT_MS};
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), &options);
	struct rpc_call *call = echo_call_new(channel);
	static unsigned char bytes[300000];
	memset(bytes, 0x3c, sizeof(bytes));
	Marquee__Ps__V1__PullRequest body;
	struct rpc_reply reply;
	struct rpc_request request = echo_request(&body, bytes, sizeof(bytes), WAIT_MS);
	assert_ok(rpc_call_blocking(call, &request, &reply, &err), &err);
	ck_assert_uint_eq(reply.raw.size, sizeof(bytes));
	ck_assert_mem_eq(reply.raw.data, bytes, sizeof(bytes));
	rpc_call_free(call);
	rpc_channel_close(channel);
	close_tls(server);
}
END_TEST

/* This process's TCP connections, both ends of each. */
static unsigned int count_connections(unsigned int *ret_undelayed)
{
	unsigned int count = 0;
	*ret_undelayed = 0;
	for (int descriptor = 0; descriptor < DESCRIPTORS; descriptor++) {
		struct sockaddr_in peer;
		socklen_t size = sizeof(peer), value_size = sizeof(int);
		int value = 0;
		if (getpeername(descriptor, (struct sockaddr *)&peer, &size) != 0 ||
			peer.sin_family != AF_INET)
			continue;
		count++;
		ck_assert_int_eq(
			getsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &value, &value_size), 0);
		*ret_undelayed += value != 0;
	}
	return count;
}

/* Else the last piece of a message waits until the peer's system acknowledges the one before. */
START_TEST(no_piece_of_a_message_waits_for_an_acknowledgement)
{
	struct rpc_server *server = open_tls(NULL);
	struct rpc_tls tls = {.ca_file = server_identity.cert};
	struct rpc_channel_options options = {.tls = &tls, .connect_ms = WAIT_MS};
	struct rpc_channel *channel = echo_connect(rpc_server_url(server), &options);
	unsigned int undelayed;
	ck_assert_uint_eq(count_connections(&undelayed), 2);
	ck_assert_uint_eq(undelayed, 2);
	rpc_channel_close(channel);
	close_tls(server);
}
END_TEST

START_TEST(a_server_with_another_certificate_is_not_trusted_and_that_is_said)
{
	struct rpc_server *server = open_tls(NULL);
	struct rpc_tls tls = {.ca_file = stranger.cert};
	assert_refused_with(server, &tls, "TLS failed: --tls-ca");
	close_tls(server);
}
END_TEST

START_TEST(mutual_tls_admits_only_the_authoritys_clients)
{
	struct error err;
	struct rpc_server *server = open_tls(client_identity.cert);
	struct rpc_tls known = {client_identity.cert, client_identity.key, server_identity.cert};
	struct rpc_tls unknown = {stranger.cert, stranger.key, server_identity.cert};
	struct rpc_tls nobody = {.ca_file = server_identity.cert};
	assert_ok(try_to_connect(server, &known, WAIT_MS, &err), &err);
	ck_assert_int_eq(try_to_connect(server, &unknown, SHORT_MS, &err), STATUS_UNAVAILABLE);
	assert_refused_with(server, &nobody, "certificate");
	close_tls(server);
}
END_TEST

START_TEST(a_client_that_goes_at_once_leaves_nothing_behind)
{
	struct error err;
	struct rpc_server_stats stats;
	struct rpc_server *server = open_tls(NULL);
	struct rpc_tls tls = {.ca_file = server_identity.cert};
	struct rpc_channel_options options = {.tls = &tls, .connect_ms = WAIT_MS};
	static unsigned char bytes[300000];
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct rpc_channel *channel = echo_connect(rpc_server_url(server), &options);
		struct rpc_call *call = echo_call_new(channel);
		Marquee__Ps__V1__PullRequest body;
		/* It goes before the request is out, while it is served, or before the answer. */
		const struct rpc_request request =
			echo_request(&body, bytes, i % 2 ? sizeof(bytes) : 4, WAIT_MS);
		assert_ok(rpc_call_start(call, &request, &err), &err);
		rpc_call_free(call);
		rpc_channel_close(channel);
	}
	const uint64_t start_ns = clock_now_ns(clock_real());
	do {
		rpc_server_stats(server, &stats);
		ck_assert_msg(clock_seconds_since(clock_real(), start_ns) < GONE_S,
			"%llu connections are still there", (unsigned long long)stats.connections);
	} while (stats.connections > 0);
	close_tls(server);
}
END_TEST

START_TEST(what_is_missing_or_no_pem_is_named)
{
	struct error err;
	struct rpc_server *server;
	struct rpc_tls tls = {0};
	struct rpc_server_options options = {.url = "tls+tcp://127.0.0.1:0", .tls = &tls};
	assert_fails(rpc_server_open(&server, &options, NULL, 0, &err), STATUS_INVALID_ARGUMENT,
		&err, "needs a certificate and its key");
	tls = (struct rpc_tls){.cert_file = server_identity.key, .key_file = server_identity.key};
	assert_fails(rpc_server_open(&server, &options, NULL, 0, &err), STATUS_INVALID_ARGUMENT,
		&err, "not a PEM certificate");
	tls = (struct rpc_tls){.cert_file = "/nowhere/cert.pem", .key_file = server_identity.key};
	assert_fails(rpc_server_open(&server, &options, NULL, 0, &err), STATUS_NOT_FOUND, &err,
		"/nowhere/cert.pem");
	struct rpc_channel *channel;
	struct rpc_channel_options channel_options = {0};
	assert_fails(rpc_channel_open(&channel, "tls+tcp://127.0.0.1:1", &channel_options, &err),
		STATUS_INVALID_ARGUMENT, &err, "--tls-ca");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {calls_go_through_tls,
		no_piece_of_a_message_waits_for_an_acknowledgement,
		a_server_with_another_certificate_is_not_trusted_and_that_is_said,
		mutual_tls_admits_only_the_authoritys_clients,
		a_client_that_goes_at_once_leaves_nothing_behind,
		what_is_missing_or_no_pem_is_named, NULL};
	struct error err;
	int result = TEST_SKIPPED;
	if (mkdtemp(directory) && make_identity(&server_identity, "server") &&
		make_identity(&client_identity, "client") && make_identity(&stranger, "stranger"))
		result = run_cases("rpc_tls", cases);
	else
		printf("skipped: there is no openssl program to make certificates with\n");
	(void)!directory_remove(directory, &err);
	return result;
}
