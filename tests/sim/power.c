#include "tests/sim/power.h"

#include "common/base/file.h"
#include "tests/sim/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORIES_MAX 256u
#define CHANGES_MAX	4096u
#define FILES_MAX	1024u
#define NAME_BYTES	64u

enum kind { CREATED, MADE_DIRECTORY, REMOVED_DIRECTORY, UNLINKED, RENAMED, EXCHANGED };

/* What becomes of bytes that were not synced. */
enum fate { KEPT, CUT, ZEROS };

/* One that is not durable. */
struct change {
	enum kind kind;
	uint32_t directory;			  /* its number */
	char name[NAME_BYTES], other[NAME_BYTES]; /* RENAMED: from, to */
	/* UNLINKED, RENAMED: the lost file's number in the attic; REMOVED_DIRECTORY: its number
	 * and 1. 0: none. */
	uint32_t kept;
};

static struct {
	const char *attic;
	struct directory {
		ino_t inode;
		int descriptor;
	} directories[DIRECTORIES_MAX];
	uint32_t directory_count;
	struct change changes[CHANGES_MAX]; /* in their order */
	uint32_t change_count;
	struct unsynced {
		ino_t inode;
		uint32_t kept; /* its number in the attic */
	} unsynced[FILES_MAX];
	uint32_t unsynced_count;
	uint32_t kept;
} power;

static void check(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "simulation: power: %s: %s\n", what, strerror(errno));
	abort();
}

void sim_power_begin(const char *attic)
{
	for (uint32_t i = 0; i < power.directory_count; i++)
		(void)close(power.directories[i].descriptor);
	memset(&power, 0, sizeof(power));
	power.attic = attic;
}

/*
 * The directory's own number. The disk gives an inode's number to another one as soon as it is
 * free, or later, as other programs please: a descriptor keeps it from that.
 */
static uint32_t number_of(const char *path)
{
	struct stat info;
	check(stat(path, &info) == 0, path);
	for (uint32_t i = 0; i < power.directory_count; i++)
		if (power.directories[i].inode == info.st_ino)
			return i;
	check(power.directory_count < DIRECTORIES_MAX, "too many directories");
	int descriptor = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(descriptor >= 0, path);
	power.directories[power.directory_count] = (struct directory){info.st_ino, descriptor};
	return power.directory_count++;
}

/* The directory that the path is in; *ret_name: the last part of the path. */
static uint32_t parent_of(const char *path, const char **ret_name)
{
	char parent[PATH_SIZE];
	const char *slash = strrchr(path, '/');
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	*ret_name = slash + 1;
	return number_of(parent);
}

static struct change *add(enum kind kind, const char *path, const char *other)
{
	const char *name;
	check(power.change_count < CHANGES_MAX, "too many changes");
	struct change *change = &power.changes[power.change_count++];
	*change = (struct change){.kind = kind, .directory = parent_of(path, &name)};
	snprintf(change->name, NAME_BYTES, "%s", name);
	if (other)
		snprintf(change->other, NAME_BYTES, "%s", strrchr(other, '/') + 1);
	return change;
}

static void attic_path(char path[PATH_SIZE], uint32_t number)
{
	snprintf(path, PATH_SIZE, "%s/%u", power.attic, number);
}

/* Another name for a file that loses its own; 0: it is not there. */
static uint32_t keep(const char *path)
{
	char kept[PATH_SIZE];
	struct stat info;
	if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode))
		return 0;
	attic_path(kept, ++power.kept);
	check(link(path, kept) == 0, kept);
	return power.kept;
}

/* The same for one that is open. */
static uint32_t keep_open(int descriptor)
{
	char path[PATH_SIZE], kept[PATH_SIZE];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
	attic_path(kept, ++power.kept);
	check(linkat(AT_FDCWD, path, AT_FDCWD, kept, AT_SYMLINK_FOLLOW) == 0, kept);
	return power.kept;
}

/* ---- the log ---- */

/* Its name in the attic keeps its inode's number from being another's. */
void sim_power_wrote(int descriptor)
{
	struct stat info;
	if (!power.attic || fstat(descriptor, &info) != 0 || info.st_nlink == 0)
		return;
	for (uint32_t i = 0; i < power.unsynced_count; i++)
		if (power.unsynced[i].inode == info.st_ino)
			return;
	check(power.unsynced_count < FILES_MAX, "too many files");
	power.unsynced[power.unsynced_count++] =
		(struct unsynced){info.st_ino, keep_open(descriptor)};
}

static void directory_synced(ino_t inode)
{
	uint32_t left = 0;
	for (uint32_t i = 0; i < power.change_count; i++)
		if (power.directories[power.changes[i].directory].inode != inode)
			power.changes[left++] = power.changes[i];
	power.change_count = left;
}

void sim_power_synced(int descriptor)
{
	struct stat info;
	if (!power.attic || fstat(descriptor, &info) != 0)
		return;
	if (S_ISDIR(info.st_mode))
		directory_synced(info.st_ino);
	for (uint32_t i = 0; i < power.unsynced_count; i++)
		if (power.unsynced[i].inode == info.st_ino)
			power.unsynced[i] = power.unsynced[--power.unsynced_count];
}

