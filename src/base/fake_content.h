/* base/fake_content.h: the bytes of one file of base/fake_disk.h: as programs see them, and as the
 * disk has them.  One thread. */
#pragma once

#include "base/bytes.h"

struct fake_content {
    uint64_t size, kept_size; /* seen; on the disk for certain: never more */
    size_t sectors;           /* of room in each of the three */
    uint8_t *now, *kept, *state;
    size_t unclean_from, unclean_to; /* sectors; equal: none */
};

/* All zero is an empty one. */
void fake_content_fini(struct fake_content *c);
int fake_content_copy(struct fake_content *out, const struct fake_content *c); /* 0 or -ENOMEM */

/* Room in memory, so that what follows cannot fail.  0, or -ENOMEM and nothing has changed. */
int fake_content_make_room(struct fake_content *c, uint64_t size);

/* Within the room.  *random is what chance is made of. */
void fake_content_write(struct fake_content *c, struct bytes bytes, uint64_t offset,
                        uint64_t *random);
void fake_content_extend(struct fake_content *c, uint64_t size); /* with zeros; not shorter */
void fake_content_cut(struct fake_content *c, uint64_t size); /* here and on the disk; not longer */
void fake_content_xor(struct fake_content *c, uint64_t offset, uint8_t change); /* as well */

void fake_content_sync(struct fake_content *c);
void fake_content_sync_badly(struct fake_content *c, uint64_t *random);
void fake_content_crash(struct fake_content *c, uint64_t *random);
void fake_content_power_loss(struct fake_content *c, uint64_t *random);

void fake_content_check(const struct fake_content *c); /* invariants; asserts */

/* A number that follows from *random, which moves on (splitmix64). */
static inline uint64_t fake_random(uint64_t *random)
{
    uint64_t x = *random += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static inline uint64_t fake_random_below(uint64_t *random, uint64_t bound)
{
    return fake_random(random) % bound;
}

static inline bool fake_coin(uint64_t *random)
{
    return fake_random(random) & 1;
}
