/* sim/sim.h: one run: a broker, a few clients, a network, and one seed.
 *
 * The seed decides the configuration, the number of workers, what every client does, every fault
 * and every step of the scheduler; so a run can be repeated.  When the wild part is over, the
 * clients become calm, everything has to come to rest, and everything that was promised must have
 * arrived. */
#pragma once

#include "sim/plant.h"
#include "sim/trace.h"

enum { SIM_STEPS_DEFAULT = 20000, SIM_WORKERS_MAX = 8 };

struct sim_options {
    uint64_t seed;
    unsigned workers; /* 0: drawn from the seed */
    unsigned steps;   /* of the wild part */
    bool in_memory;   /* never with persistence; else most runs are */
    bool is_verbose;  /* print the conversation, and the broker's log */
    bool checks_all;  /* the broker's invariants after every step, not now and then */
    enum plant_kind plant;
};

struct sim_result {
    unsigned workers;
    uint64_t delivered; /* messages that clients received */
    int64_t lasted_ns;  /* in the make-believe world */
};

/* True: nothing was wrong.  *trace (the caller's) tells what happened.  An assertion of the broker
 * that fails ends the process. */
bool sim_run(const struct sim_options *o, struct trace *trace, struct sim_result *result);
