#include "common/data/ratings_cache.h"

#include "common/base/clock.h"
#include "common/base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* The coarsest clock that files get their times from ticks 100 times a second. */
#define TICK_NS 10000000
#define POLL_NS 5000000

struct opening {
	const struct ratings_cache *cache;
	struct file_identity source; /* the text as it is now */
	char directory[PATH_SIZE];   /* where the cache is to be */
	char path[PATH_SIZE];	     /* of the cache */
	char partial[PATH_SIZE];     /* where it is written, which is also the lock */
	uint64_t refused_inode;	     /* of a cache that was not usable; 0: none */
	char refusal[ERROR_MESSAGE_SIZE];
	char *note;
};

/* ---- where it is ---- */

/* Beside the text under its name; elsewhere, texts of several directories must not meet. */
static enum status find_place(struct opening *opening, struct error *err)
{
	const char *text = opening->cache->path, *chosen = opening->cache->options->directory;
	const char *slash = strrchr(text, '/');
	const char *text_name = slash ? slash + 1 : text;
	char name[NAME_MAX + 64];
	enum status status = STATUS_OK;
	if (chosen) {
		char *full = realpath(text, NULL);
		const char *known = full ? full : text;
		snprintf(name, sizeof(name), "%.255s-%016llx.cache", text_name,
			(unsigned long long)hash_bytes(known, strlen(known), 0));
		free(full);
		snprintf(opening->directory, PATH_SIZE, "%s", chosen);
		status = directory_create(chosen, err);
	} else {
		snprintf(name, sizeof(name), "%.255s.cache", text_name);
		snprintf(opening->directory, PATH_SIZE, "%.*s",
			slash > text ? (int)(slash - text) : 1, slash ? text : ".");
	}
	if (status == STATUS_OK)
		status = path_join(opening->path, opening->directory, name, err);
	if (status == STATUS_OK)
		snprintf(name + strlen(name), sizeof(name) - strlen(name), ".partial");
	return status == STATUS_OK ? path_join(opening->partial, opening->directory, name, err)
				   : status;
}

