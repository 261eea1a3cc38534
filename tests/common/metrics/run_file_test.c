/* Metrics read back, and the page that they are put into. */
#include "common/metrics/report_page.h"
#include "common/metrics/run_file.h"

#include "tests/support/scratch.h"
#include "tests/support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char directory[PATH_SIZE];
static char path[PATH_SIZE];

static enum status read_text(json_t **ret, const char *text, bool last_only, struct error *err)
{
	scratch_write(scratch_path(path, directory, "metrics.jsonl"), text, strlen(text));
	*ret = json_array();
	return run_file_read(*ret, path, last_only, err);
}

static size_t lines_of(const json_t *runs, size_t run)
{
	return json_array_size(json_object_get(json_array_get(runs, run), "lines"));
}

#define FIRST "{\"epoch\":1,\"step\":10,\"test_rmse\":0.9,\"run\":{\"first_step\":0}}\n"
#define NEXT  "{\"epoch\":2,\"step\":20,\"test_rmse\":null,\"wire_bytes_per_rating\":0}\n"
#define AGAIN "{\"epoch\":2,\"step\":15,\"run\":{\"first_step\":10}}\n"

START_TEST(a_resumed_run_is_one_and_a_fresh_one_another)
{
	struct error err;
	json_t *runs;
	scratch_open(directory);
	assert_ok(read_text(&runs, FIRST NEXT AGAIN FIRST NEXT, false, &err), &err);
	ck_assert_uint_eq(json_array_size(runs), 2);
	ck_assert_uint_eq(lines_of(runs, 0), 3);
	ck_assert_uint_eq(lines_of(runs, 1), 2);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(runs, 0), "name")),
		"metrics.jsonl");
	json_decref(runs);
	assert_ok(read_text(&runs, FIRST NEXT AGAIN FIRST, true, &err), &err);
	ck_assert_uint_eq(json_array_size(runs), 1);
	ck_assert_uint_eq(lines_of(runs, 0), 1);
	json_decref(runs);
	/* Lines of before "run" was written. */
	assert_ok(read_text(&runs, NEXT "{\"epoch\":1,\"step\":3}\n", false, &err), &err);
	ck_assert_uint_eq(json_array_size(runs), 2);
	json_decref(runs);
	scratch_close(directory);
}
END_TEST

START_TEST(a_cut_last_line_is_left_out)
{
	struct error err;
	json_t *runs;
	scratch_open(directory);
	assert_ok(read_text(&runs, FIRST "{\"epoch\":2,\"st", false, &err), &err);
	ck_assert_uint_eq(lines_of(runs, 0), 1);
	json_decref(runs);
	scratch_close(directory);
}
END_TEST

START_TEST(what_is_no_metrics_is_named_by_its_line)
{
	static const struct {
		const char *text, *says;
		enum status status;
	} cases[] = {
		{"", "has no metrics", STATUS_FAILED_PRECONDITION},
		{"{}", "has no metrics", STATUS_FAILED_PRECONDITION},
		{FIRST "nonsense\n", "metrics.jsonl:2: not a JSON object", STATUS_DATA_LOSS},
		{"[1]\n", ":1: not a JSON object", STATUS_DATA_LOSS},
		{"{}\n", "'epoch' is not a count", STATUS_DATA_LOSS},
		{"{\"epoch\":-1,\"step\":1}\n", "'epoch' is not a count", STATUS_DATA_LOSS},
		{"{\"epoch\":1,\"step\":1.5}\n", "'step' is not a count", STATUS_DATA_LOSS},
		{"{\"epoch\":1,\"step\":1,\"seconds\":\"9\"}\n", "'seconds' is not a number",
			STATUS_DATA_LOSS},
		{"{\"epoch\":1,\"step\":1,\"run\":[]}\n", "'run' is not an object",
			STATUS_DATA_LOSS},
		{"{\"epoch\":1,\"epoch\":2,\"step\":1}\n", ":1: not a JSON object",
			STATUS_DATA_LOSS},
	};
	struct error err;
	json_t *runs;
	scratch_open(directory);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_fails(read_text(&runs, cases[i].text, false, &err), cases[i].status, &err,
			cases[i].says);
		ck_assert_uint_eq(json_array_size(runs), 0);
		json_decref(runs);
	}
	runs = json_array();
	assert_fails(run_file_read(runs, "/no/metrics", false, &err), STATUS_NOT_FOUND, &err,
		"/no/metrics");
	json_decref(runs);
	scratch_close(directory);
}
END_TEST

START_TEST(a_long_run_keeps_its_epochs_and_some_of_its_steps)
{
	struct error err;
	json_t *runs = json_array();
	const unsigned int steps = 3 * RUN_STEP_LINES;
	scratch_open(directory);
	FILE *file = fopen(scratch_path(path, directory, "metrics.jsonl"), "w");
	ck_assert_ptr_nonnull(file);
	for (unsigned int i = 1; i <= steps; i++) {
		fprintf(file, "{\"epoch\":1,\"step\":%u,\"train_cost\":1}\n", i);
		if (i % 1000 == 0)
			fprintf(file, "{\"epoch\":1,\"step\":%u,\"test_rmse\":0.9}\n", i);
	}
	fclose(file);
	assert_ok(run_file_read(runs, path, false, &err), &err);
	ck_assert_uint_eq(lines_of(runs, 0), RUN_STEP_LINES + steps / 1000);
	json_decref(runs);
	scratch_close(directory);
}
END_TEST

START_TEST(nothing_of_the_data_ends_the_pages_script)
{
	struct error err;
	json_t *runs;
	size_t size;
	char page_path[PATH_SIZE];
	scratch_open(directory);
	assert_ok(read_text(&runs,
			  "{\"epoch\":1,\"step\":1,\"run\":{\"first_step\":0,\"data\":"
			  "\"</script><script>alert(1)</script><!--\"}}\n",
			  false, &err),
		&err);
	assert_ok(report_page_write(
			  scratch_path(page_path, directory, "page.html"), runs, "1.2", &err),
		&err);
	char *page = scratch_read(page_path, &size);
	ck_assert_ptr_null(strstr(page, "alert(1)</script>"));
	ck_assert_ptr_null(strstr(page, "<!--"));
	ck_assert_ptr_nonnull(strstr(page, "\\u003c/script>\\u003cscript>alert(1)"));
	ck_assert_ptr_null(strstr(page, "@DATA@"));
	/* Nothing is loaded: no address but SVG's name, which is none to load from. */
	ck_assert_ptr_null(strstr(page, "https:"));
	char *address = strstr(page, "http:");
	ck_assert_msg(address && strncmp(address, "http://www.w3.org/2000/svg\"", 27) == 0, "%.80s",
		address ? address : "");
	ck_assert_ptr_null(strstr(address + 1, "http:"));
	ck_assert_ptr_null(strstr(page, " src="));
	free(page);
	assert_fails(report_page_write("/no/page.html", runs, "1.2", &err), STATUS_NOT_FOUND, &err,
		"/no/page.html");
	json_decref(runs);
	scratch_close(directory);
}
END_TEST

int main(void)
{
	const TTest *const cases[] = {
		a_resumed_run_is_one_and_a_fresh_one_another,
		a_cut_last_line_is_left_out,
		what_is_no_metrics_is_named_by_its_line,
		a_long_run_keeps_its_epochs_and_some_of_its_steps,
		nothing_of_the_data_ends_the_pages_script,
		NULL,
	};
	return run_cases("run_file", cases);
}
