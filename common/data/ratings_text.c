/*
 * Design notes. The text is cut into pieces of RATINGS_LINE_MAX bytes; a line belongs to the piece
 * that it begins in. Each thread takes the next piece, reads and parses it, waits for its turn, and
 * hands the examples on. So nothing but the turn orders the threads, and the number of the first
 * line of a piece, which only messages need, is known when its turn comes.
 *
 * The file is read, not mapped: pages of a map would count as the process's memory, and one that is
 * cut short meanwhile would kill it.
 */
#include "common/data/ratings_text.h"

#include "common/base/memory.h"
#include "common/base/parallel.h"
#include "common/data/fast_line.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES RATINGS_LINE_MAX
/* The shortest line is 1<tab>1<tab>1<tab>1. */
#define PIECE_LINES_MAX (PIECE_BYTES / 8 + 1)
#define EXTENSION_BYTES ((size_t)4096)

/* One thread's piece at hand. */
struct piece {
	unsigned char *buffer;		/* [1 + 2 * PIECE_BYTES + FAST_LINE_PAD] */
	struct rating *examples;	/* [PIECE_LINES_MAX] */
	const unsigned char *begin;	/* its lines */
	const unsigned char *end;	/* behind the last line feed, or the text's end */
	const unsigned char *last_line; /* where a line that is too long begins; NULL: there is none
					 */
	size_t count;			/* examples */
};

struct text_job {
	/* immutable while threads run */
	const char *path;
	const struct catalog *catalog;
	const struct data_options *options;
	int descriptor;
	uint64_t end; /* of the text, without empty lines at its end */
	uint64_t piece_count;
	bool tabs;
	ratings_sink *sink;
	void *context;
	struct piece *pieces; /* [threads] */

	pthread_mutex_t lock;
	pthread_cond_t turn_changed;
	uint32_t members;   /* under the lock: who has taken one of `pieces` */
	uint64_t next;	    /* under the lock: the piece to take next */
	uint64_t turn;	    /* under the lock: the piece to hand on next */
	enum status status; /* under the lock: of the first piece that failed */
	struct error error;

	/* of the thread whose turn it is */
	uint64_t lines; /* before the piece */
	struct data_report *report;
};

static enum status identity_of(
	int descriptor, const char *path, struct file_identity *ret, struct error *err)
{
	struct stat info;
	int result = descriptor >= 0 ? fstat(descriptor, &info) : stat(path, &info);
	if (result != 0)
		return error_set_errno(err, errno, "%s", path);
	if (!S_ISREG(info.st_mode))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%s: not a regular file", path);
	ret->size = (uint64_t)info.st_size;
	ret->mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
	return STATUS_OK;
}

enum status file_identify(const char *path, struct file_identity *ret, struct error *err)
{
	return identity_of(-1, path, ret, err);
}

static enum status changed(const struct text_job *job, struct error *err)
{
	return error_set(err, STATUS_ABORTED, "%s: changed while it was read", job->path);
}

/* ---- reading a piece ---- */

static enum status read_exactly(const struct text_job *job, unsigned char *bytes, size_t size,
	uint64_t offset, struct error *err)
{
	size_t got;
	enum status status =
		file_read_at(job->descriptor, bytes, size, offset, job->path, &got, err);
	return status == STATUS_OK && got != size ? changed(job, err) : status;
}

/*
 * Reads on behind the piece, which ends at `used` of the buffer and `offset` of the file, until its
 * last line ends or is too long.
 */
static enum status extend(const struct text_job *job, struct piece *piece, size_t used,
	uint64_t offset, struct error *err)
{
	const unsigned char *feed = NULL;
	const unsigned char *before =
		memrchr(piece->begin, '\n', (size_t)(piece->buffer + used - piece->begin));
	const unsigned char *last = before ? before + 1 : piece->begin;
	for (size_t more = 0; !feed && more < PIECE_BYTES && offset < job->end;) {
		uint64_t left = job->end - offset;
		size_t size = left < EXTENSION_BYTES ? (size_t)left : EXTENSION_BYTES;
		enum status status = read_exactly(job, piece->buffer + used, size, offset, err);
		if (status != STATUS_OK)
			return status;
		feed = memchr(piece->buffer + used, '\n', size);
		used += size;
		offset += size;
		more += size;
	}
	piece->end = feed ? feed + 1 : piece->buffer + used;
	const unsigned char *stop = feed ? feed : piece->end;
	if ((size_t)(stop - last) > RATINGS_LINE_MAX)
		piece->last_line = last;
	return STATUS_OK;
}

