#include "tests/common/rpc/raw_peer.h"

#include "tests/support/suite.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

const unsigned char raw_req[RAW_GREETING_BYTES] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
const unsigned char raw_rep[RAW_GREETING_BYTES] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};

static bool is_local(const char *url)
{
	return strncmp(url, "ipc://", 6) == 0;
}

int raw_socket(const char *url)
{
	const struct timeval wait = {RAW_WAIT_MS / 1000, 0};
	int peer = socket(is_local(url) ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
	ck_assert_int_ge(peer, 0);
	ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)), 0);
	return peer;
}

void raw_connect_socket(int peer, const char *url)
{
	const int on = 1;
	if (is_local(url)) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};
		snprintf(address.sun_path, sizeof(address.sun_path), "%s", url + 6);
		ck_assert_int_eq(connect(peer, (void *)&address, sizeof(address)), 0);
	} else {
		const uint16_t port = (uint16_t)atoi(strrchr(url, ':') + 1);
		const struct sockaddr_in address = {.sin_family = AF_INET,
			.sin_port = htons(port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		ck_assert_int_eq(connect(peer, (const void *)&address, sizeof(address)), 0);
		(void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	}
}

int raw_connect(const char *url)
{
	int peer = raw_socket(url);
	raw_connect_socket(peer, url);
	return peer;
}

int raw_connect_greeting(const char *url)
{
	int peer = raw_connect(url);
	raw_send(peer, raw_req, sizeof(raw_req));
	return peer;
}

void raw_send(int peer, const void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t sent = send(peer, (const char *)bytes + done, size - done, MSG_NOSIGNAL);
		ck_assert_int_gt(sent, 0);
		done += (size_t)sent;
	}
}

void raw_receive(int peer, void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = recv(peer, (char *)bytes + done, size - done, 0);
		ck_assert_int_gt(got, 0);
		done += (size_t)got;
	}
}

void raw_drain(int peer)
{
	char bytes[4096];
	ssize_t got;
	do
		got = recv(peer, bytes, sizeof(bytes), 0);
	while (got > 0);
	/* The end, or a reset: it had not read everything. Not the deadline. */
	ck_assert(got == 0 || errno == ECONNRESET);
}

size_t raw_prefix(unsigned char *at, bool ipc, uint64_t bytes)
{
	size_t size = 0;
	if (ipc)
		at[size++] = 1;
	for (int shift = 56; shift >= 0; shift -= 8)
		at[size++] = (unsigned char)(bytes >> shift);
	return size;
}
