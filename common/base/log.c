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
	size_t length = used > 0 ? strlen(line) : 0;
	va_list args;
	va_start(args, format);
	used = vsnprintf(line + length, sizeof(line) - length, format, args);
	va_end(args);
	length += used > 0 ? strlen(line + length) : 0;
	if (length == sizeof(line) - 1)
		length--; /* cut: the newline comes in the last letter's place */
	line[length++] = '\n';
	ssize_t put = write(log->descriptor, line, length);
	(void)put; /* a log that cannot be written has nowhere to say so */
}
