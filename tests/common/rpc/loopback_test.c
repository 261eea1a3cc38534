#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "proto/health.pb-c.h"
#include "tests/support/suite.h"

#include <string.h>

START_TEST(a_health_check_is_answered_on_every_transport)
{
	const char *const urls[] = {
		"tcp://127.0.0.1:0", "inproc://health", "ipc://rpc_loopback_test.ipc"};
	for (size_t i = 0; i < 3; i++) {
		struct error err;
		struct rpc_server *server;
		struct rpc_server_options options = {.url = urls[i]};
		assert_ok(rpc_server_open(&server, &options, NULL, 0, &err), &err);
		struct rpc_channel *channel;
		struct rpc_channel_options channel_options = {0};
		assert_ok(
			rpc_channel_open(&channel, rpc_server_url(server), &channel_options, &err),
			&err);
		rpc_channel_close(channel);
		rpc_server_close(server);
	}
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {a_health_check_is_answered_on_every_transport, NULL};
	return run_cases("loopback", cases);
}
