/* sim/world.h: the four doors of the make-believe world.
 *
 * One clock for everybody, that moves only when it is told to; chance from one seed; a disk that
 * loses what a disk may lose; and the network of sim/net.h.  One thread. */
#pragma once

#include "base/env.h"
#include "base/fake_disk.h"
#include "sim/dice.h"

struct world {
    struct env env; /* what the broker sees */
    struct clock clock;
    struct random random;
    struct files files;
    struct dice
        dice; /* of the broker's random door, so that what it asks for changes nothing else */
    struct fake_disk disk;
    bool has_disk;
    int64_t now_ns;
    int64_t boot_offset_ns; /* the monotonic clock begins anew when the machine does */
    int64_t wall_offset_ns; /* the wall clock can be set; nobody may be hurt by it */
    uint64_t fail_in;       /* the broker's nth allocation from now on fails; 0: none */
};

/* The network door is filled in by net_init; there are no files. */
void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);

void world_add_disk(struct world *w, uint64_t seed); /* from now on there are */

/* Makes an allocation fail; 0 switches it off. */
void world_fail_at(struct world *w, uint64_t nth);
/* The world's own allocations in the middle of a turn do not count. */
void world_hold_failures(struct world *w);
void world_resume_failures(struct world *w);
