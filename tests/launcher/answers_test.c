/* The marquee program from generated data to answers, as its users see it. */
#include "common/base/file.h"
#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static char root[PATH_SIZE];
static char output[1 << 20];

/* Runs `marquee ...` in the scratch directory; its stdout and stderr are in output, the exit code
 * is returned. */
static int marquee(const char *format, ...) PRINTF_LIKE(1, 2);
static int marquee(const char *format, ...)
{
	char arguments[1024], command[2 * PATH_SIZE + 2048];
	va_list args;
	va_start(args, format);
	vsnprintf(arguments, sizeof(arguments), format, args);
	va_end(args);
	snprintf(command, sizeof(command), "cd %s && %s %s 2>&1", root, MARQUEE_PROGRAM, arguments);
	FILE *pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	size_t size = fread(output, 1, sizeof(output) - 1, pipe);
	output[size] = '\0';
	int status = pclose(pipe);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static json_t *parse_output(void)
{
	json_error_t where;
	json_t *json = json_loads(output, 0, &where);
	ck_assert_msg(json != NULL, "%s in: %s", where.text, output);
	return json;
}

static double number(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	ck_assert_msg(json_is_number(value), "no number '%s' in: %s", name, output);
	return json_number_value(value);
}

#define assert_runs(...) ck_assert_msg(marquee(__VA_ARGS__) == 0, "%s", output)
#define assert_says(code, text, ...)                                                               \
	do {                                                                                       \
		ck_assert_msg(marquee(__VA_ARGS__) == (code), "%s", output);                       \
		ck_assert_msg(strstr(output, (text)) != NULL, "'%s' lacks '%s'", output, (text));  \
	} while (0)

static void check_recommendations(void)
{
	assert_runs("recommend --model model --user 1 --top 150 --json");
	json_t *all = parse_output();
	json_t *list = json_object_get(all, "recommendations"), *entry;
	size_t i;
	double last = 6;
	json_array_foreach(list, i, entry)
	{
		const double stars = number(entry, "stars");
		ck_assert_uint_eq((size_t)number(entry, "rank"), i + 1);
		ck_assert_double_le(stars, last);
		last = stars;
		if (i >= 3)
			continue;
		assert_runs("predict --model model --user 1 --movie %d --json",
			(int)number(entry, "id"));
		json_t *prediction = parse_output();
		ck_assert_double_eq_tol(number(prediction, "stars"), stars, 1e-5);
		json_decref(prediction);
	}
	const size_t count = json_array_size(list);
	json_decref(all);
	ck_assert_uint_gt(count, 10);
	assert_runs("recommend --model model --user 1 --top 150 --exclude-seen data/ratings.dat "
		    "--json");
	all = parse_output();
	ck_assert_uint_lt(json_array_size(json_object_get(all, "recommendations")), count);
	json_decref(all);
	assert_says(0, "someone new (F, 25-34, lawyer)",
		"recommend --model model --age 29 --gender F --occupation lawyer --top 3");
}

/* The two commands name what the filters leave, and nothing else. */
static void check_filters(void)
{
	char path[PATH_SIZE];
	struct error err;
	assert_ok(path_join(path, root, "ids.txt", &err), &err);
	assert_ok(file_write_atomic(path, "3\n1\n7\n", 6, &err), &err);
	assert_runs("recommend --model model --user 1 --ids ids.txt --include-untrained --json");
	json_t *all = parse_output(), *list = json_object_get(all, "recommendations");
	ck_assert_uint_eq(json_array_size(list), 3);
	json_decref(all);
	assert_runs("similar --model model --movie 1 --ids ids.txt --include-untrained --json");
	all = parse_output();
	list = json_object_get(all, "similar");
	ck_assert_uint_eq(json_array_size(list), 2);
	json_decref(all);
	assert_runs("similar --model model --movie 1 --year 1990-1999 --json");
	all = parse_output();
	list = json_object_get(all, "similar");
	json_t *entry;
	size_t i;
	json_array_foreach(list, i, entry)
	{
		const char *title = json_string_value(json_object_get(entry, "title"));
		ck_assert_msg(strstr(title, "(199") != NULL, "%s", title);
	}
	json_decref(all);
	assert_ok(file_write_atomic(path, "1\0002", 3, &err), &err);
	assert_says(
		1, "a zero byte among the ids", "similar --model model --movie 1 --ids ids.txt");
	assert_says(2, "years 'soon' are not understood",
		"recommend --model model --user 1 --year soon");
}

static void check_evaluation(void)
{
	assert_runs("evaluate --model model --ratings data/ratings.dat --json");
	json_t *found = parse_output();
	ck_assert_uint_eq(json_object_size(found), 3);
	ck_assert_double_eq(number(found, "ratings"), 5000);
	ck_assert(number(found, "rmse") > number(found, "mae") && number(found, "mae") > 0.1);
	ck_assert_double_lt(number(found, "rmse"), 2);
	json_decref(found);
}

static void check_failures(void)
{
	assert_says(1, "marquee predict: user 99999 is not in this model (known: 200 users",
		"predict --model model --user 99999 --movie 1");
	assert_says(2, "a new person needs all three of --age", "recommend --model model --age 30");
	assert_says(2, "give it alone", "recommend --model model --user 1 --age 30");
	assert_says(2, "--exclude-seen needs --user",
		"recommend --model model --age 30 --gender M --occupation 1 --exclude-seen x");
	assert_says(1, "genre 'Nonsense' is not known: one of ",
		"recommend --model model --user 1 --genre Nonsense");
	assert_says(1, "marquee similar: data: not a model directory",
		"similar --model data --movie 1");
	assert_says(2, "'tflite' is none of safetensors, onnx, npy, faiss",
		"export --checkpoint checkpoints --out other --format safetensors,tflite");
	assert_says(1, "is not a model directory: choose another --out",
		"export --checkpoint checkpoints --out data");
	assert_says(1, "data: holds no checkpoint", "checkpoint verify data");
	assert_says(2, "none of verify, inspect, diff", "checkpoint prove checkpoints");
}

static void check_checkpoints(const char *digest)
{
	char path[PATH_SIZE];
	assert_runs("checkpoint verify checkpoints");
	assert_says(0, digest, "checkpoint inspect checkpoints");
	assert_runs("checkpoint inspect checkpoints --json");
	json_t *found = parse_output();
	ck_assert_ptr_nonnull(strstr(digest, json_string_value(json_object_get(found, "digest"))));
	ck_assert_uint_eq(json_array_size(json_object_get(found, "tables")), 7);
	snprintf(path, sizeof(path), "%.2000s/%.1000s/dense.safetensors", root,
		json_string_value(json_object_get(found, "path")));
	json_decref(found);
	assert_says(0, "the same parameters", "checkpoint diff checkpoints checkpoints");
	assert_says(1, "different parameters",
		"checkpoint diff checkpoints/step-*1 checkpoints/step-*2");
	scratch_flip(path, 2000, 1);
	assert_says(1, "dense.safetensors: damaged", "checkpoint verify checkpoints");
	assert_says(0, "passed over a damaged checkpoint",
		"export --checkpoint checkpoints --out model");
}

START_TEST(from_generated_data_to_answers)
{
	scratch_open(root);
	assert_runs("synth --out data --users 200 --movies 150 --ratings 5000");
	assert_runs("train --data data --max-steps 1 --checkpoint-every 1 --keep 5 --threads 1 "
		    "--checkpoint-dir checkpoints");
	assert_runs("train --data data --max-steps 2 --checkpoint-every 1 --keep 5 --threads 1 "
		    "--checkpoint-dir checkpoints --resume");
	char digest[64];
	const char *line = strstr(output, "digest ");
	ck_assert_msg(line != NULL, "%s", output);
	snprintf(digest, sizeof(digest), "%.39s", line);
	assert_runs("export --checkpoint checkpoints --out model");
	check_recommendations();
	check_evaluation();
	assert_says(0, "cosine", "similar --model model --movie 1 --top 3");
	check_filters();
	check_failures();
	check_checkpoints(digest);
	scratch_close(root);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {from_generated_data_to_answers, NULL};
	return run_cases("answers", cases);
}
