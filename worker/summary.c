#include "worker/summary.h"

#include <inttypes.h>
#include <math.h>

void summary_print(
	FILE *out, const struct train_options *options, const struct train_result *result)
{
	if (result->reached_target)
		fprintf(out, "stopped early: held-out RMSE %.4f reached the target %.4f\n",
			result->test_rmse, options->target_rmse);
	if (isfinite(result->test_rmse))
		fprintf(out, "held-out RMSE %.4f stars, MAE %.4f stars, after %" PRIu64 " steps\n",
			result->test_rmse, result->test_mae, result->steps);
	if (options->checkpoint_dir)
		fprintf(out, "checkpoint of step %" PRIu64 " in %s\n", result->steps,
			options->checkpoint_dir);
	char digest[DIGEST_TEXT_SIZE];
	digest_format(&result->digest, digest);
	fprintf(out, "digest %s\n", digest);
	fflush(out);
}
