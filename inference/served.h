/*
 * The model that is answered from, and its successor.
 *
 * A lease is one request's hold on the model of its moment, with a scorer for one thread. A new
 * model is opened and made ready beside the old one and takes its place between two leases; the old
 * one is closed with its last lease. What cannot be opened changes nothing.
 *
 * The model's path may be a link. The files behind an open model must not be overwritten in place,
 * they are mapped: export writes a new directory and renames it, a link can be renamed likewise.
 *
 * Threads: internally locked.
 */
#ifndef MARQUEE_INFERENCE_SERVED_H
#define MARQUEE_INFERENCE_SERVED_H

#include "inference/movie_index.h"
#include "inference/scorer.h"
#include "inference/seen.h"

#include <stdbool.h>

struct served;
struct served_model;

struct lease {
	struct scorer *scorer;	 /* borrowed until it is returned, as is */
	const struct seen *seen; /* NULL without a ratings file */
	struct served_model *model;
};

struct served_options {
	const char *path; /* of the model */
	const char
		*ratings; /* what users have seen; read again with every model; NULL: not known */
	enum index_choice index;
	uint32_t leases; /* at once, at most; an index is made with as many threads */
};

/* Opens the model. Borrows the paths for its life. */
MUST_CHECK enum status served_new(
	struct served **ret, const struct served_options *options, struct error *err);
/* All leases are back. NULL is fine. */
void served_free(struct served *served);

/* Waits while all leases are out. */
void served_take(struct served *served, struct lease *ret);
void served_return(struct served *served, struct lease *lease);

/* Opens what the path holds now, and serves it from then on. One thread at a time. */
MUST_CHECK enum status served_reload(struct served *served, struct error *err);
/* Whether the files at the path are others than at the last reload, whatever came of that. */
bool served_is_outdated(struct served *served);

struct served_counts {
	uint32_t open_models;	    /* more than one while leases of an old one are out */
	uint64_t reloads, refusals; /* calls of served_reload() that did, and did not, succeed */
};
struct served_counts served_count(struct served *served);

#endif
