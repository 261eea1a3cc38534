#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/layout_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"users.dat", "movies.dat", "ratings.dat"};
	layout_fuzz(data, size, names, 3);
	return 0;
}
