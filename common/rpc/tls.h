/*
 * TLS configurations from PEM files. Inside this room only (it shows nng).
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_RPC_TLS_H
#define MARQUEE_RPC_TLS_H

#include "common/rpc/transport.h"

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

/* Returns an owned configuration. Errors name the file, or the option that is missing. */
MUST_CHECK enum status rpc_tls_server_config(
	nng_tls_config **ret, const struct rpc_tls *tls, struct error *err);
/* The server's certificate must name the URL's host. */
MUST_CHECK enum status rpc_tls_client_config(
	nng_tls_config **ret, const struct rpc_tls *tls, const char *url, struct error *err);

#endif