static enum status read_piece(
	const struct text_job *job, uint64_t index, struct piece *piece, struct error *err)
{
	const uint64_t first = index * PIECE_BYTES;
	const uint64_t left = job->end - first;
	/* One byte more in front says whether a line begins right here. */
	const size_t lead = first > 0;
	const size_t size = lead + (left < PIECE_BYTES ? (size_t)left : PIECE_BYTES);
	const uint64_t stop = first - lead + size;
	enum status status = read_exactly(job, piece->buffer, size, first - lead, err);
	if (status != STATUS_OK)
		return status;
	piece->begin = piece->buffer;
	piece->end = piece->buffer + size;
	piece->last_line = NULL;
	if (lead) {
		const unsigned char *feed = memchr(piece->buffer, '\n', size);
		piece->begin = feed ? feed + 1 : piece->end;
	}
	if (piece->begin < piece->end && piece->end[-1] != '\n' && stop < job->end)
		status = extend(job, piece, size, stop, err);
	/* The last line of a file may have no line feed; and what is looked at behind it is
	 * nothing.
	 */
	unsigned char *behind = piece->buffer + (piece->end - piece->buffer);
	memset(behind, 0, FAST_LINE_PAD);
	behind[0] = '\n';
	return status;
}

/* ---- parsing a piece of good lines ---- */

/*
 * False when there is a bad line. Where the next line begins is looked up first, so that the
 * processor can start on it while it still works on this one.
 */
static bool parse_piece(const struct text_job *job, struct piece *piece)
{
	struct fast_user memo = {UINT64_MAX, UINT32_MAX};
	struct rating *example = piece->examples;
	const unsigned char *feed;
	if (piece->last_line)
		return false;
	for (const unsigned char *at = piece->begin; at < piece->end; at = feed + 1) {
		feed = fast_feed(at);
		if (!fast_line(job->catalog, job->tabs, &memo, at, feed, example)) {
			size_t size = (size_t)(feed - at);
			size -= size > 0 && feed[-1] == '\r';
			if (!ratings_parse_line(job->catalog,
				    (struct text){.bytes = at, .size = size}, job->tabs, example))
				return false;
		}
		example++;
	}
	piece->count = (size_t)(example - piece->examples);
	return true;
}

/* ---- in turn ---- */

/* The piece once more, line by line, with all that there is to say about it. */
static enum status read_with_care(struct text_job *job, struct piece *piece, struct error *err)
{
	struct ratings_reader reader = {
		.catalog = job->catalog,
		.options = job->options,
		.report = job->report,
		.lines = {.path = job->path,
			.cursor = piece->begin,
			.end = piece->last_line ? piece->last_line : piece->end,
			.number = job->lines},
		.tabs = job->tabs,
	};
	enum status status = STATUS_OK;
	bool done = false;
	for (piece->count = 0; status == STATUS_OK && !done; piece->count += !done)
		status = ratings_reader_next(&reader, &piece->examples[piece->count], &done, err);
	if (piece->last_line && status == STATUS_OK) {
		reader.lines.number++;
		status = ratings_reader_reject(&reader,
			(struct text){.bytes = piece->last_line, .size = RATINGS_LINE_MAX},
			"the line is too long", err);
	}
	job->lines = reader.lines.number;
	return status;
}

static enum status hand_on(struct text_job *job, struct piece *piece, bool clean, struct error *err)
{
	enum status status = STATUS_OK;
	if (clean)
		job->lines += piece->count;
	else
		status = read_with_care(job, piece, err);
	if (status == STATUS_OK && piece->count > 0)
		status = job->sink(job->context, piece->examples, piece->count, err);
	return status;
}

/* Waits for the turn of the piece; the lock is held on return. */
static void wait_for_turn(struct text_job *job, uint64_t index)
{
	pthread_mutex_lock(&job->lock);
	while (job->turn != index)
		pthread_cond_wait(&job->turn_changed, &job->lock);
}

static void work(void *context)
{
	struct text_job *job = context;
	pthread_mutex_lock(&job->lock);
	struct piece *piece = &job->pieces[job->members++];
	while (job->status == STATUS_OK && job->next < job->piece_count) {
		const uint64_t index = job->next++;
		struct error error;
		pthread_mutex_unlock(&job->lock);
		enum status status = read_piece(job, index, piece, &error);
		bool clean = status == STATUS_OK && parse_piece(job, piece);
		wait_for_turn(job, index);
		if (job->status == STATUS_OK && status == STATUS_OK) {
			pthread_mutex_unlock(&job->lock);
			status = hand_on(job, piece, clean, &error);
			pthread_mutex_lock(&job->lock);
		}
		if (job->status == STATUS_OK && status != STATUS_OK) {
			job->status = status;
			job->error = error;
		}
		job->turn = index + 1;
		pthread_cond_broadcast(&job->turn_changed);
	}
	pthread_mutex_unlock(&job->lock);
}

