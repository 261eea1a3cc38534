#include "common/checkpoint/publish.h"

#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static enum status sync_parent(const char *path, struct error *err)
{
	char parent[PATH_SIZE];
	const char *slash = strrchr(path, '/');
	if (!slash)
		return directory_sync(".", err);
	const size_t length = slash == path ? 1 : (size_t)(slash - path);
	memcpy(parent, path, length);
	parent[length] = '\0';
	return directory_sync(parent, err);
}

enum status directory_publish(const char *complete, const char *path, struct error *err)
{
	char aside[PATH_SIZE];
	const char *old = NULL;
	int length = snprintf(aside, sizeof(aside), "%s.replaced", path);
	if (length < 0 || (size_t)length >= sizeof(aside))
		return error_set(err, STATUS_INVALID_ARGUMENT, "%.80s...: path is too long", path);
	if (rename(complete, path) != 0) {
		if (errno != ENOTEMPTY && errno != EEXIST)
			return error_set_errno(err, errno, "%s: rename to %s", complete, path);
		old = complete;
		if (renameat2(AT_FDCWD, complete, AT_FDCWD, path, RENAME_EXCHANGE) != 0) {
			old = aside;
			if (rename(path, aside) != 0 || rename(complete, path) != 0)
				return error_set_errno(
					err, errno, "%s: rename to %s", complete, path);
		}
	}
	enum status status = sync_parent(path, err);
	return status == STATUS_OK && old ? directory_remove(old, err) : status;
}
