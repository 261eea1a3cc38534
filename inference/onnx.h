/*
 * ONNX files: a graph is built operator by operator and written as proto/onnx.proto, the part of
 * ONNX's schema that is needed.
 *
 * A value of the graph is known by its name: inputs, constants and operators return it, operators
 * and outputs take it. Names are borrowed from the graph. When memory is refused, the calls that
 * build return the empty name and go on; onnx_graph_write() says it then.
 *
 * Source: github.com/onnx/onnx (docs/IR.md, docs/Operators.md), IR version 8, operator set 17.
 * Threads: owner-thread only.
 */
#ifndef MARQUEE_INFERENCE_ONNX_H
#define MARQUEE_INFERENCE_ONNX_H

#include "common/base/status.h"

#include <stddef.h>
#include <stdint.h>

#define ONNX_RANK_MAX 3u

/* ONNX's numbers. */
enum onnx_type {
	ONNX_FLOAT = 1,
	ONNX_INT8 = 3,
	ONNX_INT64 = 7,
	ONNX_BOOL = 9,
	ONNX_BFLOAT16 = 16,
};

struct onnx_graph;

/* Borrows name and doc for the graph's life, as every call here does with texts. */
MUST_CHECK enum status onnx_graph_new(
	struct onnx_graph **ret, const char *name, const char *doc, struct error *err);
/* NULL is fine. */
void onnx_graph_free(struct onnx_graph *graph);
/* Memory that lives as long as the graph; NULL when it is refused. */
void *onnx_graph_alloc(struct onnx_graph *graph, size_t count, size_t size);

/* An input or output of the graph. Dimensions are numbers or, with a name, free: all of one name
 * are the same number. */
struct onnx_port {
	const char *name, *doc;
	enum onnx_type type;
	uint32_t rank;
	struct onnx_dim {
		const char *name; /* NULL: size is fixed */
		int64_t size;
	} dims[ONNX_RANK_MAX];
};

const char *onnx_input(struct onnx_graph *graph, const struct onnx_port *port);
void onnx_output(struct onnx_graph *graph, const struct onnx_port *port, const char *value);

/* A constant tensor, little-endian and row-major; its bytes are borrowed until the graph is written
 * or, with `file`, stay where they are: at `offset` of a file in the same folder. */
struct onnx_data {
	const char *name;
	enum onnx_type type;
	uint32_t rank;
	int64_t dims[ONNX_RANK_MAX];
	const void *bytes;
	uint64_t size; /* bytes */
	const char *file;
	uint64_t offset;
};

const char *onnx_constant(struct onnx_graph *graph, const struct onnx_data *data);
/* Copies of numbers, as a vector of `count`; of one number as a scalar. */
const char *onnx_integers(struct onnx_graph *graph, const int64_t *values, size_t count);
const char *onnx_integer(struct onnx_graph *graph, int64_t value);
const char *onnx_float(struct onnx_graph *graph, float value);

/* The first result of an operator; inputs end with NULL. Attributes are then given to the operator
 * that was added last. */
const char *onnx_operator(struct onnx_graph *graph, const char *type, const char *const *inputs);
#define ONNX_OPERATOR(graph, type, ...)                                                            \
	onnx_operator(graph, type, (const char *const[]){__VA_ARGS__, NULL})
/* Of another operator set than ONNX's own; only "ai.onnx.ml", version 3. */
void onnx_operator_is_ml(struct onnx_graph *graph);
void onnx_attribute_integer(struct onnx_graph *graph, const char *name, int64_t value);
/* Borrows the values until the graph is written. */
void onnx_attribute_integers(
	struct onnx_graph *graph, const char *name, const int64_t *values, size_t count);

/*
 * Writes a durable file, replacing one that is there. Needs no memory for the constants.
 * OUT_OF_RANGE when it would be larger than the 2 GiB that readers of protobuf take.
 */
MUST_CHECK enum status onnx_graph_write(
	const struct onnx_graph *graph, const char *path, struct error *err);

#endif
