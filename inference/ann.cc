extern "C" {
#include "inference/ann.h"
#include "inference/search.h"
}

#include "inference/faiss_guard.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/index_io.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <omp.h>
#include <vector>

namespace
{

/* Chosen by measurement: docs/performance.md. */
constexpr int links = 16;
constexpr int build_effort = 16;
constexpr int kmeans_rounds = 10;
constexpr int vectors_per_centroid = 64;
constexpr uint32_t lists_effort = 32;
constexpr uint32_t graph_effort_least = 64, graph_effort_most = 512;
constexpr uint32_t vectors_per_effort = 5000; /* the larger a graph is, the more ways lead astray */

/* Debian builds FAISS for the oldest processors; most of a graph's time is in this product. */
struct product_computer : faiss::FlatCodesDistanceComputer {
	size_t dim;
	search_product_fn *product;
	const float *base, *query = nullptr;

	product_computer(const faiss::IndexFlat &flat)
	    : FlatCodesDistanceComputer(flat.codes.data(), flat.code_size),
	      dim(static_cast<size_t>(flat.d)), product(search_product()), base(flat.get_xb())
	{
	}
	void set_query(const float *x) override
	{
		query = x;
	}
	float distance_to_code(const uint8_t *code) override
	{
		return product(
			query, static_cast<const float *>(static_cast<const void *>(code)), dim);
	}
	float symmetric_dis(idx_t i, idx_t j) override
	{
		return product(base + static_cast<size_t>(i) * dim,
			base + static_cast<size_t>(j) * dim, dim);
	}
};

struct fast_flat : faiss::IndexFlatIP {
	using IndexFlatIP::IndexFlatIP;
	faiss::FlatCodesDistanceComputer *get_FlatCodesDistanceComputer() const override
	{
		return new product_computer(*this);
	}
};

/* A graph walks towards small distances. */
struct farther : faiss::DistanceComputer {
	product_computer inner;
	explicit farther(const faiss::IndexFlat &flat) : inner(flat)
	{
	}
	void set_query(const float *x) override
	{
		inner.set_query(x);
	}
	float operator()(idx_t i) override
	{
		return -inner(i);
	}
	float symmetric_dis(idx_t i, idx_t j) override
	{
		return -inner.symmetric_dis(i, j);
	}
};

} // namespace

struct ann {
	/* Immutable. One of the two. */
	std::unique_ptr<fast_flat> flat;
	std::unique_ptr<faiss::IndexHNSWFlat> graph; /* borrows flat */
	std::unique_ptr<faiss::IndexIVFFlat> lists;
	std::mutex lock;
	std::vector<std::unique_ptr<faiss::VisitedTable>> idle; /* lock: which searches gave back */
};

namespace
{

/* A search's marks of what it has seen; they are large, so they are kept. */
struct visited_lease {
	struct ann &ann;
	std::unique_ptr<faiss::VisitedTable> table;

	explicit visited_lease(struct ann &owner) : ann(owner)
	{
		std::lock_guard<std::mutex> guard(ann.lock);
		if (!ann.idle.empty()) {
			table = std::move(ann.idle.back());
			ann.idle.pop_back();
		} else {
			table = std::make_unique<faiss::VisitedTable>(
				static_cast<int>(ann.flat->ntotal));
		}
	}
	~visited_lease()
	{
		table->advance();
		std::lock_guard<std::mutex> guard(ann.lock);
		try {
			ann.idle.push_back(std::move(table));
		} catch (const std::bad_alloc &) { /* the next search makes another */
		}
	}
};

void build_graph(struct ann &ann, const float *vectors, uint32_t count, int dim)
{
	ann.flat = std::make_unique<fast_flat>(dim);
	/* Of this type, which is the one that has a file; with a storage of ours. */
	ann.graph = std::make_unique<faiss::IndexHNSWFlat>(dim, links, faiss::METRIC_INNER_PRODUCT);
	delete ann.graph->storage;
	ann.graph->own_fields = false;
	ann.graph->storage = ann.flat.get();
	ann.graph->hnsw.efConstruction = build_effort;
	ann.graph->add(count, vectors);
}

void build_lists(struct ann &ann, const float *vectors, uint32_t count, int dim)
{
	const auto lists = std::max<size_t>(1, static_cast<size_t>(2 * std::sqrt(count)));
	auto centroids = std::make_unique<faiss::IndexFlatIP>(dim);
	ann.lists = std::make_unique<faiss::IndexIVFFlat>(
		centroids.get(), dim, lists, faiss::METRIC_INNER_PRODUCT);
	ann.lists->own_fields = true;
	centroids.release();
	ann.lists->cp.niter = kmeans_rounds;
	ann.lists->cp.min_points_per_centroid = 1;
	ann.lists->cp.max_points_per_centroid = vectors_per_centroid;
	ann.lists->cp.spherical = true;
	ann.lists->train(count, vectors);
	ann.lists->add(count, vectors);
}

/* The first of FAISS's labels, which are -1 where nothing was found. */
void take_labels(
	const faiss::Index::idx_t *labels, size_t kept, size_t count, uint32_t *positions)
{
	size_t found = 0;
	for (size_t i = 0; i < kept && found < count; i++)
		if (labels[i] >= 0)
			positions[found++] = static_cast<uint32_t>(labels[i]);
	std::fill(positions + found, positions + count, ANN_NONE);
}

/* One query, with marks that are kept: FAISS's own search makes them anew for every call. */
void search_graph_once(
	struct ann &ann, const float *query, uint32_t effort, uint32_t count, uint32_t *positions)
{
	/* FAISS keeps as many candidates as it is asked for, whatever the parameters say. */
	const uint32_t kept = std::max(effort, count);
	std::vector<float> distances(kept, HUGE_VALF);
	std::vector<faiss::Index::idx_t> labels(kept, -1);
	farther computer(*ann.flat);
	faiss::SearchParametersHNSW parameters;
	parameters.efSearch = static_cast<int>(kept);
	computer.set_query(query);
	visited_lease visited(ann);
	ann.graph->hnsw.search(computer, static_cast<int>(kept), labels.data(), distances.data(),
		*visited.table, &parameters);
	faiss::maxheap_reorder(kept, distances.data(), labels.data());
	take_labels(labels.data(), kept, count, positions);
}

/* FAISS's search of many queries on its threads. */
void search_batch(struct ann &ann, const float *queries, size_t query_count, uint32_t effort,
	uint32_t count, uint32_t *positions)
{
	const auto rows = static_cast<faiss::Index::idx_t>(query_count);
	const uint32_t kept = ann.graph ? std::max(effort, count) : count;
	std::vector<float> products(query_count * kept);
	std::vector<faiss::Index::idx_t> labels(query_count * kept, -1);
	faiss::SearchParametersHNSW of_graph;
	faiss::SearchParametersIVF of_lists;
	of_graph.efSearch = static_cast<int>(kept);
	of_lists.nprobe = effort;
	if (ann.graph)
		ann.graph->search(rows, queries, kept, products.data(), labels.data(), &of_graph);
	else
		ann.lists->search(rows, queries, kept, products.data(), labels.data(), &of_lists);
	for (size_t q = 0; q < query_count; q++)
		take_labels(labels.data() + q * kept, kept, count, positions + q * count);
}

/* What a file is said to hold, as our own types. */
enum status adopt(struct ann &ann, std::unique_ptr<faiss::Index> index, enum ann_kind kind,
	uint32_t count, int dim)
{
	if (index->ntotal != count || index->d != dim ||
		index->metric_type != faiss::METRIC_INNER_PRODUCT)
		return STATUS_DATA_LOSS;
	if (kind == ANN_IVF) {
		if (!dynamic_cast<faiss::IndexIVFFlat *>(index.get()))
			return STATUS_DATA_LOSS;
		ann.lists.reset(static_cast<faiss::IndexIVFFlat *>(index.release()));
		return STATUS_OK;
	}
	auto *graph = dynamic_cast<faiss::IndexHNSWFlat *>(index.get());
	auto *flat = graph ? dynamic_cast<faiss::IndexFlat *>(graph->storage) : nullptr;
	if (!flat || flat->ntotal != count || flat->d != dim)
		return STATUS_DATA_LOSS;
	ann.flat = std::make_unique<fast_flat>(dim);
	ann.flat->codes = std::move(flat->codes);
	ann.flat->ntotal = count;
	delete graph->storage;
	graph->own_fields = false;
	graph->storage = ann.flat.get();
	index.release();
	ann.graph.reset(graph);
	return STATUS_OK;
}

} // namespace

