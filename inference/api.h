/*
 * The HTTP interface: what `marquee serve` answers. docs/serve.md and inference/web/openapi.json
 * describe it.
 *
 * Threads: internally locked.
 */
#ifndef MARQUEE_INFERENCE_API_H
#define MARQUEE_INFERENCE_API_H

#include "common/http/http.h"
#include "inference/served.h"

#define API_TOP_MAX 1000u

struct api;

/* Borrows the model for its life. */
MUST_CHECK enum status api_new(struct api **ret, struct served *served, struct error *err);
/* NULL is fine. */
void api_free(struct api *api);

/* Fills in the routes and what belongs to them of the server's options; borrowed from the API. */
void api_routes(struct api *api, struct http_options *options);

#endif
