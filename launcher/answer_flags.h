/*
 * The options that the commands which answer from a model directory have in common. Each function
 * gives one row for a table of flags, over a target of the caller's.
 *
 * Threads: no shared state.
 */
#ifndef MARQUEE_LAUNCHER_ANSWER_FLAGS_H
#define MARQUEE_LAUNCHER_ANSWER_FLAGS_H

#include "common/base/flags.h"
#include "inference/filter.h"
#include "launcher/answer.h"

#define TOP_DEFAULT 10

struct flag model_flag(const char **model);
struct flag json_flag(bool *json);
struct flag movie_flag(uint64_t *id);
struct flag top_flag(uint64_t *count);

/* Target starts as "auto". */
struct flag index_flag(const char **index);

/* Which movies may be named, as far as the commands share it. */
struct filter_flags {
	const char *genre, *years, *ids_file;
	bool include_untrained;
};

struct flag genre_flag(struct filter_flags *filter);
struct flag year_flag(struct filter_flags *filter);
struct flag ids_flag(struct filter_flags *filter);
struct flag include_untrained_flag(struct filter_flags *filter);
/* What can be said without the model. INVALID_ARGUMENT: a usage error. */
MUST_CHECK enum status filter_flags_check(const struct filter_flags *flags, struct error *err);
/* Reads the file of ids, too. */
MUST_CHECK enum status filter_flags_read(const struct filter_flags *flags,
	const struct catalog *catalog, struct movie_filter *ret, struct error *err);

/* Who is asked about: by id, or somebody new by the other three. who_check() checks what comes of
 * it. */
struct flag user_flag(struct who *who);
struct flag age_flag(struct who *who);
struct flag gender_flag(struct who *who);
struct flag occupation_flag(struct who *who);

#endif
