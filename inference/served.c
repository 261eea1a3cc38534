#include "inference/served.h"

#include "common/base/memory.h"
#include "inference/movie_changes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct served_model {
	struct model_directory directory;
	struct scorer *original; /* prepared; the others are its clones */
	struct movie_index *index;
	struct seen seen;
	uint32_t count;		 /* of scorers */
	struct scorer **scorers; /* [count]; the first `idle` are not leased */
	uint32_t idle;		 /* served.lock guards it, and the order of scorers */
};

/* What tells one state of a model's files from another. */
struct identity {
	struct {
		uint64_t device, inode, size, seconds, nanoseconds;
	} files[4];
};

struct served {
	struct served_options options;
	struct identity identity; /* the reloading thread's */
	pthread_mutex_t lock;	  /* guards what follows */
	pthread_cond_t returned;
	struct served_model *current;
	struct served_counts counts;
};

static void look(const char *path, struct identity *ret)
{
	static const char *const names[] = {
		MODEL_JSON_NAME, MODEL_WEIGHTS_NAME, MODEL_CATALOG_NAME, MOVIE_CHANGES_NAME};
	_Static_assert(
		sizeof(ret->files) / sizeof(ret->files[0]) == sizeof(names) / sizeof(names[0]),
		"one each");
	*ret = (struct identity){0};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char file[PATH_SIZE];
		struct stat about;
		if (path_join(file, path, names[i], NULL) != STATUS_OK || stat(file, &about) != 0)
			continue;
		ret->files[i].device = about.st_dev;
		ret->files[i].inode = about.st_ino;
		ret->files[i].size = (uint64_t)about.st_size;
		ret->files[i].seconds = (uint64_t)about.st_mtim.tv_sec;
		ret->files[i].nanoseconds = (uint64_t)about.st_mtim.tv_nsec;
	}
}

static void model_close(struct served_model *model)
{
	if (!model)
		return;
	for (uint32_t s = 0; model->scorers && s < model->count; s++)
		scorer_free(model->scorers[s]);
	free(model->scorers);
	scorer_free(model->original);
	movie_index_free(model->index);
	seen_fini(&model->seen);
	model_directory_close(&model->directory);
	free(model);
}

static enum status model_open(
	struct served_model **ret, const struct served_options *options, struct error *err)
{
	/* The file goes on growing after a model was trained. */
	const struct data_options lenient = {.skip_bad_lines = true};
	struct served_model *model;
	char made[ERROR_MESSAGE_SIZE];
	enum status status = memory_zalloc(&model, 1, sizeof(*model), "model", err);
	if (status != STATUS_OK)
		return status;
	status = model_directory_open(&model->directory, options->path, err);
	if (status == STATUS_OK && options->ratings)
		status = seen_read(
			&model->seen, &model->directory.catalog, options->ratings, &lenient, err);
	if (status == STATUS_OK)
		status = scorer_new(&model->original, &model->directory, err);
	if (status == STATUS_OK)
		status = scorer_prepare(model->original, err);
	if (status == STATUS_OK)
		status = movie_index_open(
			&model->index, model->original, options->index, options->leases, made, err);
	if (status == STATUS_OK)
		scorer_use_index(model->original, model->index);
	if (status == STATUS_OK)
		status = memory_zalloc(
			&model->scorers, options->leases, sizeof(*model->scorers), "scorers", err);
	for (; status == STATUS_OK && model->count < options->leases;
		model->count += status == STATUS_OK)
		status = scorer_clone(&model->scorers[model->count], model->original, err);
	model->idle = model->count;
	if (status != STATUS_OK)
		model_close(model);
	else
		*ret = model;
	return status;
}

enum status served_new(struct served **ret, const struct served_options *options, struct error *err)
{
	struct served *served;
	enum status status = memory_zalloc(&served, 1, sizeof(*served), "server", err);
	if (status != STATUS_OK)
		return status;
	served->options = *options;
	look(options->path, &served->identity);
	status = model_open(&served->current, options, err);
	if (status != STATUS_OK) {
		free(served);
		return status;
	}
	served->counts.open_models = 1;
	pthread_mutex_init(&served->lock, NULL);
	pthread_cond_init(&served->returned, NULL);
	*ret = served;
	return STATUS_OK;
}

void served_free(struct served *served)
{
	if (!served)
		return;
	model_close(served->current);
	pthread_cond_destroy(&served->returned);
	pthread_mutex_destroy(&served->lock);
	free(served);
}

void served_take(struct served *served, struct lease *ret)
{
	pthread_mutex_lock(&served->lock);
	while (served->current->idle == 0)
		pthread_cond_wait(&served->returned, &served->lock);
	struct served_model *model = served->current;
	*ret = (struct lease){.scorer = model->scorers[--model->idle],
		.seen = model->seen.ends ? &model->seen : NULL,
		.model = model};
	pthread_mutex_unlock(&served->lock);
}

/* Takes the model off the books when it is neither current nor leased; for model_close(). */
static struct served_model *retired(struct served *served, struct served_model *model)
{
	if (model == served->current || model->idle < model->count)
		return NULL;
	served->counts.open_models--;
	return model;
}

void served_return(struct served *served, struct lease *lease)
{
	pthread_mutex_lock(&served->lock);
	struct served_model *model = lease->model;
	model->scorers[model->idle++] = lease->scorer;
	struct served_model *done = retired(served, model);
	pthread_cond_signal(&served->returned);
	pthread_mutex_unlock(&served->lock);
	model_close(done);
	*lease = (struct lease){0};
}

enum status served_reload(struct served *served, struct error *err)
{
	struct served_model *model;
	/* Looked at before: what changes while the files are read counts as new. */
	look(served->options.path, &served->identity);
	enum status status = model_open(&model, &served->options, err);
	pthread_mutex_lock(&served->lock);
	if (status != STATUS_OK) {
		served->counts.refusals++;
		pthread_mutex_unlock(&served->lock);
		return status;
	}
	served->counts.reloads++;
	struct served_model *old = served->current;
	served->current = model;
	served->counts.open_models++;
	old = retired(served, old);
	pthread_cond_broadcast(&served->returned);
	pthread_mutex_unlock(&served->lock);
	model_close(old);
	return STATUS_OK;
}

bool served_is_outdated(struct served *served)
{
	struct identity now;
	look(served->options.path, &now);
	return memcmp(&now, &served->identity, sizeof(now)) != 0;
}

struct served_counts served_count(struct served *served)
{
	pthread_mutex_lock(&served->lock);
	const struct served_counts counts = served->counts;
	pthread_mutex_unlock(&served->lock);
	return counts;
}
