/*
 * The index of a model's movies for approximate search: made, kept in the model directory, used.
 *
 * MODEL/movies.hnsw.index (or .ivf.index) is a file of FAISS's; movies.hnsw.json, which is sealed
 * and written last, says which model it belongs to and what its hash is. An index of another model,
 * or a damaged one, is not used.
 *
 * The index proposes, and what it proposes is filtered and scored by the search's own rule: scores
 * are those of exact search. Where it does not propose enough that passes it is asked for more, and
 * then all movies are searched exactly. So there are k results whenever k movies pass.
 *
 * An index is of the movies as they were exported. Those that were removed or updated since are
 * dropped from what it proposes, and those that were added or updated are all scored beside it.
 *
 * Threads: immutable after open; searches are internally synchronised.
 */
#ifndef MARQUEE_INFERENCE_MOVIE_INDEX_H
#define MARQUEE_INFERENCE_MOVIE_INDEX_H

#include "inference/scorer.h"
#include "inference/top_k.h"

struct movie_index;

enum index_choice {
	INDEX_AUTO, /* by the number of movies, see below; made when there is none */
	INDEX_FLAT, /* exact search */
	INDEX_HNSW, /* these: made when there is none */
	INDEX_IVF,
	INDEX_THERE, /* as INDEX_AUTO, but none is made: for who asks once */
};
#define INDEX_CHOICES "auto|flat|hnsw|ivf"

/*
 * INDEX_AUTO: below the first exact search takes some milliseconds; below the second a graph is
 * made, which answers fastest and takes two minutes of processor time at most; from there on lists,
 * which are made in an eighth of that. docs/performance.md has the figures.
 */
#define INDEX_GRAPH_FROM 100000u
#define INDEX_LISTS_FROM 500000u
/* What INDEX_AUTO and INDEX_THERE stand for with so many movies; others stand for themselves.
 * Without FAISS that is always INDEX_FLAT. */
enum index_choice index_choice_by_size(enum index_choice choice, uint32_t movies);

/* One of INDEX_CHOICES. */
enum index_choice index_choice_of(const char *name);

/*
 * With INDEX_AUTO and INDEX_THERE an index of the other kind serves, too, if it is there.
 *
 * Opens or makes the index of the scorer's model; *ret is NULL for exact search. A new one is
 * written beside the model; where that fails *ret_made has why, else it says what was made ("" :
 * nothing was). UNIMPLEMENTED: built without FAISS. The index borrows the scorer's directory.
 */
MUST_CHECK enum status movie_index_open(struct movie_index **ret, struct scorer *scorer,
	enum index_choice choice, uint32_t threads, char ret_made[ERROR_MESSAGE_SIZE],
	struct error *err);
/* NULL is fine. */
void movie_index_free(struct movie_index *index);

/*
 * As search_exact(), but what is found need not be the best, and complete[q] is false, and tops[q]
 * empty, where the index does not lead to as many as tops[q] takes. The queries are those of
 * MEASURE_SCORE or MEASURE_COSINE.
 */
MUST_CHECK enum status movie_index_search(struct movie_index *index, const float *queries,
	size_t query_count, const struct search_rule *rule, uint32_t threads, struct top_k *tops,
	bool *complete, struct error *err);

#endif
