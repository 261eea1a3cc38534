#include "worker/params.h"

#include <inttypes.h>
#include <string.h>

enum status params_set_tables(struct params *params, const struct table_spec *tables,
	uint32_t table_count, struct error *err)
{
	if (table_count > PARAMS_TABLES_MAX)
		return error_set(err, STATUS_INVALID_ARGUMENT, "%u tables: at most %u", table_count,
			PARAMS_TABLES_MAX);
	memcpy(params->tables, tables, table_count * sizeof(*tables));
	params->table_count = table_count;
	for (uint32_t t = 0; t < table_count; t++) {
		size_t slots = optimizer_slot_floats(&tables[t].optimizer, tables[t].dim);
		params->record_floats[t] = tables[t].dim + (uint32_t)slots;
	}
	return STATUS_OK;
}

enum status params_audit_table(const struct params *params, uint32_t table, const char *where,
	uint64_t applied, uint64_t examples, struct error *err)
{
	if (applied == examples)
		return STATUS_OK;
	return error_set(err, STATUS_DATA_LOSS,
		"audit: table %s%s%s has applied the gradients of %" PRIu64 " ratings, but %" PRIu64
		" were read: updates were %s, go on from an older "
		"checkpoint",
		params->tables[table].name, where ? " of " : "", where ? where : "", applied,
		examples, applied < examples ? "lost" : "applied twice");
}

void params_free(struct params *params)
{
	if (params)
		params->operations->free(params);
}
