/* sim/world.c: see world.h. */
#include "sim/world.h"
#include "base/list.h"
#include "base/memory.h"
#include <errno.h>

#define START_NS      (INT64_C(1000) * 1000000000)
#define START_WALL_NS (INT64_C(1700000000) * 1000000000)

static int64_t monotonic_ns(const struct clock *clock)
{
    const struct world *w = container_of(clock, struct world, clock);
    return w->now_ns + w->boot_offset_ns;
}

static int64_t wall_ns(const struct clock *clock)
{
    const struct world *w = container_of(clock, struct world, clock);
    return w->now_ns + w->wall_offset_ns;
}

/* The door is const; the dice behind it are not. */
static void fill(const struct random *random, void *out, size_t size)
{
    struct world *w = container_of(random, struct world, random);
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)dice_next(&w->dice);
}

static int no_file(const struct files *files, const char *path, struct buffer *out)
{
    return -ENOENT;
}

void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){
        .clock = { monotonic_ns, wall_ns },
        .random = { fill },
        .files = { .read = no_file, .list = no_file },
        .dice = { seed },
        .now_ns = START_NS,
        .wall_offset_ns = START_WALL_NS,
    };
    w->env = (struct env){ .clock = &w->clock, .random = &w->random, .files = &w->files };
}

void world_fini(struct world *w)
{
    if (w->has_disk)
        fake_disk_fini(&w->disk);
    w->has_disk = false;
}

void world_add_disk(struct world *w, uint64_t seed)
{
    assert(!w->has_disk);
    fake_disk_init(&w->disk, seed);
    w->has_disk = true;
    w->env.files = &w->disk.files;
}

void world_fail_at(struct world *w, uint64_t nth)
{
    w->fail_in = nth;
    (void)memory_fail_at(nth);
}

void world_hold_failures(struct world *w)
{
    uint64_t seen = memory_fail_at(0);
    w->fail_in = w->fail_in > seen ? w->fail_in - seen : 0;
}

void world_resume_failures(struct world *w)
{
    (void)memory_fail_at(w->fail_in);
}
