/* What channel.c, channel_link.c and call.c share. Inside this room only. */
#ifndef MARQUEE_RPC_CHANNEL_INTERNAL_H
#define MARQUEE_RPC_CHANNEL_INTERNAL_H

#include "common/rpc/channel.h"
#include "common/rpc/link.h"

#include <nng/nng.h>
#include <pthread.h>
#include <stdatomic.h>

/* What has become of a request. */
enum request_state {
	REQUEST_NONE,
	REQUEST_SENT,	  /* waits for its answer */
	REQUEST_ANSWERED, /* and this is it */
	REQUEST_LOST,	  /* its connection is, or there was none */
};

/* A request on its way; part of a call, and in the channel's list while it is SENT. */
struct request {
	enum request_state state;
	uint32_t number; /* 0: not sent */
	struct request *next;
	struct buffer *answer;
};

struct rpc_channel {
	/* Immutable after open. */
	nng_stream_dialer *dialer;
	nng_aio *dial_aio; /* of whoever connects */
	char *url;
	char *job;
	unsigned char *token;
	size_t token_bytes;
	uint32_t worker;
	uint64_t incarnation;
	uint32_t attempt_ms;
	size_t max_message_bytes;
	const struct clock *clock;
	struct buffer_pool buffers; /* internally locked */
	/* Shared by the calls. */
	atomic_uint_fast64_t sequence; /* the last one given out */
	atomic_uint_fast64_t calls;
	atomic_uint_fast64_t attempts;
	atomic_uint_fast64_t bytes_sent;
	atomic_uint_fast64_t bytes_received;

	pthread_mutex_t lock;
	/* Guarded by lock. */
	pthread_cond_t changed;	  /* a request's state, or nobody reads or connects any more */
	struct link *link;	  /* NULL: not connected */
	uint32_t links;		  /* that one, and earlier ones that are ending */
	struct request *requests; /* sent on this link */
	uint32_t last_number;
	bool connecting, reading; /* one of the callers is */
	uint32_t waiting;	  /* for `changed` */
	uint32_t redial_ms;	  /* the next pause after a vain attempt to connect */
	int trouble; /* nng's: why there is no connection any more, or none yet; 0: an answer came
		      */
};

/*
 * The connection of a channel. There is no thread behind it: whoever waits for an answer connects
 * where there is no connection, and reads for all who wait.
 */

/* A connection to send on, with a reference; NULL: there is none. */
struct link *channel_link(struct rpc_channel *channel);
/*
 * Sends the message, which is the link's, as a new request: SENT, or LOST when that link is not the
 * channel's any more.
 */
void channel_send(struct rpc_channel *channel, struct link *link, struct request *request,
	struct buffer *message);
/* Whether the request's message is still to go out, or a part of it: the server does not read. */
bool channel_is_unsent(struct rpc_channel *channel, const struct request *request);
/*
 * Waits, at most so long, for something to happen that may change the request: its answer, the loss
 * of its connection, a connection where there was none. Returns its state. Sets *ret_greeted when a
 * server has spoken.
 */
enum request_state channel_wait(
	struct rpc_channel *channel, struct request *request, uint64_t wait_ms, bool *ret_greeted);
/* An answer that comes now is dropped. Frees one that has come. NONE. */
void channel_forget(struct rpc_channel *channel, struct request *request);

/*
 * An attempt stayed without an answer. The end of a connection with TLS may go unheard (link.h): it
 * is made anew, which the other requests on it survive. Others are kept.
 */
void channel_suspect(struct rpc_channel *channel);
/*
 * Why a connection was lost or none could be made, in words for people, since an answer came last;
 * "": that has not happened.
 */
const char *channel_trouble(struct rpc_channel *channel);
/* Closes the connection, and waits until it is gone. No request is under way. */
void channel_disconnect(struct rpc_channel *channel);

#endif