void sim_power_created(const char *path)
{
	if (power.attic)
		(void)add(CREATED, path, NULL);
}

void sim_power_made_directory(const char *path)
{
	if (power.attic)
		(void)add(MADE_DIRECTORY, path, NULL);
}

void sim_power_will_remove_directory(const char *path)
{
	if (!power.attic || !directory_exists(path))
		return;
	uint32_t number = number_of(path);
	add(REMOVED_DIRECTORY, path, NULL)->kept = number + 1;
}

void sim_power_will_unlink(const char *path)
{
	uint32_t kept = power.attic ? keep(path) : 0;
	if (kept)
		add(UNLINKED, path, NULL)->kept = kept;
}

void sim_power_will_rename(const char *from, const char *to)
{
	struct stat info;
	if (!power.attic || lstat(from, &info) != 0)
		return;
	/* Over a directory that is not empty it will not happen. */
	if (S_ISDIR(info.st_mode) && lstat(to, &info) == 0)
		return;
	uint32_t kept = keep(to);
	add(RENAMED, from, to)->kept = kept;
}

void sim_power_exchanged(const char *a, const char *b)
{
	if (power.attic)
		(void)add(EXCHANGED, a, b);
}

/* ---- the loss ---- */

static void bring_back(int directory, const char *name, uint32_t kept)
{
	char path[PATH_SIZE];
	if (!kept)
		return;
	attic_path(path, kept);
	/* It may be in a directory that stays removed. */
	check(linkat(AT_FDCWD, path, directory, name, 0) == 0 || errno == ENOENT, name);
}

/* Under its old number, though it is another inode. */
static void bring_back_directory(int directory, const char *name, struct directory *removed)
{
	struct stat info;
	(void)mkdirat(directory, name, 0777);
	int descriptor = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0)
		return; /* it is in one that stays removed */
	check(fstat(descriptor, &info) == 0, name);
	(void)close(removed->descriptor);
	*removed = (struct directory){info.st_ino, descriptor};
}

/* With all that is in it, whose own directory may have kept it. */
static void remove_made(int directory, const char *name)
{
	char path[PATH_SIZE];
	struct error error;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", directory, name);
	check(directory_remove(path, &error) == STATUS_OK, path);
}

static void undo(const struct change *change)
{
	const int directory = power.directories[change->directory].descriptor;
	const char *name = change->name;
	switch (change->kind) {
	case CREATED:
		(void)unlinkat(directory, name, 0);
		break;
	case MADE_DIRECTORY:
		remove_made(directory, name);
		break;
	case REMOVED_DIRECTORY:
		bring_back_directory(directory, name, &power.directories[change->kept - 1]);
		break;
	case UNLINKED:
		bring_back(directory, name, change->kept);
		break;
	case RENAMED:
		(void)renameat(directory, change->other, directory, name);
		bring_back(directory, change->other, change->kept);
		break;
	case EXCHANGED:
		(void)renameat2(directory, name, directory, change->other, RENAME_EXCHANGE);
		break;
	}
}

/* By its name in the attic: the order is that of the writes, not that of some directory's names. */
static void damage(const struct unsynced *file)
{
	char path[PATH_SIZE];
	struct stat info;
	attic_path(path, file->kept);
	check(stat(path, &info) == 0, path);
	const uint32_t fate = sim_draw(SIM_DAMAGE, 3);
	const off_t end = (off_t)sim_draw(SIM_DAMAGE, (uint32_t)info.st_size);
	if (fate == KEPT)
		return;
	check(truncate(path, end) == 0, path);
	if (fate == ZEROS)
		check(truncate(path, info.st_size) == 0, path);
}

/* A number that stands for another directory than ours would be found again by chance. */
static void check_directories(void)
{
	for (uint32_t i = 0; i < power.directory_count; i++) {
		struct stat info;
		check(fstat(power.directories[i].descriptor, &info) == 0 &&
				info.st_ino == power.directories[i].inode,
			"a directory has another's inode");
	}
}

void sim_power_cut(void)
{
	uint32_t count[DIRECTORIES_MAX] = {0}, stays[DIRECTORIES_MAX], seen[DIRECTORIES_MAX];
	for (uint32_t i = 0; i < power.change_count; i++)
		count[power.changes[i].directory]++;
	for (uint32_t d = 0; d < power.directory_count; d++) {
		stays[d] = sim_draw(SIM_DAMAGE, count[d] + 1);
		seen[d] = count[d];
	}
	for (uint32_t i = power.change_count; i-- > 0;)
		if (seen[power.changes[i].directory]-- > stays[power.changes[i].directory])
			undo(&power.changes[i]);
	for (uint32_t i = 0; i < power.unsynced_count; i++)
		damage(&power.unsynced[i]);
	check_directories();
	power.change_count = power.unsynced_count = 0;
}
