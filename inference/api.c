#include "inference/api.h"

#include "common/base/memory.h"
#include "common/checkpoint/json_field.h"
#include "common/http/query.h"
#include "inference/answer.h"
#include "inference/api_metrics.h"
#include "inference/lookup.h"
#include "inference/recommend.h"
#include "inference/title_search.h"
#include "inference/web_files.h"
#include "inference/why.h"

#include <stdlib.h>
#include <string.h>

#define TOP_DEFAULT 10u

struct api {
	struct served *served;
	const char **paths; /* of the questions, then of the files; last the metrics' */
	struct api_metrics metrics;
};

/* A question to the model: what its handler needs, and what it answers. */
struct question {
	struct scorer *scorer;
	const struct catalog *catalog;
	const struct seen *seen; /* or NULL */
	const struct http_request *request;
	json_t *answer; /* owned */
};

typedef enum status answer_fn(struct question *question, struct error *err);

/* Answers from the model of this moment. */
static void reply_with(struct api *api, const struct http_request *request, answer_fn *answer,
	struct http_reply *reply)
{
	struct lease lease;
	struct error err = {0};
	served_take(api->served, &lease);
	struct question question = {.scorer = lease.scorer,
		.catalog = &scorer_directory(lease.scorer)->catalog,
		.seen = lease.seen,
		.request = request};
	enum status status = answer(&question, &err);
	served_return(api->served, &lease);
	if (status == STATUS_OK) {
		*reply = (struct http_reply){.code = 200, .type = "application/json"};
		reply->body = json_dumps(question.answer, JSON_COMPACT);
		if (!reply->body)
			status = error_set(
				&err, STATUS_RESOURCE_EXHAUSTED, "no memory for the answer");
	}
	json_decref(question.answer);
	if (status != STATUS_OK)
		http_reply_error(reply, status, err.message);
	else
		reply->size = strlen(reply->body);
}

/* A file of inference/web/. */
static void reply_with_file(
	const struct web_file *file, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	enum status status = query_read(request, NULL, 0, &err);
	if (status != STATUS_OK)
		http_reply_error(reply, status, err.message);
	else
		*reply = (struct http_reply){
			.code = 200, .type = file->type, .file = file->bytes, .size = file->size};
}

#define WHO_FIELDS(who)                                                                            \
	{.name = "user",                                                                           \
		.kind = QUERY_U64,                                                                 \
		.target = &(who).user_id,                                                          \
		.max = UINT64_MAX,                                                                 \
		.given = &(who).has_user},                                                         \
		{.name = "age",                                                                    \
			.kind = QUERY_U64,                                                         \
			.target = &(who).age_years,                                                \
			.max = 200,                                                                \
			.given = &(who).has_age},                                                  \
		{.name = "gender", .kind = QUERY_TEXT, .target = &(who).gender},                   \
	{                                                                                          \
		.name = "occupation", .kind = QUERY_TEXT, .target = &(who).occupation              \
	}
#define MOVIE_FIELD(id)                                                                            \
	{                                                                                          \
		.name = "movie", .kind = QUERY_U64, .target = &(id), .max = UINT64_MAX,            \
		.required = true                                                                   \
	}
#define TOP_FIELD(count)                                                                           \
	{                                                                                          \
		.name = "k", .kind = QUERY_U64, .target = &(count), .min = 1, .max = API_TOP_MAX   \
	}
#define FILTER_FIELDS(text)                                                                        \
	{.name = "genre", .kind = QUERY_TEXT, .target = &(text).genre},                            \
		{.name = "year", .kind = QUERY_TEXT, .target = &(text).years},                     \
		{.name = "ids", .kind = QUERY_TEXT, .target = &(text).ids},                        \
	{                                                                                          \
		.name = "include_untrained", .kind = QUERY_BOOL,                                   \
		.target = &(text).include_untrained                                                \
	}
#define READ(question, fields, err)                                                                \
	query_read((question)->request, fields, sizeof(fields) / sizeof((fields)[0]), err)

/* Finds whom the question, which was read with `status`, is about: subject->vector is owned. */
static enum status find_who(struct question *question, enum status status, const struct who *who,
	struct subject *ret, struct error *err)
{
	if (status == STATUS_OK)
		status = who_check(who, err);
	return status == STATUS_OK ? subject_find(question->scorer, who, ret, err) : status;
}

/* What the user has seen, into *ret_marks, which the caller frees, for the filter. */
static enum status exclude_seen(struct question *question, const struct subject *subject,
	struct movie_filter *filter, uint8_t **ret_marks, struct error *err)
{
	if (!subject->known)
		return error_set(err, STATUS_INVALID_ARGUMENT, "exclude_seen needs user");
	if (!question->seen)
		return error_set(err, STATUS_INVALID_ARGUMENT,
			"exclude_seen: this server was not told what users have seen (--seen)");
	enum status status =
		memory_zalloc(ret_marks, question->catalog->movie_count, 1, "seen movies", err);
	if (status == STATUS_OK)
		seen_mark(question->seen, subject->user, *ret_marks);
	filter->excluded = *ret_marks;
	return status;
}

