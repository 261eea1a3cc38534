#include "common/nn/kernels.h"

#include <stdbool.h>

/* kernels.c, compiled for each. */
extern const struct nn_kernels nn_kernels_baseline;
#if defined(__x86_64__)
extern const struct nn_kernels nn_kernels_avx2, nn_kernels_avx512f;
#endif

const struct nn_kernels *nn_kernels(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		return &nn_kernels_avx512f;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &nn_kernels_avx2;
#endif
	return &nn_kernels_baseline;
}

const struct nn_kernels *const *nn_kernels_all(void)
{
	static const struct nn_kernels *const all[] = {
#if defined(__x86_64__)
		&nn_kernels_avx512f,
		&nn_kernels_avx2,
#endif
		&nn_kernels_baseline,
		NULL,
	};
	return all;
}

bool nn_kernels_runnable(const struct nn_kernels *kernels)
{
	/* Tables are in the order of what they ask for: what comes after the best one runs too. */
	bool runnable = false;
	for (const struct nn_kernels *const *each = nn_kernels_all(); *each; each++) {
		runnable |= *each == nn_kernels();
		if (*each == kernels)
			return runnable;
	}
	return false;
}
