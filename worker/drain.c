#include "worker/drain.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

bool drain_wait(int descriptor, const struct clock *clock, uint32_t timeout_ms)
{
	const uint64_t end_ns = clock_now_ns(clock) + (uint64_t)timeout_ms * 1000000;
	struct stat about;
	if (fstat(descriptor, &about) != 0 || !S_ISFIFO(about.st_mode))
		return true;
	for (;;) {
		int left = 0;
		if (ioctl(descriptor, FIONREAD, &left) != 0 || left == 0)
			return true;
		if (clock_now_ns(clock) >= end_ns)
			return false;
		/* Nothing tells a writer that its pipe is empty: look every millisecond. That the
		 * reader has gone is told. */
		struct pollfd polled = {.fd = descriptor};
		if (poll(&polled, 1, 1) > 0)
			return false;
	}
}
