#include "common/rpc/token.h"

#include "common/base/file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum status rpc_token_read(const char *path, char **ret, struct error *err)
{
	char *token;
	size_t size;
	enum status status = file_read_all(path, RPC_TOKEN_BYTES_MAX, &token, &size, err);
	if (status != STATUS_OK)
		return error_wrap(err, status, "--token-file");
	while (size > 0 && isspace((unsigned char)token[size - 1]))
		token[--size] = '\0';
	if (size == 0 || strlen(token) != size) {
		free(token);
		return error_set(err, STATUS_FAILED_PRECONDITION, "--token-file %.300s: %s", path,
			size == 0 ? "is empty" : "has a zero byte in it, it should be text");
	}
	*ret = token;
	return STATUS_OK;
}
