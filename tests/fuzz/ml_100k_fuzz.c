#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/layout_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"u.genre", "u.user", "u.item", "u.data"};
	layout_fuzz(data, size, names, 4);
	return 0;
}