/* ---- the whole file ---- */

static enum status find_end(struct text_job *job, uint64_t size, struct error *err)
{
	unsigned char bytes[EXTENSION_BYTES];
	for (job->end = size; job->end > 0;) {
		size_t some = job->end < sizeof(bytes) ? (size_t)job->end : sizeof(bytes);
		size_t left = some;
		enum status status = read_exactly(job, bytes, some, job->end - some, err);
		if (status != STATUS_OK)
			return status;
		while (left > 0 && (bytes[left - 1] == '\n' || bytes[left - 1] == '\r'))
			left--;
		job->end -= some - left;
		if (left > 0)
			break;
	}
	job->piece_count = (job->end + PIECE_BYTES - 1) / PIECE_BYTES;
	return STATUS_OK;
}

static enum status find_separator(struct text_job *job, struct error *err)
{
	unsigned char *bytes;
	size_t size = job->end < RATINGS_LAYOUT_BYTES ? (size_t)job->end : RATINGS_LAYOUT_BYTES;
	enum status status = memory_alloc(&bytes, size, 1, "text", err);
	if (status != STATUS_OK)
		return status;
	status = read_exactly(job, bytes, size, 0, err);
	if (status == STATUS_OK)
		job->tabs =
			ratings_has_tabs(job->catalog, (struct text){.bytes = bytes, .size = size});
	free(bytes);
	return status;
}

static enum status open_pieces(struct text_job *job, uint32_t count, struct error *err)
{
	enum status status = memory_zalloc(&job->pieces, count, sizeof(*job->pieces), "text", err);
	for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
		struct piece *piece = &job->pieces[i];
		status = memory_alloc(
			&piece->buffer, 1 + 2 * PIECE_BYTES + FAST_LINE_PAD, 1, "text", err);
		if (status == STATUS_OK)
			status = memory_alloc(&piece->examples, PIECE_LINES_MAX,
				sizeof(*piece->examples), "examples", err);
	}
	return status;
}

static enum status read_pieces(struct text_job *job, uint32_t threads, struct error *err)
{
	if (threads > PARALLEL_MEMBERS_MAX)
		threads = PARALLEL_MEMBERS_MAX;
	if (threads > job->piece_count)
		threads = (uint32_t)job->piece_count;
	if (threads < 1)
		threads = 1;
	enum status status = open_pieces(job, threads, err);
	if (status == STATUS_OK) {
		pthread_mutex_init(&job->lock, NULL);
		pthread_cond_init(&job->turn_changed, NULL);
		parallel_run(threads, work, job);
		pthread_cond_destroy(&job->turn_changed);
		pthread_mutex_destroy(&job->lock);
		status = job->status;
		if (status != STATUS_OK)
			error_set(err, status, "%s", job->error.message);
	}
	for (uint32_t i = 0; job->pieces && i < threads; i++) {
		free(job->pieces[i].buffer);
		free(job->pieces[i].examples);
	}
	free(job->pieces);
	return status;
}

enum status ratings_text_read(const char *path, const struct catalog *catalog,
	const struct data_options *options, uint32_t threads, ratings_sink *sink, void *context,
	struct data_report *report, struct file_identity *ret, struct error *err)
{
	struct file_identity identity, afterwards;
	struct text_job job = {.path = path,
		.catalog = catalog,
		.options = options,
		.sink = sink,
		.context = context,
		.report = report};
	job.descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (job.descriptor < 0)
		return error_set_errno(err, errno, "%s", path);
	enum status status = identity_of(job.descriptor, path, &identity, err);
	if (status == STATUS_OK)
		status = find_end(&job, identity.size, err);
	if (status == STATUS_OK)
		status = find_separator(&job, err);
	if (status == STATUS_OK)
		status = read_pieces(&job, threads, err);
	if (status == STATUS_OK)
		status = identity_of(job.descriptor, path, &afterwards, err);
	if (status == STATUS_OK &&
		(afterwards.size != identity.size || afterwards.mtime_ns != identity.mtime_ns))
		status = changed(&job, err);
	close(job.descriptor);
	if (status == STATUS_OK)
		*ret = identity;
	return status;
}
