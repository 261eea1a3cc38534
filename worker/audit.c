/*
 * The audit: that the gradients of every rating that was read have been applied, once.
 *
 * Design notes. Workers say with each segment how many examples its span of lanes had, and a table
 * adds that up where it applies the segment, on every server, also where none of the ids went. So
 * what each table counts on each server is all examples of all steps, and one segment that was lost
 * or came twice shows in one of the sums. What was read is counted by those who read, lane by lane.
 * Both go on from a checkpoint: the tables' from what they had counted, the lanes' from where they
 * stood.
 */
#include "worker/trainer_internal.h"

static enum status compare(struct trainer *trainer, struct error *err)
{
	const uint64_t all = trainer->audited_examples;
	return trainer->params->operations->audit(trainer->params, all, err);
}

enum status trainer_audit(struct trainer *trainer, struct error *err)
{
	uint64_t read[LANES_MAX];
	if (trainer->audited_step == trainer->step)
		return STATUS_OK;
	enum status status = comm_all_gather(
		trainer->comm, &trainer->examples_read, sizeof(trainer->examples_read), read, err);
	if (status != STATUS_OK)
		return status;
	trainer->audited_examples = 0;
	for (uint32_t w = 0; w < trainer->comm->workers; w++)
		trainer->audited_examples += read[w];
	if (trainer->comm->rank == 0)
		status = compare(trainer, err);
	trainer->audited_step = trainer->step;
	return comm_agree(trainer->comm, status, err);
}
