/*
 * Rows and gradients of a step between the wire and the store. Inside this room only.
 *
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_PSERVER_STEP_ROWS_H
#define MARQUEE_PSERVER_STEP_ROWS_H

#include "pserver/service_internal.h"
#include "pserver/step_request.h"

/*
 * Sees to it that push_gradients are floats: those of bf16 get memory of their own, `widened`.
 * After step_request_measure().
 */
MUST_CHECK enum status step_rows_widen(struct step_request *request, struct error *err);

/* Reserves the reply of a call that pulls, and fills it. */
MUST_CHECK enum status step_rows_pull(
	struct job *job, const struct step_call *step, struct error *err);

#endif
