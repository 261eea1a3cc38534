#include "launcher/last_words.h"

#include <stdio.h>
#include <string.h>

#define FAILURE "worker: "
#define WARNING "worker: warning: "

void last_words_hear(struct last_words *words, const char *line)
{
	if (strncmp(line, FAILURE, strlen(FAILURE)) == 0 &&
		strncmp(line, WARNING, strlen(WARNING)) != 0)
		snprintf(words->text, sizeof(words->text), "%s", line + strlen(FAILURE));
}

/* The server whose address `at` starts with, and not a longer one; count: none. */
static uint32_t server_at(const char *at, char (*urls)[LAST_WORDS_URL_SIZE], uint32_t count)
{
	uint32_t server = 0;
	for (; server < count; server++) {
		size_t length = strlen(urls[server]);
		if (length > 0 && strncmp(at, urls[server], length) == 0 &&
			!(at[length] >= '0' && at[length] <= '9'))
			break;
	}
	return server;
}

void last_words_tell(const struct last_words *words, char (*urls)[LAST_WORDS_URL_SIZE],
	uint32_t count, char text[ERROR_MESSAGE_SIZE])
{
	size_t used = 0;
	for (const char *at = words->text; *at && used + 1 < ERROR_MESSAGE_SIZE;) {
		uint32_t server = server_at(at, urls, count);
		if (server == count) {
			text[used++] = *at++;
			continue;
		}
		int put = snprintf(text + used, ERROR_MESSAGE_SIZE - used, "pserver %u", server);
		used += put > 0 ? (size_t)put : 0;
		at += strlen(urls[server]);
	}
	text[used < ERROR_MESSAGE_SIZE ? used : ERROR_MESSAGE_SIZE - 1] = '\0';
}
