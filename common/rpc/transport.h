/*
 * Addresses, TLS and nng's error numbers.
 *
 * URLs: "tcp://host:port", "tls+tcp://host:port", "ipc:///path", "inproc://name".
 * Threads: pure functions; struct rpc_tls is immutable.
 */
#ifndef MARQUEE_RPC_TRANSPORT_H
#define MARQUEE_RPC_TRANSPORT_H

#include "common/base/status.h"

#include <stdbool.h>

/*
 * PEM files for tls+tcp. A server needs cert_file and key_file, and with ca_file it admits only
 * clients whose certificate that authority signed (mutual TLS). A client needs ca_file, the
 * authority it trusts, and shows cert_file when it has one.
 */
struct rpc_tls {
	const char *cert_file; /* borrowed; NULL: none */
	const char *key_file;
	const char *ca_file;
};

/* INVALID_ARGUMENT, saying what is expected, when the URL is of no kind above or has no port. */
MUST_CHECK enum status rpc_url_check(const char *url, struct error *err);
/* False for a tcp or tls+tcp URL whose host is not this machine's loopback. */
bool rpc_url_is_local(const char *url);
bool rpc_url_is_tls(const char *url);
/* Whether its messages are framed as nng frames them on sockets of one machine. */
bool rpc_url_is_ipc(const char *url);

#define RPC_STREAM_URL_SIZE 192
/*
 * The URL for nng's streams, which know no inproc: that is a socket without a file here, named
 * after this process.
 */
void rpc_url_of_stream(const char *url, char ret[RPC_STREAM_URL_SIZE]);

/* The status for an nng_errno_enum value. */
enum status rpc_status_from_nng(int error_number);
/* The same for people who wait for a connection: what is wrong, and what to look at. */
const char *rpc_trouble_from_nng(int error_number);

#endif
