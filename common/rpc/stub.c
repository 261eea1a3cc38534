#include "common/rpc/channel.h"

static void stub_invoke(ProtobufCService *service, unsigned int method_index,
	const ProtobufCMessage *input, ProtobufCClosure closure, void *closure_data)
{
	struct rpc_stub *stub = (struct rpc_stub *)service;
	struct rpc_request request = {
		.service = service->descriptor,
		.method = service->descriptor->methods[method_index].name,
		.body = input,
		.deadline_ms = stub->deadline_ms,
		.raw_bytes = stub->raw_bytes,
		.write_raw = rpc_write_bytes,
		.context = (void *)stub->raw,
	};
	stub->reply = (struct rpc_reply){0};
	stub->error = (struct error){0};
	enum status status = rpc_call_blocking(stub->call, &request, &stub->reply, &stub->error);
	stub->raw = NULL;
	stub->raw_bytes = 0;
	if (closure)
		closure(status == STATUS_OK ? stub->reply.body : NULL, closure_data);
}

static void stub_destroy(ProtobufCService *service)
{
	rpc_stub_fini((struct rpc_stub *)service);
}

enum status rpc_stub_init(struct rpc_stub *stub, struct rpc_channel *channel,
	const ProtobufCServiceDescriptor *service, uint32_t deadline_ms, struct error *err)
{
	struct rpc_call *call;
	enum status status = rpc_call_new(&call, channel, err);
	if (status != STATUS_OK)
		return status;
	*stub = (struct rpc_stub){
		.base = {service, stub_invoke, stub_destroy},
		.call = call,
		.deadline_ms = deadline_ms,
	};
	return STATUS_OK;
}

void rpc_stub_fini(struct rpc_stub *stub)
{
	rpc_call_free(stub->call);
	stub->call = NULL;
}
