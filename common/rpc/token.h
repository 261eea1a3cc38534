/*
 * The shared secret that a server asks of its callers, from a file.
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_RPC_TOKEN_H
#define MARQUEE_RPC_TOKEN_H

#include "common/base/status.h"

#include <stddef.h>

#define RPC_TOKEN_BYTES_MAX ((size_t)4096)

/*
 * The file's text without white space at its end. Owned, for free(). FAILED_PRECONDITION: nothing
 * is left, or a zero byte is in it.
 */
MUST_CHECK enum status rpc_token_read(const char *path, char **ret, struct error *err);

#endif
