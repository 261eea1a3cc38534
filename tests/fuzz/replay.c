/* Runs a fuzz target on files, and on all files of directories: where there is no libFuzzer. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

static size_t replayed;

static void replay_file(const char *path)
{
	struct error err;
	struct file_map map;
	if (file_map_open(&map, path, &err) != STATUS_OK) {
		fprintf(stderr, "%s\n", err.message);
		exit(1);
	}
	/* On the heap in its exact size, where a sanitizer sees a read behind its end. */
	uint8_t *bytes = malloc(map.size ? map.size : 1);
	FUZZ_CHECK(bytes != NULL);
	if (map.size)
		memcpy(bytes, map.bytes, map.size);
	(void)LLVMFuzzerTestOneInput(bytes, map.size);
	free(bytes);
	file_map_close(&map);
	replayed++;
}

static void replay(const char *path)
{
	struct stat about;
	struct dirent **entries;
	if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)) {
		replay_file(path);
		return;
	}
	int count = scandir(path, &entries, NULL, alphasort);
	FUZZ_CHECK(count >= 0);
	for (int i = 0; i < count; i++) {
		char file[PATH_SIZE];
		FUZZ_CHECK(path_join(file, path, entries[i]->d_name, NULL) == STATUS_OK);
		if (entries[i]->d_name[0] != '.')
			replay_file(file);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%zu inputs\n", replayed);
	return replayed == 0;
}
