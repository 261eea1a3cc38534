/*
 * For examples_test.py: a parameter server that a client fills, and then the rows that it has.
 *
 * Prints its address. After a line on standard input it prints each row of the example's job twice,
 * first as it is in the server's tables, then as the same gradients make it in a store that never
 * saw a message: "have|want TABLE ID VALUE...".
 */
#include "common/base/flags.h"
#include "pserver/service_internal.h"

#include <stdio.h>

#define SEED	 42
#define ROWS_MAX 4
#define TABLES	 2
#define PROGRAM	 "example_rows"

/* What docs/examples/parameter_server.py makes and pushes. */
static const struct {
	const char *name;
	uint32_t dim;
	float init_limit;
	enum optimizer_kind kind;
	float learning_rate, epsilon;
	uint64_t ids[ROWS_MAX];
	uint32_t count;
} tables[TABLES] = {
	{"user", 4, 0.25f, OPTIMIZER_SGD, 0.5f, 0, {1, 2, 3, UINT64_MAX}, 4},
	{"movie", 3, 0.5f, OPTIMIZER_ADAGRAD, 0.1f, 1e-6f, {10, 20}, 2},
};

static enum status push(
	struct store *store, uint32_t table, uint64_t id, const float *gradient, struct error *err)
{
	return store_apply(store, table, &id, 1, gradient, 1, err);
}

/* The store that the server should have. Returns owned. */
static enum status make_wanted(struct store **ret, struct error *err)
{
	const struct store_options options = {.seed = SEED};
	enum status status = store_new(ret, &options, err);
	for (uint32_t t = 0; t < TABLES && status == STATUS_OK; t++) {
		struct table_spec spec = {
			.dim = tables[t].dim,
			.init_limit = tables[t].init_limit,
			.optimizer = {.kind = tables[t].kind,
				.learning_rate = tables[t].learning_rate,
				.epsilon = tables[t].epsilon},
		};
		uint32_t number;
		snprintf(spec.name, sizeof(spec.name), "%s", tables[t].name);
		status = store_create_table(*ret, &spec, &number, err);
	}
	if (status == STATUS_OK)
		status = push(*ret, 0, 2, (const float[]){1, 2, 3, 4}, err);
	if (status == STATUS_OK)
		status = push(*ret, 1, 10, (const float[]){0.5f, -0.25f, 1}, err);
	if (status == STATUS_OK)
		status = push(*ret, 1, 20, (const float[]){1, 1, 1}, err);
	if (status == STATUS_OK)
		status = push(*ret, 0, 3, (const float[]){0.5f, -1, 8, 0}, err);
	return status;
}

static enum status print_rows(const char *label, struct store *store, struct error *err)
{
	for (uint32_t t = 0; t < TABLES; t++) {
		float rows[ROWS_MAX * 4];
		enum status status =
			store_pull(store, t, tables[t].ids, tables[t].count, rows, err);
		if (status != STATUS_OK)
			return status;
		for (uint32_t i = 0; i < tables[t].count; i++) {
			printf("%s %s %llu", label, tables[t].name,
				(unsigned long long)tables[t].ids[i]);
			for (uint32_t c = 0; c < tables[t].dim; c++)
				printf(" %a", (double)rows[i * tables[t].dim + c]);
			putchar('\n');
		}
	}
	return STATUS_OK;
}

static enum status run(struct ps_server **ret_server, struct store **ret_wanted, struct error *err)
{
	const struct ps_server_options options = {.listen_url = "tcp://127.0.0.1:0"};
	enum status status = ps_server_open(ret_server, &options, err);
	if (status != STATUS_OK)
		return status;
	struct ps_server *server = *ret_server;
	printf("%s\n", ps_server_url(server));
	fflush(stdout);
	if (getchar() == EOF || !server->job)
		return error_set(err, STATUS_FAILED_PRECONDITION, "no client has made its tables");
	status = print_rows("have", server->job->store, err);
	if (status == STATUS_OK)
		status = make_wanted(ret_wanted, err);
	if (status == STATUS_OK)
		status = print_rows("want", *ret_wanted, err);
	return status;
}

int main(void)
{
	struct error err;
	struct ps_server *server = NULL;
	struct store *wanted = NULL;
	int code = run(&server, &wanted, &err) == STATUS_OK ? 0 : program_failed(PROGRAM, &err);
	ps_server_close(server);
	store_free(wanted);
	return code;
}
