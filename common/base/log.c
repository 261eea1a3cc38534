#include "common/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 2048

void log_line(const struct log *log, const char *format, ...)
{
	char line[LINE_SIZE];
	int used = snprintf(line, sizeof(line), "%s: ", log->program);
	size_t length = used < 0 ? 0 : (size_t)used;
	va_list args;
	va_start(args, format);
	if (length < sizeof(line) - 2) {
		used = vsnprintf(line + length, sizeof(line) - 1 - length, format, args);
		if (used > 0)
			length = strlen(line);
	}
	va_end(args);
	line[length++] = '\n';
	ssize_t put = write(log->descriptor, line, length);
	(void)put; /* a log that cannot be written has nowhere to say so */
}
