/*
 * What `marquee serve` counts, as Prometheus reads it.
 *
 * Threads: internally synchronised.
 */
#ifndef MARQUEE_INFERENCE_API_METRICS_H
#define MARQUEE_INFERENCE_API_METRICS_H

#include "common/http/http.h"
#include "common/metrics/prometheus.h"
#include "inference/served.h"

#define API_CODES 9u

/* All zeros but the names has counted nothing. */
struct api_metrics {
	const char *const *paths;	   /* [routes], borrowed */
	size_t routes;			   /* replies without a route are counted behind them */
	struct latency_histogram *latency; /* [routes + 1], owned */
	atomic_uint_fast64_t (*codes)[API_CODES]; /* [routes + 1], owned */
};

/* Borrows the paths. */
MUST_CHECK enum status api_metrics_init(
	struct api_metrics *metrics, const char *const *paths, size_t routes, struct error *err);
/* Takes a zeroed struct. */
void api_metrics_fini(struct api_metrics *metrics);

/* Of a route, or HTTP_NO_ROUTE. */
void api_metrics_count(struct api_metrics *metrics, size_t route, unsigned int code, uint64_t ns);

/* The text, owned. */
MUST_CHECK enum status api_metrics_write(struct api_metrics *metrics, struct served *served,
	char **ret_text, size_t *ret_size, struct error *err);

#endif
