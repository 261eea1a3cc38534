/*
 * Design notes. All messages lie in an arena and point to each other; constants point to the
 * caller's bytes, and protobuf-c hands those through to the file when it packs, so that a graph
 * costs the memory of its operators alone.
 */
#include "inference/onnx.h"

#include "common/base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <proto/onnx.pb-c.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IR_VERSION  8
#define OPSET	    17
#define ML_DOMAIN   "ai.onnx.ml"
#define ML_OPSET    3
#define NAME_SIZE   32u
#define INPUTS_MAX  8u
#define MESSAGE_MAX ((size_t)INT32_MAX)

/* Pointers to messages, as repeated fields have them. */
struct list {
	void **items;
	size_t count, capacity;
};

struct onnx_graph {
	struct arena arena;
	const char *name, *doc;
	struct list nodes, initializers, inputs, outputs;
	size_t names; /* given so far */
	bool uses_ml; /* the second operator set */
	bool no_memory;
};

enum status onnx_graph_new(
	struct onnx_graph **ret, const char *name, const char *doc, struct error *err)
{
	struct onnx_graph *graph;
	enum status status = memory_zalloc(&graph, 1, sizeof(*graph), name, err);
	if (status != STATUS_OK)
		return status;
	arena_init(&graph->arena);
	graph->name = name;
	graph->doc = doc;
	*ret = graph;
	return STATUS_OK;
}

void onnx_graph_free(struct onnx_graph *graph)
{
	if (!graph)
		return;
	free(graph->nodes.items);
	free(graph->initializers.items);
	free(graph->inputs.items);
	free(graph->outputs.items);
	arena_fini(&graph->arena);
	free(graph);
}

void *onnx_graph_alloc(struct onnx_graph *graph, size_t count, size_t size)
{
	void *memory = arena_alloc(&graph->arena, count, size);
	if (!memory)
		graph->no_memory = true;
	return memory;
}

/* A message, which is copied from its initial value; NULL when there is no memory. */
static void *new_message(struct onnx_graph *graph, const void *initial, size_t size)
{
	void *message = onnx_graph_alloc(graph, 1, size);
	return message ? memcpy(message, initial, size) : NULL;
}

static void append(struct onnx_graph *graph, struct list *list, void *message)
{
	if (message && memory_grow(&list->items, &list->capacity, list->count + 1,
			       sizeof(*list->items), "graph", NULL) == STATUS_OK)
		list->items[list->count++] = message;
	else
		graph->no_memory = true;
}

/* A name that no other value has. */
static char *new_name(struct onnx_graph *graph, const char *type)
{
	static char nothing[] = "";
	char *name = onnx_graph_alloc(graph, NAME_SIZE, 1);
	if (!name)
		return nothing;
	snprintf(name, NAME_SIZE, "%.20s_%zu", type, graph->names++);
	return name;
}

/* protobuf-c has no const texts; it does not write to them. */
static char *text(const char *constant)
{
	return (char *)constant;
}

static Onnx__TensorShapeProto *shape_of(struct onnx_graph *graph, const struct onnx_port *port)
{
	const Onnx__TensorShapeProto initial = ONNX__TENSOR_SHAPE_PROTO__INIT;
	Onnx__TensorShapeProto *shape = new_message(graph, &initial, sizeof(initial));
	Onnx__TensorShapeProto__Dimension **dims =
		onnx_graph_alloc(graph, ONNX_RANK_MAX, sizeof(*dims));
	if (!shape || !dims)
		return NULL;
	for (uint32_t d = 0; d < port->rank; d++) {
		Onnx__TensorShapeProto__Dimension dim = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT;
		if (port->dims[d].name) {
			dim.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
			dim.dim_param = text(port->dims[d].name);
		} else {
			dim.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
			dim.dim_value = port->dims[d].size;
		}
		dims[d] = new_message(graph, &dim, sizeof(dim));
		if (!dims[d])
			return NULL;
	}
	shape->n_dim = port->rank;
	shape->dim = dims;
	return shape;
}

static Onnx__ValueInfoProto *value_info(struct onnx_graph *graph, const struct onnx_port *port)
{
	Onnx__TypeProto__Tensor tensor = ONNX__TYPE_PROTO__TENSOR__INIT;
	Onnx__TypeProto type = ONNX__TYPE_PROTO__INIT;
	Onnx__ValueInfoProto info = ONNX__VALUE_INFO_PROTO__INIT;
	tensor.has_elem_type = true;
	tensor.elem_type = (int32_t)port->type;
	tensor.shape = shape_of(graph, port);
	type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	type.tensor_type = new_message(graph, &tensor, sizeof(tensor));
	info.name = text(port->name);
	info.doc_string = text(port->doc);
	info.type = new_message(graph, &type, sizeof(type));
	return new_message(graph, &info, sizeof(info));
}

