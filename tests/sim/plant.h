/*
 * Errors planted into the product, to see that the schedules find them: functions of the product
 * that are wrapped by the linker, and behave unless a plant is set.
 */
#ifndef MARQUEE_TESTS_SIM_PLANT_H
#define MARQUEE_TESTS_SIM_PLANT_H

enum sim_plant {
	SIM_NO_PLANT,
	SIM_DOUBLE_APPLICATION, /* servers do not recognise a repeated push */
	SIM_LOST_PUSH,		/* a server acknowledges a push, once, and does not apply it */
	SIM_TORN_CUT,		/* one server begins its cuts a step late */
	SIM_NO_SYNC,		/* nothing is synced to the disk before it is renamed */
};

/* For the world that has begun. */
void sim_plant(enum sim_plant plant);

#endif
