/* The last lines of a training run, the same from every program that trains. */
#ifndef MARQUEE_WORKER_SUMMARY_H
#define MARQUEE_WORKER_SUMMARY_H

#include "worker/trainer.h"

void summary_print(
	FILE *out, const struct train_options *options, const struct train_result *result);

#endif
