/* What ann.h and faiss_index.h say, of a build without FAISS (MARQUEE_FAISS=OFF). */
#include "inference/ann.h"
#include "inference/faiss_index.h"

static enum status missing(struct error *err)
{
	return error_set(err, STATUS_UNIMPLEMENTED,
		"built without FAISS, which makes indexes: search with --index flat, leave faiss "
		"out "
		"of --format, or build with -DMARQUEE_FAISS=ON");
}

bool ann_is_built_in(void)
{
	return false;
}

enum status ann_build(struct ann **ret, enum ann_kind kind, const float *vectors, uint32_t count,
	size_t dim, uint32_t threads, struct error *err)
{
	(void)ret;
	(void)kind;
	(void)vectors;
	(void)count;
	(void)dim;
	(void)threads;
	return missing(err);
}

enum status ann_read(struct ann **ret, enum ann_kind kind, const char *path, uint32_t count,
	size_t dim, struct error *err)
{
	(void)ret;
	(void)kind;
	(void)path;
	(void)count;
	(void)dim;
	return missing(err);
}

enum status faiss_index_new_flat(
	struct faiss_index **ret, size_t dim, size_t capacity, struct error *err)
{
	(void)ret;
	(void)dim;
	(void)capacity;
	return missing(err);
}

/* There is none of either, so that nothing reaches what follows but NULL. */

void ann_free(struct ann *ann)
{
	(void)ann;
}

uint32_t ann_count(const struct ann *ann)
{
	(void)ann;
	return 0;
}

uint32_t ann_effort_default(const struct ann *ann)
{
	(void)ann;
	return 0;
}

uint32_t ann_effort_max(const struct ann *ann)
{
	(void)ann;
	return 0;
}

enum status ann_search(struct ann *ann, const float *queries, size_t query_count, uint32_t effort,
	uint32_t count, uint32_t threads, uint32_t *positions, struct error *err)
{
	(void)ann;
	(void)queries;
	(void)query_count;
	(void)effort;
	(void)count;
	(void)threads;
	(void)positions;
	return missing(err);
}

enum status ann_write(const struct ann *ann, const char *path, struct error *err)
{
	(void)ann;
	(void)path;
	return missing(err);
}

void faiss_index_free(struct faiss_index *index)
{
	(void)index;
}

enum status faiss_index_add(struct faiss_index *index, const float *vectors, const uint64_t *ids,
	size_t count, struct error *err)
{
	(void)index;
	(void)vectors;
	(void)ids;
	(void)count;
	return missing(err);
}

enum status faiss_index_search(const struct faiss_index *index, const float *queries, size_t count,
	size_t k, uint32_t threads, float *products, int64_t *ids, struct error *err)
{
	(void)index;
	(void)queries;
	(void)count;
	(void)k;
	(void)threads;
	(void)products;
	(void)ids;
	return missing(err);
}

enum status faiss_index_write(const struct faiss_index *index, const char *path, struct error *err)
{
	(void)index;
	(void)path;
	return missing(err);
}