/* A directory that nobody may write to is to stay as it is, whatever root may do. */
static enum status check_writable(const char *directory, struct error *err)
{
	struct stat info;
	if (stat(directory, &info) != 0)
		return error_set_errno(err, errno, "%s", directory);
	if ((info.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0)
		return error_set(err, STATUS_PERMISSION_DENIED, "%s is read-only", directory);
	return STATUS_OK;
}

/* ---- reading one ---- */

static enum status check_origin(
	const struct opening *opening, const struct ratings_file *file, struct error *err)
{
	const struct ratings_origin *origin = &file->origin;
	if (origin->source.size != opening->source.size ||
		origin->source.mtime_ns != opening->source.mtime_ns)
		return error_set(err, STATUS_FAILED_PRECONDITION, "%s has changed since",
			opening->cache->path);
	if (origin->catalog != ratings_catalog_hash(opening->cache->catalog))
		return error_set(err, STATUS_FAILED_PRECONDITION, "users or movies are others");
	if (origin->skipped.skipped_lines && !opening->cache->lines->skip_bad_lines)
		return error_set(err, STATUS_FAILED_PRECONDITION, "bad lines were left out of it");
	if (file->count == 0)
		return error_set(err, STATUS_DATA_LOSS, "%s: no ratings", file->path);
	return STATUS_OK;
}

static enum status check_all(
	const struct opening *opening, struct ratings_file *file, struct error *err)
{
	const struct ratings_cache *cache = opening->cache;
	enum status status = cache->begin(cache->context, file, err);
	if (status == STATUS_OK)
		status = ratings_file_check(file, cache->catalog, cache->options->threads,
			cache->visit, cache->context, err);
	return status;
}

/* Takes the cache that is there. When it does not, opening->refusal says why, if there was one. */
static bool take_existing(struct opening *opening, struct ratings_file *ret)
{
	struct error error;
	struct stat info;
	/* Not to be kept waiting by whatever else may lie there. */
	int descriptor = open(opening->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (descriptor < 0)
		return false;
	if (fstat(descriptor, &info) != 0 || info.st_ino == opening->refused_inode) {
		close(descriptor);
		return false;
	}
	enum status status = ratings_file_open(ret, descriptor, opening->path, &error);
	if (status == STATUS_OK) {
		status = check_origin(opening, ret, &error);
		if (status == STATUS_OK)
			status = check_all(opening, ret, &error);
		if (status != STATUS_OK)
			ratings_file_close(ret);
	}
	if (status == STATUS_OK)
		return true;
	opening->refused_inode = info.st_ino;
	memcpy(opening->refusal, error.message, sizeof(opening->refusal));
	return false;
}

/* ---- writing one ---- */

static void sleep_ns(int64_t ns)
{
	const struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	nanosleep(&time, NULL);
}

/* Whether the path still names the open file. */
static bool is_named(int descriptor, const char *path)
{
	struct stat open_file, named;
	return fstat(descriptor, &open_file) == 0 && lstat(path, &named) == 0 &&
	       open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

/*
 * Opens the partial file and locks it; who holds the lock of the file that has that name may write
 * the cache. *ret_descriptor is -1 when another process has written it meanwhile, now in *ret.
 */
static enum status lock_partial(
	struct opening *opening, struct ratings_file *ret, int *ret_descriptor, struct error *err)
{
	const struct clock *clock = clock_real();
	const uint64_t start = clock_now_ns(clock);
	for (*ret_descriptor = -1; !take_existing(opening, ret); sleep_ns(POLL_NS)) {
		int descriptor =
			open(opening->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
		if (descriptor < 0)
			return error_set_errno(err, errno, "%s", opening->partial);
		int result = flock(descriptor, LOCK_EX | LOCK_NB);
		int reason = errno;
		if (result == 0 && is_named(descriptor, opening->partial)) {
			*ret_descriptor = descriptor;
			return STATUS_OK;
		}
		close(descriptor);
		if (result != 0 && reason != EWOULDBLOCK && reason != EINTR)
			return error_set_errno(err, reason, "%s: lock", opening->partial);
		if (clock_seconds_since(clock, start) >= opening->cache->options->wait_s)
			return error_set(err, STATUS_DEADLINE_EXCEEDED,
				"another process has been writing %s for too long", opening->path);
	}
	return STATUS_OK;
}

/* Ready to write, or *ret_descriptor is -1 and the cache is in *ret. */
static enum status open_partial(
	struct opening *opening, struct ratings_file *ret, int *ret_descriptor, struct error *err)
{
	*ret_descriptor = -1;
	if (take_existing(opening, ret))
		return STATUS_OK;
	enum status status = check_writable(opening->directory, err);
	if (status == STATUS_OK)
		status = lock_partial(opening, ret, ret_descriptor, err);
	if (status != STATUS_OK || *ret_descriptor < 0)
		return status;
	/* One may have come after it was looked for, and before the lock was had. */
	const bool taken = take_existing(opening, ret);
	if (!taken && ftruncate(*ret_descriptor, 0) != 0)
		status = error_set_errno(err, errno, "%s", opening->partial);
	if (taken || status != STATUS_OK) {
		unlink(opening->partial);
		close(*ret_descriptor);
		*ret_descriptor = -1;
	}
	return status;
}

static int open_temporary(void)
{
	char path[PATH_SIZE];
	const char *base = getenv("TMPDIR");
	snprintf(path, sizeof(path), "%.4000s/marquee-ratings-XXXXXX",
		base && *base ? base : "/tmp");
	int descriptor = mkostemp(path, O_CLOEXEC);
	if (descriptor >= 0)
		unlink(path);
	return descriptor;
}

/* Parses the text into the open file. *ret_failed: it is the file's fault. */
static enum status fill(const struct opening *opening, int descriptor, const char *path,
	bool *ret_failed, struct error *err)
{
	const struct ratings_cache *cache = opening->cache;
	struct ratings_origin origin = {.catalog = ratings_catalog_hash(cache->catalog)};
	struct ratings_writer writer;
	/* A change in the tick of the clock in which we begin would not show in the time. */
	int64_t age = (int64_t)clock_unix_ns() - opening->source.mtime_ns;
	if (age >= 0 && age < TICK_NS)
		sleep_ns(TICK_NS - age);
	enum status status = ratings_writer_init(&writer, descriptor, path, err);
	if (status == STATUS_OK)
		status = ratings_text_read(cache->path, cache->catalog, cache->lines,
			cache->options->threads, ratings_writer_add, &writer, &origin.skipped,
			&origin.source, err);
	/* The path may be another one the next time. */
	size_t path_size = strlen(cache->path);
	char *line = origin.skipped.first_bad_line;
	if (strncmp(line, cache->path, path_size) == 0)
		memmove(line, line + path_size, strlen(line + path_size) + 1);
	if (status == STATUS_OK && writer.count == 0)
		status = error_set(err, STATUS_FAILED_PRECONDITION, "%s: no ratings", cache->path);
	if (status == STATUS_OK)
		status = ratings_writer_finish(&writer, &origin, err);
	*ret_failed = writer.failed;
	ratings_writer_fini(&writer);
	return status;
}

/* Fills the open file and opens it as ratings; the descriptor is given away. */
static enum status make(struct opening *opening, int descriptor, const char *rename_to,
	struct ratings_file *ret, bool *ret_failed, struct error *err)
{
	const char *name = rename_to ? opening->partial : "temporary ratings file";
	enum status status = fill(opening, descriptor, name, ret_failed, err);
	if (status == STATUS_OK && rename_to && rename(opening->partial, rename_to) != 0) {
		status = error_set_errno(err, errno, "%s: rename", opening->partial);
		*ret_failed = true;
	}
	if (status != STATUS_OK) {
		if (rename_to)
			unlink(opening->partial);
		close(descriptor);
		return status;
	}
	flock(descriptor, LOCK_UN);
	status = ratings_file_open(ret, descriptor, rename_to ? rename_to : name, err);
	if (status == STATUS_OK) {
		status = check_all(opening, ret, err);
		if (status != STATUS_OK)
			ratings_file_close(ret);
	}
	return status;
}

/* The cache read or written; *ret_done false, and a note why, when it has to do without. */
static enum status use_cache(
	struct opening *opening, struct ratings_file *ret, bool *ret_done, struct error *err)
{
	int descriptor = -1;
	bool failed = true;
	struct error reason;
	*ret_done = false;
	enum status status = find_place(opening, &reason);
	if (status == STATUS_OK)
		status = open_partial(opening, ret, &descriptor, &reason);
	if (status == STATUS_OK && descriptor >= 0) {
		status = make(opening, descriptor, opening->path, ret, &failed, &reason);
		if (status == STATUS_OK && opening->refusal[0])
			snprintf(opening->note, ERROR_MESSAGE_SIZE,
				"made the cache %.200s anew: %.240s", opening->path,
				opening->refusal);
		else if (status == STATUS_OK)
			snprintf(opening->note, ERROR_MESSAGE_SIZE, "wrote the cache %.400s",
				opening->path);
	}
	*ret_done = status == STATUS_OK;
	if (status != STATUS_OK && !failed)
		return error_set(err, status, "%s", reason.message);
	if (status != STATUS_OK)
		snprintf(opening->note, ERROR_MESSAGE_SIZE, "no cache: %.480s", reason.message);
	return STATUS_OK;
}

/* Memory is the last resort: where no temporary file can be made, or the disk is full. */
static enum status make_temporary(
	struct opening *opening, struct ratings_file *ret, struct error *err)
{
	enum status status = STATUS_UNAVAILABLE;
	bool failed = true;
	for (int attempt = 0; attempt < 2 && failed; attempt++) {
		int descriptor = attempt == 0 ? open_temporary()
					      : memfd_create("marquee-ratings", MFD_CLOEXEC);
		if (descriptor >= 0)
			status = make(opening, descriptor, NULL, ret, &failed, err);
		else
			status = error_set_errno(err, errno, "temporary ratings file");
	}
	return status;
}

/* A text's skipped lines, as if it had been read here and now. */
static void add_report(
	const struct opening *opening, const struct ratings_file *file, struct data_report *report)
{
	const struct data_report *skipped = &file->origin.skipped;
	if (skipped->skipped_lines && report->skipped_lines == 0)
		snprintf(report->first_bad_line, sizeof(report->first_bad_line), "%.255s%.255s",
			opening->cache->path, skipped->first_bad_line);
	report->skipped_lines += skipped->skipped_lines;
}

enum status ratings_cache_open(struct ratings_file *ret, const struct ratings_cache *cache,
	struct data_report *report, char ret_note[ERROR_MESSAGE_SIZE], struct error *err)
{
	struct opening opening = {.cache = cache, .note = ret_note};
	bool done = false;
	ret_note[0] = '\0';
	enum status status = file_identify(cache->path, &opening.source, err);
	if (status != STATUS_OK)
		return status;
	if (!cache->options->off)
		status = use_cache(&opening, ret, &done, err);
	if (status == STATUS_OK && !done)
		status = make_temporary(&opening, ret, err);
	if (status == STATUS_OK)
		add_report(&opening, ret, report);
	return status;
}
