#include "tests/bench/ps_children.h"

#include "common/base/memory.h"
#include "launcher/process.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START_MS 10000

struct child {
	struct process process;
};

static enum status find_url(void *context, const char *line, size_t length, struct error *err)
{
	static const char ready[] = ": ready ";
	char *url = context;
	const char *found = strstr(line, ready);
	(void)length, (void)err;
	if (found && *url == '\0')
		(void)snprintf(url, CHILD_URL_SIZE, "%.*s",
			(int)strcspn(found + strlen(ready), " "), found + strlen(ready));
	return STATUS_OK;
}

static enum status wait_until_ready(struct process *process, char *ret_url, struct error *err)
{
	struct pollfd output = {.fd = process->output.descriptor, .events = POLLIN};
	*ret_url = '\0';
	while (*ret_url == '\0') {
		char bytes[512];
		if (poll(&output, 1, START_MS) <= 0)
			return error_set(
				err, STATUS_DEADLINE_EXCEEDED, "%s: did not start", process->name);
		ssize_t n = read(output.fd, bytes, sizeof(bytes));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return error_set(
				err, STATUS_UNAVAILABLE, "%s: ended at once", process->name);
		enum status status = lines_feed(
			&process->output.lines, bytes, (size_t)n, find_url, ret_url, err);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

enum status child_start(struct child **ret, const char *const *argv, char ret_url[CHILD_URL_SIZE],
	struct error *err)
{
	struct child *child;
	enum status status = memory_zalloc(&child, 1, sizeof(*child), "child", err);
	if (status != STATUS_OK)
		return status;
	process_init(&child->process, "server");
	status = process_start(&child->process, argv, err);
	if (status == STATUS_OK)
		status = wait_until_ready(&child->process, ret_url, err);
	if (status != STATUS_OK) {
		child_end(child);
		return status;
	}
	*ret = child;
	return STATUS_OK;
}

void child_end(struct child *child)
{
	if (!child)
		return;
	process_fini(&child->process);
	free(child);
}
