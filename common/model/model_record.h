/*
 * What a checkpoint and a model directory say of a model, from which model_new() makes it again:
 *
 *     {"config": {"model": "fusion", ...}, "sizes": {"users": 6041, "genders": 2, ...}}
 *
 * Threads: pure functions.
 */
#ifndef MARQUEE_MODEL_MODEL_RECORD_H
#define MARQUEE_MODEL_MODEL_RECORD_H

#include "common/model/model.h"

/* Returns an owned object; NULL when there is no memory. */
json_t *model_record_to_json(const struct model_config *config, const struct model_sizes *sizes);

/* DATA_LOSS naming the member that is missing or wrong. */
MUST_CHECK enum status model_record_from_json(struct model_config *ret_config,
	struct model_sizes *ret_sizes, const json_t *json, struct error *err);

#endif
