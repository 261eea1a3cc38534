/*
 * A listening socket from "HOST:PORT".
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_HTTP_LISTEN_H
#define MARQUEE_HTTP_LISTEN_H

#include "common/base/status.h"

#include <stdbool.h>

#define HTTP_URL_SIZE 128

/*
 * Listens on the first address that the host has. PERMISSION_DENIED when that is not loopback and
 * `public` is false. The URL has the address and the port that were found.
 */
MUST_CHECK enum status http_listen(const char *address, bool public, int *ret_descriptor,
	char ret_url[HTTP_URL_SIZE], struct error *err);

#endif
