#include "common/http/listen.h"

#include "common/base/flags.h"
#include "common/http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG	  256
#define HOST_SIZE 256

/* "HOST:PORT" or "[HOST]:PORT" taken apart. */
static enum status split(
	const char *address, char host[HOST_SIZE], const char **ret_port, struct error *err)
{
	const char *colon = strrchr(address, ':');
	const bool braces = address[0] == '[';
	const char *start = address + braces;
	const char *end = colon && braces ? colon - 1 : colon;
	uint64_t port;
	if (!colon || end <= start || (size_t)(end - start) >= HOST_SIZE ||
		(braces ? *end != ']' : memchr(start, ':', (size_t)(end - start)) != NULL) ||
		parse_u64(colon + 1, &port, NULL) != STATUS_OK || port > UINT16_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"'%.100s' is no address: expected HOST:PORT, such as 127.0.0.1:8080 or "
			"[::1]:8080",
			address);
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	*ret_port = colon + 1;
	return STATUS_OK;
}

enum status http_address_check(const char *address, struct error *err)
{
	char host[HOST_SIZE];
	const char *port;
	return split(address, host, &port, err);
}

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)address)
				       ->sin_addr.s_addr) >>
			       24 ==
		       127;
	return address->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(
		       &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

static enum status listen_on(
	const struct addrinfo *found, const char *address, int *ret_descriptor, struct error *err)
{
	const int yes = 1;
	int descriptor =
		socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	if (descriptor < 0)
		return error_set_errno(err, errno, "%.100s: socket", address);
	(void)setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(descriptor, found->ai_addr, found->ai_addrlen) != 0 ||
		listen(descriptor, BACKLOG) != 0) {
		if (errno == EADDRINUSE)
			(void)error_set(err, STATUS_UNAVAILABLE,
				"cannot listen on %.100s: address in use: another program listens "
				"there; stop it or choose another port (0: any)",
				address);
		else
			(void)error_set(err, STATUS_UNAVAILABLE, "cannot listen on %.100s: %s",
				address, strerror(errno));
		close(descriptor);
		return STATUS_UNAVAILABLE;
	}
	*ret_descriptor = descriptor;
	return STATUS_OK;
}

static void write_url(int descriptor, char url[HTTP_URL_SIZE])
{
	struct sockaddr_storage bound = {0};
	socklen_t size = sizeof(bound);
	char host[INET6_ADDRSTRLEN + 20] = "?", port[8] = "?";
	(void)getsockname(descriptor, (struct sockaddr *)&bound, &size);
	(void)getnameinfo((struct sockaddr *)&bound, size, host, sizeof(host), port, sizeof(port),
		NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(url, HTTP_URL_SIZE,
		bound.ss_family == AF_INET6 ? "http://[%s]:%s" : "http://%s:%s", host, port);
}

enum status http_listen(const char *address, bool public, int *ret_descriptor,
	char ret_url[HTTP_URL_SIZE], struct error *err)
{
	const struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	char host[HOST_SIZE];
	const char *port;
	enum status status = split(address, host, &port, err);
	if (status != STATUS_OK)
		return status;
	const int failed = getaddrinfo(host, port, &wanted, &found);
	if (failed != 0)
		return error_set(
			err, STATUS_UNAVAILABLE, "%.100s: %s", address, gai_strerror(failed));
	if (!public && !is_loopback(found->ai_addr))
		status = error_set(err, STATUS_PERMISSION_DENIED,
			"%.100s is not a loopback address: there are no passwords and no "
			"encryption "
			"here, so whoever reaches it may ask everything; put a proxy in front, or "
			"say --public",
			address);
	else
		status = listen_on(found, address, ret_descriptor, err);
	freeaddrinfo(found);
	if (status == STATUS_OK)
		write_url(*ret_descriptor, ret_url);
	return status;
}
