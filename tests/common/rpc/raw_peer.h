/*
 * The other end of a connection, by hand: a plain socket that speaks nng's protocol, or does not.
 * Whatever fails or takes longer than RAW_WAIT_MS fails the test.
 */
#ifndef MARQUEE_TESTS_RAW_PEER_H
#define MARQUEE_TESTS_RAW_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAW_WAIT_MS	   10000u
#define RAW_GREETING_BYTES ((size_t)8)
#define RAW_PREFIX_BYTES   ((size_t)8) /* in front of a message; one more on a local socket */

extern const unsigned char raw_req[RAW_GREETING_BYTES], raw_rep[RAW_GREETING_BYTES];

/* A socket for the address, and its connection. */
int raw_socket(const char *url);
void raw_connect_socket(int peer, const char *url);
/* Connects to a tcp://127.0.0.1:PORT or an ipc://PATH. */
int raw_connect(const char *url);
/* Also sends a client's greeting. */
int raw_connect_greeting(const char *url);

void raw_send(int peer, const void *bytes, size_t size);
void raw_receive(int peer, void *bytes, size_t size);
/* Reads until the other side has closed. */
void raw_drain(int peer);

/* Writes what stands in front of a message of so many bytes; returns how many those are. */
size_t raw_prefix(unsigned char *at, bool ipc, uint64_t bytes);

#endif
