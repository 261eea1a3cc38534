/* What the simulated network says of misuse that the real nng would answer with a broken memory. */
#include "tests/sim/talk.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* A connection whose aio has the memory of its next operation. */
static void open_ready(struct talk_end *end)
{
	talk_open(end, talk_dial_listener());
	talk_set_memory(end->aio, talk.url, sizeof(talk.url));
}

/* The same after the greetings: what is received next is a message. */
static void open_greeted(struct talk_end *end)
{
	talk_open(end, talk_dial_listener());
	must(talk_greet(end, 0x30) == 0);
	talk_set_memory(end->aio, talk.url, sizeof(talk.url));
}

static void *use_freed_stream(void *argument)
{
	struct talk_end end;
	(void)argument;
	open_ready(&end);
	nng_stream_free(end.stream);
	nng_stream_send(end.stream, end.aio);
	return NULL;
}

static void *use_freed_aio(void *argument)
{
	struct talk_end end;
	(void)argument;
	open_ready(&end);
	nng_aio_free(end.aio);
	nng_stream_recv(end.stream, end.aio);
	return NULL;
}

static void *receive_twice(void *argument)
{
	struct talk_end end;
	(void)argument;
	open_greeted(&end);
	nng_stream_recv(end.stream, end.aio);
	nng_stream_recv(end.stream, end.aio);
	return NULL;
}

static void *write_to_lent_memory(void *argument)
{
	struct talk_end end;
	(void)argument;
	open_greeted(&end);
	nng_stream_recv(end.stream, end.aio);
	talk.url[3] = '!';
	nng_stream_close(end.stream);
	return NULL;
}

static void *begin_after_closing(void *argument)
{
	struct talk_end end;
	(void)argument;
	open_ready(&end);
	nng_stream_close(end.stream);
	nng_stream_recv(end.stream, end.aio);
	nng_stream_free(end.stream);
	return NULL;
}

static void stop_itself(void *end)
{
	nng_aio_stop(((struct talk_end *)end)->aio);
}

static void *wait_in_callback(void *argument)
{
	struct talk_end end = {.stream = talk_dial_listener()};
	(void)argument;
	must(nng_aio_alloc(&end.aio, stop_itself, &end) == 0);
	talk_set_memory(end.aio, talk.url, sizeof(talk.url));
	nng_stream_recv(end.stream, end.aio);
	nng_aio_cancel(end.aio);
	nng_aio_wait(end.aio);
	return NULL;
}

/* The real process aborts, saying so. */
static void assert_aborts(void *(*client)(void *), const char *wanted)
{
	static const struct sim_weather calm;
	char text[2048] = "";
	int from[2], status;
	ck_assert_int_eq(pipe(from), 0);
	fflush(NULL);
	const pid_t child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		dup2(from[1], STDERR_FILENO);
		talk_run(client, 1, &calm);
		_exit(EXIT_SUCCESS);
	}
	close(from[1]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_ge(read(from[0], text, sizeof(text) - 1), 0);
	close(from[0]);
	ck_assert_msg(WIFSIGNALED(status) && strstr(text, wanted), "status %d: %s", status, text);
}

START_TEST(what_was_freed_is_not_used)
{
	assert_aborts(use_freed_stream, "a send on a stream that was freed");
	assert_aborts(use_freed_aio, "an operation of an aio that was freed");
	assert_aborts(begin_after_closing, "began after it was closed");
}
END_TEST

START_TEST(an_aio_has_one_operation_and_its_memory)
{
	assert_aborts(receive_twice, "a second operation");
	assert_aborts(write_to_lent_memory, "changed while it was under way");
}
END_TEST

START_TEST(a_callback_does_not_wait_for_itself)
{
	assert_aborts(wait_in_callback, "a callback waits for itself");
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {what_was_freed_is_not_used,
		an_aio_has_one_operation_and_its_memory, a_callback_does_not_wait_for_itself, NULL};
	return run_cases("misuse of the simulated network", cases);
}
