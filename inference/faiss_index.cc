extern "C" {
#include "inference/faiss_index.h"
}

#include "inference/faiss_guard.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexIDMap.h>
#include <faiss/index_io.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <omp.h>
#include <unistd.h>

struct faiss_index {
	std::unique_ptr<faiss::Index> inner;
};

enum status faiss_index_new_flat(
	struct faiss_index **ret, size_t dim, size_t capacity, struct error *err)
{
	return faiss_guard("FAISS: a flat index", err, [&] {
		auto flat = std::make_unique<faiss::IndexFlatIP>(static_cast<int64_t>(dim));
		flat->codes.reserve(capacity * dim * sizeof(float));
		auto map = std::make_unique<faiss::IndexIDMap>(flat.get());
		map->own_fields = true;
		flat.release();
		map->id_map.reserve(capacity);
		*ret = new faiss_index{std::move(map)};
		return STATUS_OK;
	});
}

void faiss_index_free(struct faiss_index *index)
{
	delete index;
}

enum status faiss_index_add(struct faiss_index *index, const float *vectors, const uint64_t *ids,
	size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] > static_cast<uint64_t>(INT64_MAX))
			return error_set(err, STATUS_OUT_OF_RANGE,
				"id %" PRIu64 ": FAISS has ids below 2^63 only", ids[i]);
	return faiss_guard("FAISS: adding vectors", err, [&] {
		index->inner->add_with_ids(static_cast<int64_t>(count), vectors,
			reinterpret_cast<const int64_t *>(ids));
		return STATUS_OK;
	});
}

enum status faiss_index_search(const struct faiss_index *index, const float *queries, size_t count,
	size_t k, uint32_t threads, float *products, int64_t *ids, struct error *err)
{
	omp_set_num_threads(static_cast<int>(threads));
	return faiss_guard("FAISS: a search", err, [&] {
		index->inner->search(static_cast<int64_t>(count), queries, static_cast<int64_t>(k),
			products, ids);
		return STATUS_OK;
	});
}

enum status faiss_write(const faiss::Index *index, const char *path, struct error *err)
{
	FILE *file = fopen(path, "wbe");
	if (!file)
		return error_set_errno(err, errno, "%s", path);
	enum status status = faiss_guard(path, err, [&] {
		faiss::write_index(index, file);
		return STATUS_OK;
	});
	if (status == STATUS_OK && (fflush(file) != 0 || fsync(fileno(file)) != 0))
		status = error_set_errno(err, errno, "%s: fsync", path);
	if (fclose(file) != 0 && status == STATUS_OK)
		status = error_set_errno(err, errno, "%s: close", path);
	return status;
}

enum status faiss_index_write(const struct faiss_index *index, const char *path, struct error *err)
{
	return faiss_write(index->inner.get(), path, err);
}
