#include "launcher/signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum status signals_take(struct signals *ret, struct error *err)
{
	sigset_t ours;
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGCHLD);
	int descriptor = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
	if (descriptor < 0)
		return error_set_errno(err, errno, "signalfd");
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	ret->descriptor = descriptor;
	sigprocmask(SIG_BLOCK, &ours, &ret->mask_before);
	sigaction(SIGPIPE, &ignore, &ret->pipe_before);
	return STATUS_OK;
}

void signals_give_back(struct signals *signals)
{
	close(signals->descriptor);
	signals->descriptor = -1;
	sigaction(SIGPIPE, &signals->pipe_before, NULL);
	sigprocmask(SIG_SETMASK, &signals->mask_before, NULL);
}
