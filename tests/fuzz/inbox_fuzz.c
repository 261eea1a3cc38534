/*
 * What comes over a connection: greeting, prefixes, routes, messages. The first byte chooses side
 * and transport, the second into which pieces the rest is cut, on which nothing may depend.
 */
#include "common/base/hash.h"
#include "common/rpc/inbox.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

#define MESSAGE_BYTES_MAX ((size_t)4096)

struct outcome {
	int rv;
	uint32_t messages;
	uint64_t hash; /* of all of them and their routes */
};

static void add(
	struct outcome *outcome, const struct buffer *message, const struct link_route *route)
{
	FUZZ_CHECK(message->length <= MESSAGE_BYTES_MAX);
	FUZZ_CHECK(route->words >= 1 && route->words <= LINK_ROUTE_MAX);
	outcome->messages++;
	outcome->hash = hash_bytes(message->data, message->length, outcome->hash);
	outcome->hash = hash_bytes(route->bytes, LINK_WORD * route->words, outcome->hash);
}

static void take(struct inbox *inbox, struct outcome *outcome)
{
	struct buffer *message;
	struct link_route route;
	do {
		outcome->rv = inbox_next(inbox, &message, &route);
		FUZZ_CHECK(outcome->rv == 0 || !message);
		if (message)
			add(outcome, message, &route);
		buffer_free(message);
	} while (message);
}

/* `step` bytes at a time; 0: as many as there is room for. */
static struct outcome read_all(
	const uint8_t *data, size_t size, enum link_side peer, bool ipc, size_t step)
{
	struct buffer_pool pool;
	struct inbox inbox;
	struct outcome outcome = {0};
	buffer_pool_init(&pool);
	inbox_init(&inbox, peer, ipc, MESSAGE_BYTES_MAX, &pool);
	while (size > 0 && outcome.rv == 0) {
		nng_iov pieces[INBOX_PIECES];
		const unsigned int count = inbox_pieces(&inbox, pieces);
		size_t taken = 0, left = step && step < size ? step : size;
		for (unsigned int i = 0; i < count; i++) {
			const size_t part = pieces[i].iov_len < left ? pieces[i].iov_len : left;
			memcpy(pieces[i].iov_buf, data + taken, part);
			taken += part;
			left -= part;
		}
		FUZZ_CHECK(taken > 0);
		data += taken;
		size -= taken;
		inbox_fill(&inbox, taken);
		take(&inbox, &outcome);
	}
	inbox_fini(&inbox);
	buffer_pool_fini(&pool);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	const enum link_side peer = data[0] & 1 ? LINK_SERVER : LINK_CLIENT;
	const bool ipc = (data[0] & 2) != 0;
	const size_t step = 1 + data[1];
	const struct outcome whole = read_all(data + 2, size - 2, peer, ipc, 0);
	const struct outcome cut = read_all(data + 2, size - 2, peer, ipc, step);
	FUZZ_CHECK(whole.rv == cut.rv && whole.messages == cut.messages && whole.hash == cut.hash);
	return 0;
}
