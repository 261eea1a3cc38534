#include "common/rpc/transport.h"

#include <arpa/inet.h>
#include <nng/nng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const schemes[] = {"tcp://", "tls+tcp://", "ipc://", "inproc://"};

static const char *behind(const char *url, const char *scheme)
{
	size_t length = strlen(scheme);
	return strncmp(url, scheme, length) == 0 ? url + length : NULL;
}

/* Whether what stands behind the scheme is HOST:PORT; without a port nng would take any. */
static bool has_port(const char *rest)
{
	const char *at = rest + strcspn(rest, *rest == '[' ? "]" : ":");
	at += *at == ']';
	if (*at++ != ':' || strspn(at, "0123456789") != strlen(at))
		return false;
	const size_t digits = strlen(at);
	return digits >= 1 && digits <= 5 && strtoul(at, NULL, 10) <= UINT16_MAX;
}

enum status rpc_url_check(const char *url, struct error *err)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		const char *rest = behind(url, schemes[i]);
		if (!rest || *rest == '\0')
			continue;
		if (strlen(url) >= NNG_MAXADDRLEN)
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"%s: an address has at most %d characters", url,
				NNG_MAXADDRLEN - 1);
		if (strstr(schemes[i], "tcp") && !has_port(rest))
			return error_set(err, STATUS_INVALID_ARGUMENT,
				"%s: expected %sHOST:PORT, with a port from 0 to 65535", url,
				schemes[i]);
		return STATUS_OK;
	}
	return error_set(err, STATUS_INVALID_ARGUMENT,
		"'%s' is not an address: expected tcp://HOST:PORT, tls+tcp://HOST:PORT, "
		"ipc://PATH or inproc://NAME",
		url);
}

bool rpc_url_is_tls(const char *url)
{
	return behind(url, "tls+tcp://") != NULL;
}

bool rpc_url_is_ipc(const char *url)
{
	return behind(url, "ipc://") != NULL || behind(url, "inproc://") != NULL;
}

void rpc_url_of_stream(const char *url, char ret[RPC_STREAM_URL_SIZE])
{
	const char *name = behind(url, "inproc://");
	if (name)
		snprintf(ret, RPC_STREAM_URL_SIZE, "abstract://marquee-%ld-%s", (long)getpid(),
			name);
	else
		snprintf(ret, RPC_STREAM_URL_SIZE, "%s", url);
}

bool rpc_url_is_local(const char *url)
{
	const char *rest = behind(url, "tcp://");
	if (!rest)
		rest = behind(url, "tls+tcp://");
	if (!rest)
		return true;
	char host[NNG_MAXADDRLEN];
	bool bracketed = *rest == '[';
	size_t length = bracketed ? strcspn(++rest, "]") : strcspn(rest, ":/");
	if (length >= sizeof(host))
		return false;
	memcpy(host, rest, length);
	host[length] = '\0';
	struct in_addr v4;
	struct in6_addr v6;
	if (!bracketed && inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (bracketed && inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
	return strcmp(host, "localhost") == 0;
}

enum status rpc_status_from_nng(int error_number)
{
	switch (error_number) {
	case 0:
		return STATUS_OK;
	case NNG_ENOMEM:
	case NNG_ENOFILES:
	case NNG_ENOSPC:
	case NNG_EMSGSIZE:
		return STATUS_RESOURCE_EXHAUSTED;
	case NNG_EINVAL:
	case NNG_EADDRINVAL:
		return STATUS_INVALID_ARGUMENT;
	case NNG_ETIMEDOUT:
		return STATUS_DEADLINE_EXCEEDED;
	case NNG_ECANCELED:
		return STATUS_CANCELLED;
	case NNG_EADDRINUSE:
		return STATUS_ALREADY_EXISTS;
	case NNG_EPERM:
		return STATUS_PERMISSION_DENIED;
	case NNG_ENOTSUP:
		return STATUS_UNIMPLEMENTED;
	case NNG_EPEERAUTH:
	case NNG_ECRYPTO:
		return STATUS_UNAUTHENTICATED;
	case NNG_ECLOSED:
	case NNG_ECONNREFUSED:
	case NNG_ECONNRESET:
	case NNG_ECONNABORTED:
	case NNG_ECONNSHUT:
	case NNG_EUNREACHABLE:
		return STATUS_UNAVAILABLE;
	default:
		return STATUS_INTERNAL;
	}
}

const char *rpc_trouble_from_nng(int error_number)
{
	switch (error_number) {
	case NNG_EADDRINVAL:
		return "the host's name is not known";
	case NNG_EPROTO:
		return "what answers there is no pserver";
	case NNG_EPEERAUTH:
	case NNG_ECRYPTO:
		return "TLS failed: --tls-ca must be the authority of the server's certificate, "
		       "which "
		       "must be of this host, and --tls-cert one that the server knows";
	case NNG_ECLOSED:
	case NNG_ECONNSHUT:
	case NNG_ECONNRESET:
		return "it closed the connection; one that asks for TLS or for certificates does "
		       "so";
	case NNG_ENOFILES:
		return "this process has too many open files: see ulimit -n";
	default:
		return nng_strerror(error_number);
	}
}