const char *onnx_input(struct onnx_graph *graph, const struct onnx_port *port)
{
	append(graph, &graph->inputs, value_info(graph, port));
	return port->name;
}

void onnx_output(struct onnx_graph *graph, const struct onnx_port *port, const char *value)
{
	ONNX_OPERATOR(graph, "Identity", value);
	append(graph, &graph->outputs, value_info(graph, port));
	if (graph->no_memory)
		return;
	const Onnx__NodeProto *node = graph->nodes.items[graph->nodes.count - 1];
	node->output[0] = text(port->name);
}

static Onnx__StringStringEntryProto *entry(
	struct onnx_graph *graph, const char *key, const char *value)
{
	Onnx__StringStringEntryProto initial = ONNX__STRING_STRING_ENTRY_PROTO__INIT;
	initial.key = text(key);
	initial.value = text(value);
	return new_message(graph, &initial, sizeof(initial));
}

static char *number_text(struct onnx_graph *graph, uint64_t number)
{
	char *digits = onnx_graph_alloc(graph, NAME_SIZE, 1);
	if (digits)
		snprintf(digits, NAME_SIZE, "%" PRIu64, number);
	return digits;
}

static void point_to_file(
	struct onnx_graph *graph, Onnx__TensorProto *tensor, const struct onnx_data *data)
{
	Onnx__StringStringEntryProto **entries = onnx_graph_alloc(graph, 3, sizeof(*entries));
	if (!entries)
		return;
	entries[0] = entry(graph, "location", data->file);
	entries[1] = entry(graph, "offset", number_text(graph, data->offset));
	entries[2] = entry(graph, "length", number_text(graph, data->size));
	tensor->n_external_data = 3;
	tensor->external_data = entries;
	tensor->has_data_location = true;
	tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

const char *onnx_constant(struct onnx_graph *graph, const struct onnx_data *data)
{
	Onnx__TensorProto tensor = ONNX__TENSOR_PROTO__INIT;
	int64_t *dims = onnx_graph_alloc(graph, ONNX_RANK_MAX, sizeof(*dims));
	if (!dims)
		return "";
	memcpy(dims, data->dims, data->rank * sizeof(*dims));
	tensor.n_dims = data->rank;
	tensor.dims = dims;
	tensor.has_data_type = true;
	tensor.data_type = (int32_t)data->type;
	tensor.name = text(data->name);
	if (data->file) {
		point_to_file(graph, &tensor, data);
	} else {
		tensor.has_raw_data = true;
		tensor.raw_data = (ProtobufCBinaryData){data->size, (uint8_t *)data->bytes};
	}
	append(graph, &graph->initializers, new_message(graph, &tensor, sizeof(tensor)));
	return data->name;
}

/* A constant of numbers that are copied. */
static const char *copied_constant(struct onnx_graph *graph, enum onnx_type type, uint32_t rank,
	const void *values, size_t count, size_t size)
{
	void *copy = onnx_graph_alloc(graph, count, size);
	if (!copy)
		return "";
	memcpy(copy, values, count * size);
	return onnx_constant(graph, &(struct onnx_data){.name = new_name(graph, "constant"),
					    .type = type,
					    .rank = rank,
					    .dims = {(int64_t)count},
					    .bytes = copy,
					    .size = count * size});
}

const char *onnx_integers(struct onnx_graph *graph, const int64_t *values, size_t count)
{
	return copied_constant(graph, ONNX_INT64, 1, values, count, sizeof(*values));
}

const char *onnx_integer(struct onnx_graph *graph, int64_t value)
{
	return copied_constant(graph, ONNX_INT64, 0, &value, 1, sizeof(value));
}

const char *onnx_float(struct onnx_graph *graph, float value)
{
	return copied_constant(graph, ONNX_FLOAT, 0, &value, 1, sizeof(value));
}

const char *onnx_operator(struct onnx_graph *graph, const char *type, const char *const *inputs)
{
	Onnx__NodeProto node = ONNX__NODE_PROTO__INIT;
	node.name = new_name(graph, type);
	node.op_type = text(type);
	node.input = onnx_graph_alloc(graph, INPUTS_MAX, sizeof(char *));
	node.output = onnx_graph_alloc(graph, 1, sizeof(char *));
	if (!node.input || !node.output)
		return "";
	while (node.n_input < INPUTS_MAX && inputs[node.n_input]) {
		node.input[node.n_input] = text(inputs[node.n_input]);
		node.n_input++;
	}
	node.n_output = 1;
	node.output[0] = node.name;
	append(graph, &graph->nodes, new_message(graph, &node, sizeof(node)));
	return node.name;
}

/* The node that was added last; NULL when there is none for want of memory. */
static Onnx__NodeProto *last_node(struct onnx_graph *graph)
{
	return graph->no_memory ? NULL : graph->nodes.items[graph->nodes.count - 1];
}

void onnx_operator_is_ml(struct onnx_graph *graph)
{
	Onnx__NodeProto *node = last_node(graph);
	if (!node)
		return;
	node->domain = text(ML_DOMAIN);
	graph->uses_ml = true;
}

static void add_attribute(struct onnx_graph *graph, const Onnx__AttributeProto *attribute)
{
	Onnx__NodeProto *node = last_node(graph);
	if (!node)
		return;
	/* Few have more than one: all are moved to a longer array. */
	Onnx__AttributeProto **longer =
		onnx_graph_alloc(graph, node->n_attribute + 1, sizeof(*longer));
	Onnx__AttributeProto *copy = new_message(graph, attribute, sizeof(*attribute));
	if (!longer || !copy)
		return;
	for (size_t i = 0; i < node->n_attribute; i++)
		longer[i] = node->attribute[i];
	longer[node->n_attribute++] = copy;
	node->attribute = longer;
}

void onnx_attribute_integer(struct onnx_graph *graph, const char *name, int64_t value)
{
	Onnx__AttributeProto attribute = ONNX__ATTRIBUTE_PROTO__INIT;
	attribute.name = text(name);
	attribute.has_type = true;
	attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
	attribute.has_i = true;
	attribute.i = value;
	add_attribute(graph, &attribute);
}

void onnx_attribute_integers(
	struct onnx_graph *graph, const char *name, const int64_t *values, size_t count)
{
	Onnx__AttributeProto attribute = ONNX__ATTRIBUTE_PROTO__INIT;
	attribute.name = text(name);
	attribute.has_type = true;
	attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
	attribute.n_ints = count;
	attribute.ints = (int64_t *)values;
	add_attribute(graph, &attribute);
}

/* Where protobuf-c packs to. */
struct file_buffer {
	ProtobufCBuffer base; /* first: protobuf-c knows this part */
	FILE *file;
	int error_number; /* of the first write that failed */
};

static void append_to_file(ProtobufCBuffer *base, size_t size, const uint8_t *bytes)
{
	struct file_buffer *buffer = (struct file_buffer *)base;
	if (!buffer->error_number && fwrite(bytes, 1, size, buffer->file) != size)
		buffer->error_number = errno;
}

static enum status write_file(const Onnx__ModelProto *model, const char *path, struct error *err)
{
	struct file_buffer buffer = {.base = {append_to_file}, .file = fopen(path, "wbe")};
	enum status status = STATUS_OK;
	if (!buffer.file)
		return error_set_errno(err, errno, "%s", path);
	protobuf_c_message_pack_to_buffer(&model->base, &buffer.base);
	if (buffer.error_number)
		status = error_set_errno(err, buffer.error_number, "%s: write", path);
	else if (fflush(buffer.file) != 0 || fsync(fileno(buffer.file)) != 0)
		status = error_set_errno(err, errno, "%s: fsync", path);
	if (fclose(buffer.file) != 0 && status == STATUS_OK)
		status = error_set_errno(err, errno, "%s: close", path);
	return status;
}

enum status onnx_graph_write(const struct onnx_graph *graph, const char *path, struct error *err)
{
	Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
	Onnx__GraphProto message = ONNX__GRAPH_PROTO__INIT;
	Onnx__OperatorSetIdProto own = ONNX__OPERATOR_SET_ID_PROTO__INIT, ml = own;
	Onnx__OperatorSetIdProto *sets[] = {&own, &ml};
	if (graph->no_memory)
		return error_set(err, STATUS_RESOURCE_EXHAUSTED, "%s: no memory", path);
	own.domain = text("");
	own.has_version = ml.has_version = true;
	own.version = OPSET;
	ml.domain = text(ML_DOMAIN);
	ml.version = ML_OPSET;
	message.name = text(graph->name);
	message.doc_string = text(graph->doc);
	message.n_node = graph->nodes.count;
	message.node = (Onnx__NodeProto **)graph->nodes.items;
	message.n_initializer = graph->initializers.count;
	message.initializer = (Onnx__TensorProto **)graph->initializers.items;
	message.n_input = graph->inputs.count;
	message.input = (Onnx__ValueInfoProto **)graph->inputs.items;
	message.n_output = graph->outputs.count;
	message.output = (Onnx__ValueInfoProto **)graph->outputs.items;
	model.has_ir_version = true;
	model.ir_version = IR_VERSION;
	model.producer_name = text("marquee");
	model.graph = &message;
	model.n_opset_import = graph->uses_ml ? 2 : 1;
	model.opset_import = sets;
	const size_t size = protobuf_c_message_get_packed_size(&model.base);
	if (size > MESSAGE_MAX)
		return error_set(err, STATUS_OUT_OF_RANGE,
			"%s: would be %zu bytes, readers of ONNX take at most %zu", path, size,
			MESSAGE_MAX);
	return write_file(&model, path, err);
}
