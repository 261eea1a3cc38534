/*
 * Messages to a parameter server: every one is answered.
 *
 * An input is a call: which method, the length of the body, the body (protobuf), the raw part. The
 * frame and the header around it are good, and worker 0 has joined a job with two tables, so that
 * it comes to the handlers. A server takes a hundred inputs; then there is a new one, so that
 * memory does not grow with what was accepted.
 */
#include "common/rpc/frame.h"
#include "proto/parameter_server.pb-c.h"
#include "proto/rpc.pb-c.h"
#include "pserver/service.h"
#include "tests/fuzz/fuzz.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <string.h>

#define INPUTS_PER_SERVER 100u
#define MESSAGE_BYTES_MAX ((size_t)1 << 20)
#define ANSWER_MS	  20000
/* Short: a pull of a later step waits for pushes that do not come. */
#define DEADLINE_MS 5u

static struct ps_server *server;
static nng_socket peer;
static uint64_t sequence;

static nng_msg *make_message(
	const char *method, const uint8_t *body, size_t body_bytes, struct rpc_bytes raw)
{
	Marquee__Rpc__V1__RequestHeader header = MARQUEE__RPC__V1__REQUEST_HEADER__INIT;
	header.service = (char *)marquee__ps__v1__parameter_server__descriptor.name;
	header.method = (char *)method;
	header.deadline_ms = DEADLINE_MS;
	header.job = "job";
	header.incarnation = 1;
	header.sequence = ++sequence;
	const size_t header_bytes = protobuf_c_message_get_packed_size(&header.base);
	const size_t prefix = rpc_frame_prefix_bytes(header_bytes, body_bytes);
	nng_msg *msg;
	FUZZ_CHECK(nng_msg_alloc(&msg, prefix + raw.size) == 0);
	unsigned char *frame = nng_msg_body(msg);
	memset(frame, 0, prefix);
	rpc_frame_write(frame, RPC_FRAME_REQUEST, header_bytes, body_bytes, raw.size);
	protobuf_c_message_pack(&header.base, frame + RPC_FRAME_FIXED_BYTES);
	if (body_bytes)
		memcpy(frame + RPC_FRAME_FIXED_BYTES + header_bytes, body, body_bytes);
	if (raw.size)
		memcpy(frame + prefix, raw.data, raw.size);
	return msg;
}

/* Sends the message; there must be a whole response. */
static void exchange(nng_msg *msg)
{
	struct rpc_frame frame;
	struct error err;
	FUZZ_CHECK(nng_sendmsg(peer, msg, 0) == 0);
	FUZZ_CHECK(nng_recvmsg(peer, &msg, 0) == 0);
	FUZZ_CHECK(rpc_frame_parse(&frame, RPC_FRAME_RESPONSE, nng_msg_body(msg), nng_msg_len(msg),
			   &err) == STATUS_OK);
	nng_msg_free(msg);
}

static void join(void)
{
	Marquee__Ps__V1__Optimizer optimizer = MARQUEE__PS__V1__OPTIMIZER__INIT;
	Marquee__Ps__V1__TableSpec tables[2], *both[2] = {&tables[0], &tables[1]};
	Marquee__Ps__V1__JoinRequest request = MARQUEE__PS__V1__JOIN_REQUEST__INIT;
	uint8_t body[256];
	optimizer.name = "sgd";
	optimizer.learning_rate = 0.5f;
	for (uint32_t t = 0; t < 2; t++) {
		marquee__ps__v1__table_spec__init(&tables[t]);
		tables[t].name = t == 0 ? "user" : "word";
		tables[t].dim = t == 0 ? 4 : 2;
		tables[t].optimizer = &optimizer;
	}
	request.job = "job";
	request.workers = 1;
	request.lanes = 2;
	request.n_tables = 2;
	request.tables = both;
	const size_t size = protobuf_c_message_get_packed_size(&request.base);
	FUZZ_CHECK(size <= sizeof(body));
	protobuf_c_message_pack(&request.base, body);
	exchange(make_message("Join", body, size, (struct rpc_bytes){0}));
}

static void open_server(void)
{
	struct error err;
	const struct ps_server_options options = {
		.listen_url = "tcp://127.0.0.1:0", .max_message_bytes = MESSAGE_BYTES_MAX};
	FUZZ_CHECK(ps_server_open(&server, &options, &err) == STATUS_OK);
	FUZZ_CHECK(nng_req0_open(&peer) == 0);
	FUZZ_CHECK(nng_socket_set_ms(peer, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE) == 0);
	FUZZ_CHECK(nng_socket_set_ms(peer, NNG_OPT_RECVTIMEO, ANSWER_MS) == 0);
	FUZZ_CHECK(nng_dial(peer, ps_server_url(server), NULL, 0) == 0);
	join();
}

static void close_server(void)
{
	if (!server)
		return;
	nng_close(peer);
	ps_server_close(server);
	server = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint32_t inputs;
	const ProtobufCServiceDescriptor *service = &marquee__ps__v1__parameter_server__descriptor;
	if (size < 3 || size > MESSAGE_BYTES_MAX / 2)
		return 0;
	if (inputs == 0)
		atexit(close_server);
	if (!server)
		open_server();
	const uint8_t *body = data + 3, *end = data + size;
	size_t body_bytes = data[1] | (size_t)data[2] << 8;
	if (body_bytes > (size_t)(end - body))
		body_bytes = (size_t)(end - body);
	const struct rpc_bytes raw = {body + body_bytes, (size_t)(end - body) - body_bytes};
	exchange(make_message(
		service->methods[data[0] % service->n_methods].name, body, body_bytes, raw));
	if (++inputs % INPUTS_PER_SERVER == 0)
		close_server();
	return 0;
}
