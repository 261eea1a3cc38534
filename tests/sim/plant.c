#include "tests/sim/plant.h"

#include "pserver/aggregate.h"
#include "pserver/sequence.h"
#include "tests/sim/disk.h"
#include "tests/sim/world.h"

#include <stddef.h>
#include <string.h>

#define LOST_PERMYRIAD 1000u

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl*) */
enum sequence_verdict __real_sequence_check(const struct sequence_window *window, uint64_t number);
enum sequence_verdict __wrap_sequence_check(const struct sequence_window *window, uint64_t number);
enum status __real_aggregate_apply(
	struct aggregate *aggregate, uint64_t step, struct error *err) MUST_CHECK;
enum status __wrap_aggregate_apply(
	struct aggregate *aggregate, uint64_t step, struct error *err) MUST_CHECK;
void __real_store_cut(struct store *store);
void __wrap_store_cut(struct store *store);

static struct {
	enum sim_plant plant;
	bool lost;
	struct store *late; /* whose cut is to begin, in this process */
	const struct sim_process *late_process;
} planted;

void sim_plant(enum sim_plant plant)
{
	memset(&planted, 0, sizeof(planted));
	planted.plant = plant;
	if (plant == SIM_NO_SYNC)
		sim_disk_lie();
}

static bool is_planted(enum sim_plant plant)
{
	return sim_inside() && planted.plant == plant;
}

enum sequence_verdict __wrap_sequence_check(const struct sequence_window *window, uint64_t number)
{
	enum sequence_verdict verdict = __real_sequence_check(window, number);
	return is_planted(SIM_DOUBLE_APPLICATION) && verdict == SEQUENCE_REPEAT ? SEQUENCE_NEW
										: verdict;
}

enum status __wrap_aggregate_apply(struct aggregate *aggregate, uint64_t step, struct error *err)
{
	if (is_planted(SIM_LOST_PUSH) && !planted.lost && sim_chance(SIM_PLAN, LOST_PERMYRIAD)) {
		planted.lost = true;
		aggregate_cut(aggregate, 0);
		return STATUS_OK;
	}
	enum status status = __real_aggregate_apply(aggregate, step, err);
	if (planted.late && planted.late_process == sim_self()) {
		__real_store_cut(planted.late);
		planted.late = NULL;
	}
	return status;
}

void __wrap_store_cut(struct store *store)
{
	__real_store_cut(store);
	if (!is_planted(SIM_TORN_CUT) || planted.late)
		return;
	planted.late = store;
	planted.late_process = sim_self();
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl*) */
