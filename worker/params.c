#include "worker/params.h"

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

void params_free(struct params *params)
{
	if (params)
		params->operations->free(params);
}
