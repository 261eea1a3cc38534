/*
 * Why a movie is recommended, or like another: what the answer would be without each feature.
 *
 * A feature is taken away and the towers are asked again: a movie without its genres, without the
 * words of its title, or with the unknown row in its own one's place (what ratings taught about
 * this movie alone); a user likewise, and one whose gender, age or occupation is unknown counts as
 * the mean over all values. What features say together is in none of them, so the differences need
 * not sum to the whole.
 *
 * JSON objects are owned by the caller. Threads: as the scorer.
 */
#ifndef MARQUEE_INFERENCE_WHY_H
#define MARQUEE_INFERENCE_WHY_H

#include "inference/answer.h"

/*
 * *ret: {"movie": .., "title": .., "genres": .., "stars": .., "features": [{"of": "user" or
 * "movie", "feature": .., "without": the stars without it}]}, the feature that raises the stars
 * most first.
 */
MUST_CHECK enum status why_recommended(struct scorer *scorer, const struct subject *subject,
	uint64_t movie_id, json_t **ret, struct error *err);

/*
 * *ret: {"movie": .., "title": .., "genres": .., "like": the other's id, "similarity": ..,
 * "shared_genres": [..], "shared_words": [..], "features": as above, with the similarity that is
 * left when the movie lacks the feature}.
 */
MUST_CHECK enum status why_similar(struct scorer *scorer, uint64_t movie_id, uint64_t like_id,
	json_t **ret, struct error *err);

#endif
