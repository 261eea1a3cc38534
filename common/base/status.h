/*
 * Status codes and error context.
 *
 * Every fallible function returns an enum status and takes a struct error * last. The function
 * that meets the failure fills it with what it knows; callers put their own context in front with
 * error_wrap() on the way up ("load shard 3: header: truncated at byte 40"). The codes are gRPC's
 * sixteen, so that a status crosses the wire unchanged.
 *
 * Threads: a struct error belongs to its caller.
 */
#ifndef MARQUEE_BASE_STATUS_H
#define MARQUEE_BASE_STATUS_H

enum status {
	STATUS_OK = 0,
	STATUS_CANCELLED = 1,
	STATUS_UNKNOWN = 2,
	STATUS_INVALID_ARGUMENT = 3,
	STATUS_DEADLINE_EXCEEDED = 4,
	STATUS_NOT_FOUND = 5,
	STATUS_ALREADY_EXISTS = 6,
	STATUS_PERMISSION_DENIED = 7,
	STATUS_RESOURCE_EXHAUSTED = 8,
	STATUS_FAILED_PRECONDITION = 9,
	STATUS_ABORTED = 10,
	STATUS_OUT_OF_RANGE = 11,
	STATUS_UNIMPLEMENTED = 12,
	STATUS_INTERNAL = 13,
	STATUS_UNAVAILABLE = 14,
	STATUS_DATA_LOSS = 15,
	STATUS_UNAUTHENTICATED = 16,
};
#define STATUS_COUNT 17

#define MUST_CHECK	   __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a)  __attribute__((format(printf, f, a)))
#define ERROR_MESSAGE_SIZE 512

struct error {
	enum status status;
	char message[ERROR_MESSAGE_SIZE]; /* always terminated; cut when longer */
};

/* Fills err (may be NULL) and returns status, so that a failure is one statement. */
enum status error_set(struct error *err, enum status status, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* As error_set(), and appends ": " and strerror(error_number). Chooses the status from the number.
 */
enum status error_set_errno(struct error *err, int error_number, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Puts "context: " in front of the message; returns the error's status. err may be NULL. */
enum status error_wrap(struct error *err, enum status status, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* "DEADLINE_EXCEEDED" and so on; "UNKNOWN" for a number that is none of ours. Static string. */
const char *status_name(enum status status);

/* The status for a number that came over the wire: unknown numbers become STATUS_UNKNOWN. */
enum status status_from_wire(unsigned int number);

#endif
