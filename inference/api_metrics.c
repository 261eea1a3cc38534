#include "inference/api_metrics.h"

#include "common/base/memory.h"

#include <stdlib.h>

/* Those that are replied with, and all others. */
static const struct {
	unsigned int code;
	const char *name;
} codes[API_CODES] = {{200, "200"}, {400, "400"}, {404, "404"}, {405, "405"}, {413, "413"},
	{500, "500"}, {501, "501"}, {503, "503"}, {0, "other"}};

enum status api_metrics_init(
	struct api_metrics *metrics, const char *const *paths, size_t routes, struct error *err)
{
	*metrics = (struct api_metrics){.paths = paths, .routes = routes};
	enum status status = memory_zalloc(
		&metrics->latency, routes + 1, sizeof(*metrics->latency), "metrics", err);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&metrics->codes, routes + 1, sizeof(*metrics->codes), "metrics", err);
	if (status != STATUS_OK)
		api_metrics_fini(metrics);
	return status;
}

void api_metrics_fini(struct api_metrics *metrics)
{
	free(metrics->latency);
	free(metrics->codes);
	*metrics = (struct api_metrics){0};
}

void api_metrics_count(struct api_metrics *metrics, size_t route, unsigned int code, uint64_t ns)
{
	const size_t row = route < metrics->routes ? route : metrics->routes;
	size_t c = 0;
	while (codes[c].code != code && c + 1 < API_CODES)
		c++;
	atomic_fetch_add_explicit(&metrics->codes[row][c], 1, memory_order_relaxed);
	if (route < metrics->routes)
		latency_observe(&metrics->latency[row], ns);
}

static void write_requests(struct prometheus *out, struct api_metrics *metrics)
{
	prometheus_family(out, "marquee_http_requests_total", PROMETHEUS_COUNTER,
		"Replies by path and code; what has no path of ours is 'other'.");
	for (size_t row = 0; row <= metrics->routes; row++)
		for (size_t c = 0; c < API_CODES; c++) {
			const uint64_t count =
				atomic_load_explicit(&metrics->codes[row][c], memory_order_relaxed);
			const struct prometheus_label labels[] = {
				{"path", row < metrics->routes ? metrics->paths[row] : "other"},
				{"code", codes[c].name}};
			if (count > 0)
				prometheus_count(out, labels, 2, count);
		}
	prometheus_family(out, "marquee_http_handler_seconds", PROMETHEUS_HISTOGRAM,
		"Time from a whole request to its reply being ready to be sent, by path.");
	for (size_t row = 0; row < metrics->routes; row++) {
		const struct prometheus_label label = {"path", metrics->paths[row]};
		prometheus_latency(out, &label, 1, &metrics->latency[row]);
	}
}

static void write_model(struct prometheus *out, struct served *served)
{
	const struct served_counts counts = served_count(served);
	struct lease lease;
	prometheus_family(out, "marquee_model_reloads_total", PROMETHEUS_COUNTER,
		"New models that were asked for, by what came of it.");
	prometheus_count(out, &(struct prometheus_label){"result", "served"}, 1, counts.reloads);
	prometheus_count(out, &(struct prometheus_label){"result", "refused"}, 1, counts.refusals);
	prometheus_family(out, "marquee_models_open", PROMETHEUS_GAUGE,
		"Models in memory: more than one while an old one still answers.");
	prometheus_number(out, NULL, 0, counts.open_models);
	served_take(served, &lease);
	const struct model_directory *directory = scorer_directory(lease.scorer);
	prometheus_family(out, "marquee_model_step", PROMETHEUS_GAUGE,
		"Training steps of the model that answers.");
	prometheus_number(out, NULL, 0, (double)directory->about.step);
	prometheus_family(
		out, "marquee_model_movies", PROMETHEUS_GAUGE, "Movies of the model that answers.");
	prometheus_number(out, NULL, 0, directory->catalog.movie_count);
	served_return(served, &lease);
}

enum status api_metrics_write(struct api_metrics *metrics, struct served *served, char **ret_text,
	size_t *ret_size, struct error *err)
{
	struct prometheus out;
	prometheus_init(&out);
	write_requests(&out, metrics);
	write_model(&out, served);
	prometheus_process(&out);
	return prometheus_finish(&out, ret_text, ret_size, err);
}