static enum status top_init(
	struct top_k *top, uint64_t count, const struct catalog *catalog, struct error *err)
{
	return top_k_init(top, count < catalog->movie_count ? count : catalog->movie_count, err);
}

static enum status recommend_answer(struct question *question, struct error *err)
{
	struct who who = {.dashes = ""};
	struct filter_text text = {0};
	uint64_t count = TOP_DEFAULT;
	struct subject subject = {0};
	struct movie_filter filter = {0};
	struct top_k top = {0};
	bool unseen = false;
	uint8_t *seen = NULL;
	const struct query_field fields[] = {WHO_FIELDS(who), FILTER_FIELDS(text),
		{.name = "exclude_seen", .kind = QUERY_BOOL, .target = &unseen}, TOP_FIELD(count)};
	enum status status = find_who(question, READ(question, fields, err), &who, &subject, err);
	if (status == STATUS_OK)
		status = movie_filter_init(&filter, question->catalog, &text, err);
	if (status == STATUS_OK && unseen)
		status = exclude_seen(question, &subject, &filter, &seen, err);
	if (status == STATUS_OK)
		status = top_init(&top, count, question->catalog, err);
	if (status == STATUS_OK)
		status = recommend(question->scorer, subject.vector, &filter, &top, err);
	if (status == STATUS_OK)
		question->answer = recommendations_to_json(question->scorer, &subject, &top);
	top_k_fini(&top);
	movie_filter_fini(&filter);
	free(seen);
	free(subject.vector);
	return status;
}

static enum status predict_answer(struct question *question, struct error *err)
{
	struct who who = {.dashes = ""};
	uint64_t movie = 0;
	struct subject subject = {0};
	struct prediction prediction;
	const struct query_field fields[] = {WHO_FIELDS(who), MOVIE_FIELD(movie)};
	enum status status = find_who(question, READ(question, fields, err), &who, &subject, err);
	if (status == STATUS_OK)
		status = predict(question->scorer, &subject, movie, &prediction, err);
	if (status == STATUS_OK)
		question->answer = prediction_to_json(question->scorer, &subject, &prediction);
	free(subject.vector);
	return status;
}

static enum status similar_answer(struct question *question, struct error *err)
{
	struct filter_text text = {0};
	uint64_t count = TOP_DEFAULT, id = 0;
	uint32_t movie = 0;
	struct movie_filter filter = {0};
	struct top_k top = {0};
	const struct query_field fields[] = {
		MOVIE_FIELD(id), FILTER_FIELDS(text), TOP_FIELD(count)};
	enum status status = READ(question, fields, err);
	if (status == STATUS_OK)
		status = lookup_movie(question->catalog, id, &movie, err);
	if (status == STATUS_OK)
		status = movie_filter_init(&filter, question->catalog, &text, err);
	if (status == STATUS_OK)
		status = top_init(&top, count, question->catalog, err);
	if (status == STATUS_OK)
		status = similar(question->scorer, movie, &filter, &top, err);
	if (status == STATUS_OK)
		question->answer = similar_to_json(question->catalog, movie, &top);
	top_k_fini(&top);
	movie_filter_fini(&filter);
	return status;
}

static enum status why_recommended_answer(struct question *question, struct error *err)
{
	struct who who = {.dashes = ""};
	uint64_t movie = 0;
	struct subject subject = {0};
	const struct query_field fields[] = {WHO_FIELDS(who), MOVIE_FIELD(movie)};
	enum status status = find_who(question, READ(question, fields, err), &who, &subject, err);
	if (status == STATUS_OK)
		status = why_recommended(question->scorer, &subject, movie, &question->answer, err);
	free(subject.vector);
	return status;
}

static enum status why_similar_answer(struct question *question, struct error *err)
{
	uint64_t movie = 0, like = 0;
	const struct query_field fields[] = {MOVIE_FIELD(movie), {.name = "like",
									 .kind = QUERY_U64,
									 .target = &like,
									 .max = UINT64_MAX,
									 .required = true}};
	enum status status = READ(question, fields, err);
	if (status == STATUS_OK)
		status = why_similar(question->scorer, movie, like, &question->answer, err);
	return status;
}

/* {"total": .., "movies": [{"id": .., "title": .., "genres": .., "year": ..}]} */
static enum status movies_answer(struct question *question, struct error *err)
{
	struct filter_text text = {0};
	const char *words = NULL;
	uint64_t count = TOP_DEFAULT;
	struct movie_filter filter = {0};
	uint32_t found[API_TOP_MAX];
	const struct query_field fields[] = {{.name = "q", .kind = QUERY_TEXT, .target = &words},
		{.name = "genre", .kind = QUERY_TEXT, .target = &text.genre},
		{.name = "year", .kind = QUERY_TEXT, .target = &text.years}, TOP_FIELD(count)};
	enum status status = READ(question, fields, err);
	if (status == STATUS_OK)
		status = movie_filter_init(&filter, question->catalog, &text, err);
	if (status != STATUS_OK)
		return status;
	const size_t total = title_search(question->catalog, words, &filter, found, count);
	json_t *list = json_array();
	for (size_t i = 0; i < total && i < count; i++) {
		json_t *movie = json_object();
		const uint32_t year = movie_year(question->catalog, found[i]);
		movie_add_json(question->catalog, found[i], "id", movie);
		json_object_set_new(movie, "year", year ? json_integer(year) : json_null());
		json_array_append_new(list, movie);
	}
	question->answer = json_pack("{s:I, s:o}", "total", (json_int_t)total, "movies", list);
	movie_filter_fini(&filter);
	return STATUS_OK;
}