bool ann_is_built_in(void)
{
	return true;
}

enum status ann_build(struct ann **ret, enum ann_kind kind, const float *vectors, uint32_t count,
	size_t dim, uint32_t threads, struct error *err)
{
	/* Of this thread; searches have one thread each. */
	omp_set_num_threads(static_cast<int>(threads > 0 ? threads : 1));
	enum status status = faiss_guard("FAISS: an index", err, [&] {
		auto ann = std::make_unique<struct ann>();
		if (kind == ANN_HNSW)
			build_graph(*ann, vectors, count, static_cast<int>(dim));
		else
			build_lists(*ann, vectors, count, static_cast<int>(dim));
		*ret = ann.release();
		return STATUS_OK;
	});
	omp_set_num_threads(1);
	return status;
}

void ann_free(struct ann *ann)
{
	delete ann;
}

uint32_t ann_count(const struct ann *ann)
{
	return static_cast<uint32_t>(ann->graph ? ann->graph->ntotal : ann->lists->ntotal);
}

uint32_t ann_effort_default(const struct ann *ann)
{
	if (!ann->graph)
		return lists_effort;
	return std::min(
		graph_effort_most, graph_effort_least + ann_count(ann) / vectors_per_effort);
}

uint32_t ann_effort_max(const struct ann *ann)
{
	return ann->graph ? ann_count(ann) : static_cast<uint32_t>(ann->lists->nlist);
}

enum status ann_search(struct ann *ann, const float *queries, size_t query_count, uint32_t effort,
	uint32_t count, uint32_t threads, uint32_t *positions, struct error *err)
{
	if (query_count == 0 || count == 0)
		return STATUS_OK;
	omp_set_num_threads(static_cast<int>(threads > 0 ? threads : 1));
	enum status status = faiss_guard("FAISS: a search", err, [&] {
		if (ann->graph && query_count == 1)
			search_graph_once(*ann, queries, effort, count, positions);
		else
			search_batch(*ann, queries, query_count, effort, count, positions);
		return STATUS_OK;
	});
	omp_set_num_threads(1);
	return status;
}

enum status ann_write(const struct ann *ann, const char *path, struct error *err)
{
	const faiss::Index *index = ann->lists.get();
	return faiss_write(ann->graph ? ann->graph.get() : index, path, err);
}

enum status ann_read(struct ann **ret, enum ann_kind kind, const char *path, uint32_t count,
	size_t dim, struct error *err)
{
	return faiss_guard(path, err, [&] {
		auto ann = std::make_unique<struct ann>();
		std::unique_ptr<faiss::Index> index(faiss::read_index(path));
		if (adopt(*ann, std::move(index), kind, count, static_cast<int>(dim)) != STATUS_OK)
			return error_set(err, STATUS_DATA_LOSS,
				"%s: not the index of these %u movies", path, count);
		*ret = ann.release();
		return STATUS_OK;
	});
}
