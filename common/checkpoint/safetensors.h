/*
 * safetensors files: a validating reader over a map, and a writer that streams.
 *
 * The file (docs/checkpoint.md): u64 little-endian length of the header, the header (a JSON object
 * from tensor name to {dtype, shape, data_offsets}, and optionally "__metadata__", a map of
 * strings), then the tensors' bytes, little-endian and row-major, without holes. Source: the format
 * description of github.com/huggingface/safetensors.
 *
 * The reader treats the file as hostile: nothing is believed before it is checked against the bytes
 * that are there, and a message names the file, the tensor and the reason. The writer orders the
 * tensors by falling element size behind a header padded to 8 bytes, so that every element is
 * aligned for the reader, which insists on it.
 *
 * Threads: a struct safetensors is immutable after open; a writer is owner-thread only.
 */
#ifndef MARQUEE_CHECKPOINT_SAFETENSORS_H
#define MARQUEE_CHECKPOINT_SAFETENSORS_H

#include "common/base/file.h"
#include "common/base/status.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define TENSOR_NAME_SIZE	64 /* with its terminator */
#define TENSOR_RANK_MAX		4u
#define TENSOR_ANY		UINT64_MAX /* in safetensors_expect: any size of this dimension */
#define SAFETENSORS_HEADER_MAX	((uint64_t)64 << 20)
#define SAFETENSORS_TENSORS_MAX ((size_t)1 << 16)

enum tensor_type {
	TENSOR_F32,
	TENSOR_U64,
	TENSOR_I64,
	TENSOR_U32,
	TENSOR_U16,
	TENSOR_U8,
	TENSOR_I8,
	TENSOR_BF16,
};

/* Bytes of one element. */
size_t tensor_type_size(enum tensor_type type);
/* "F32" and so on, as in the header. Static string. */
const char *tensor_type_name(enum tensor_type type);

/* What the header says of one tensor. */
struct tensor {
	char name[TENSOR_NAME_SIZE];
	enum tensor_type type;
	uint32_t rank;
	uint64_t shape[TENSOR_RANK_MAX];
	uint64_t offset;   /* bytes from the start of the data section */
	uint64_t size;	   /* bytes */
	const void *bytes; /* reader: into the map; writer: NULL */
};

/* What a manifest says of a file. */
struct file_stamp {
	uint64_t size; /* bytes */
	uint64_t xxh3; /* XXH3-64, seed 0, over the whole file */
};

/* An open file. */
struct safetensors {
	char path[PATH_SIZE];
	struct file_map map;
	struct tensor *tensors; /* in the order of their offsets */
	size_t count;
	json_t *metadata; /* object of strings, or NULL */
};

/* Maps and validates. On success the caller closes; on failure *ret is untouched. DATA_LOSS for
 * every kind of damage. */
MUST_CHECK enum status safetensors_open(
	struct safetensors *ret, const char *path, struct error *err);
/* Takes a zeroed struct. */
void safetensors_close(struct safetensors *file);

/* Borrowed until close; NULL when the file has no such tensor. */
const struct tensor *safetensors_find(const struct safetensors *file, const char *name);

/*
 * The tensor with this name, checked to have this type and shape (TENSOR_ANY matches any size).
 * DATA_LOSS naming file, tensor and difference otherwise.
 */
MUST_CHECK enum status safetensors_expect(const struct safetensors *file, const char *name,
	enum tensor_type type, uint32_t rank, const uint64_t *shape, const struct tensor **ret,
	struct error *err);

/* Borrowed until close; NULL when there is none. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* One tensor to be written. */
struct tensor_plan {
	char name[TENSOR_NAME_SIZE];
	enum tensor_type type;
	uint32_t rank;
	uint64_t shape[TENSOR_RANK_MAX];
};

struct tensor_metadata {
	const char *key;
	const char *value;
};

struct safetensors_writer;

/*
 * Creates the file (truncating one that is there), reserves its space where the file system can,
 * and writes the header. `plan` is copied, `metadata` (may be NULL with 0) borrowed for the call.
 * Tensors are named by their index in `plan` from here on. On failure the file is removed.
 */
MUST_CHECK enum status safetensors_writer_open(struct safetensors_writer **ret, const char *path,
	const struct tensor_plan *plan, size_t count, const struct tensor_metadata *metadata,
	size_t metadata_count, struct error *err);

/*
 * Writes bytes at `offset` (in bytes) of tensor number `tensor`. The sections may come in any
 * order, each byte once; in the order of the file (larger elements first, then as planned) they
 * are hashed on their way, and the file need not be read again for its stamp.
 */
MUST_CHECK enum status safetensors_writer_put(struct safetensors_writer *writer, size_t tensor,
	uint64_t offset, const void *bytes, uint64_t size, struct error *err);

/*
 * Takes the writer. Checks that every tensor is complete and returns the file's stamp (may be
 * NULL). The disk begins to take the file, but it is not durable before somebody syncs it: of many
 * files the owner waits for all in the end (manifest_sync_files()). On failure the file is removed.
 */
MUST_CHECK enum status safetensors_writer_close(
	struct safetensors_writer *writer, struct file_stamp *ret_stamp, struct error *err);
/* Takes the writer and removes the file. NULL is fine. */
void safetensors_writer_abandon(struct safetensors_writer *writer);

#endif