static json_t *names_to_json(const struct vocabulary *names)
{
	json_t *list = json_array();
	for (uint32_t i = 0; i < names->count; i++)
		json_array_append_new(list, json_string(vocabulary_entry(names, i)));
	return list;
}

/* What a form for questions needs to know, and which model this is. */
static enum status model_answer(struct question *question, struct error *err)
{
	const struct model_directory *directory = scorer_directory(question->scorer);
	const struct catalog *catalog = question->catalog;
	uint32_t first_year = 0, last_year = 0;
	json_t *ages = json_array();
	enum status status = query_read(question->request, NULL, 0, err);
	for (uint32_t m = 0; m < catalog->movie_count; m++) {
		const uint32_t year = movie_year(catalog, m);
		first_year = year && (!first_year || year < first_year) ? year : first_year;
		last_year = year > last_year ? year : last_year;
	}
	for (uint8_t a = 0; a < AGE_BUCKET_COUNT; a++)
		json_array_append_new(ages, json_pack("{s:i, s:s}", "age", (int)age_buckets[a],
						    "name", age_bucket_name(a)));
	question->answer = json_pack("{s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "step",
		json_from_u64(directory->about.step), "test_rmse",
		json_from_optional_double(directory->about.test_rmse), "digest",
		directory->about.digest, "users", (json_int_t)catalog->user_count, "movies",
		(json_int_t)catalog->movie_count, "first_year", (json_int_t)first_year, "last_year",
		(json_int_t)last_year, "ages", ages, "occupations",
		names_to_json(&catalog->occupation_names), "genres",
		names_to_json(&catalog->genres));
	return status;
}

static enum status health_answer(struct question *question, struct error *err)
{
	question->answer = json_pack("{s:s}", "status", "ok");
	return query_read(question->request, NULL, 0, err);
}

static const struct {
	const char *path;
	answer_fn *answer;
} questions[] = {
	{"/v1/recommend", recommend_answer},
	{"/v1/recommend/why", why_recommended_answer},
	{"/v1/predict", predict_answer},
	{"/v1/similar", similar_answer},
	{"/v1/similar/why", why_similar_answer},
	{"/v1/movies", movies_answer},
	{"/v1/model", model_answer},
	{"/healthz", health_answer},
};
enum { QUESTIONS = sizeof(questions) / sizeof(questions[0]) };
#define ROUTES (QUESTIONS + web_file_count + 1)

static void reply_with_metrics(
	struct api *api, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	enum status status = query_read(request, NULL, 0, &err);
	if (status == STATUS_OK)
		status = api_metrics_write(
			&api->metrics, api->served, &reply->body, &reply->size, &err);
	if (status != STATUS_OK) {
		http_reply_error(reply, status, err.message);
		return;
	}
	reply->code = 200;
	reply->type = PROMETHEUS_TYPE;
}

static void count(void *context, size_t route, unsigned int code, uint64_t ns)
{
	struct api *api = context;
	api_metrics_count(&api->metrics, route, code, ns);
}

static void handle(
	void *context, size_t route, const struct http_request *request, struct http_reply *reply)
{
	struct api *api = context;
	if (route < QUESTIONS)
		reply_with(api, request, questions[route].answer, reply);
	else if (route == QUESTIONS + web_file_count)
		reply_with_metrics(api, request, reply);
	else
		reply_with_file(&web_files[route - QUESTIONS], request, reply);
}

enum status api_new(struct api **ret, struct served *served, struct error *err)
{
	struct api *api;
	enum status status = memory_zalloc(&api, 1, sizeof(*api), "API", err);
	if (status != STATUS_OK)
		return status;
	api->served = served;
	status = memory_alloc(&api->paths, ROUTES, sizeof(*api->paths), "paths", err);
	if (status != STATUS_OK) {
		free(api);
		return status;
	}
	for (size_t q = 0; q < QUESTIONS; q++)
		api->paths[q] = questions[q].path;
	for (size_t f = 0; f < web_file_count; f++)
		api->paths[QUESTIONS + f] = web_files[f].path;
	api->paths[QUESTIONS + web_file_count] = "/metrics";
	status = api_metrics_init(&api->metrics, api->paths, ROUTES, err);
	if (status != STATUS_OK)
		api_free(api);
	else
		*ret = api;
	return status;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	api_metrics_fini(&api->metrics);
	free(api->paths);
	free(api);
}

void api_routes(struct api *api, struct http_options *options)
{
	options->paths = api->paths;
	options->route_count = ROUTES;
	options->context = api;
	options->handle = handle;
	options->done = count;
}
