/* base/fake_content.c: a file twice.
 *
 *     now      [aaaa][bbbB][cccc][dddd]          what programs read
 *     kept     [aaaa][bbbb][....][dddd]          what the disk has
 *     state     CLEAN DIRTY LOST  CLEAN
 *
 * A write changes `now` and makes its sectors DIRTY; sync copies those to `kept`.  A power loss
 * copies some, and then `kept` over `now`.  LOST is what a failed sync leaves behind: Linux calls
 * pages clean that it could not write, so they differ and nobody will write them.  Where a dirty
 * sector is written again, the disk may have taken the older state in the meantime: a coin says
 * whether it is copied first.
 *
 * Invariants: a CLEAN sector is the same in both; others lie between unclean_from and unclean_to;
 * behind the size `now` has zeros. */
#include "base/fake_content.h"
#include "base/fake_disk.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>

enum { SECTOR = FAKE_DISK_SECTOR };

enum sector { CLEAN, DIRTY, LOST };

/* Which of the unsynced sectors the disk has got.  Tossing a coin for each would never show the
 * simple cases, in which programs fail, too. */
enum luck { ALL, NOTHING, A_BEGINNING, ALL_BUT_ONE, ANY, LUCKS };

void fake_content_fini(struct fake_content *c)
{
    memory_free(c->now);
    memory_free(c->kept);
    memory_free(c->state);
    *c = (struct fake_content){ 0 };
}

int fake_content_copy(struct fake_content *out, const struct fake_content *c)
{
    *out = *c;
    out->now = memory_copy(c->now, c->sectors * SECTOR);
    out->kept = memory_copy(c->kept, c->sectors * SECTOR);
    out->state = memory_copy(c->state, c->sectors);
    if (out->now != NULL && out->kept != NULL && out->state != NULL)
        return 0;
    fake_content_fini(out);
    return -ENOMEM;
}

/* Memory that is asked for as zeros and never touched costs nothing: files are reserved. */
static bool grow(uint8_t **bytes, size_t before, size_t after)
{
    uint8_t *grown = memory_alloc_zero(after);
    if (grown == NULL)
        return false;
    if (before > 0)
        memcpy(grown, *bytes, before);
    memory_free(*bytes);
    *bytes = grown;
    return true;
}

int fake_content_make_room(struct fake_content *c, uint64_t size)
{
    size_t need = (size_t)((size + SECTOR - 1) / SECTOR), before = c->sectors;
    if (need <= before)
        return 0;
    size_t after = need < before * 2 ? before * 2 : need;
    if (!grow(&c->now, before * SECTOR, after * SECTOR) ||
        !grow(&c->kept, before * SECTOR, after * SECTOR) || !grow(&c->state, before, after))
        return -ENOMEM; /* some of the three may be larger, which nobody sees */
    c->sectors = after;
    return 0;
}

/* -------------------------------------------------------------------------------- writing ----- */

static void keep(struct fake_content *c, size_t sector)
{
    memcpy(c->kept + sector * SECTOR, c->now + sector * SECTOR, SECTOR);
}

static void revert(struct fake_content *c, size_t sector)
{
    memcpy(c->now + sector * SECTOR, c->kept + sector * SECTOR, SECTOR);
    c->state[sector] = CLEAN;
}

static void widen_unclean(struct fake_content *c, size_t from, size_t to)
{
    if (c->unclean_from == c->unclean_to) {
        c->unclean_from = from;
        c->unclean_to = to;
    }
    c->unclean_from = from < c->unclean_from ? from : c->unclean_from;
    c->unclean_to = to > c->unclean_to ? to : c->unclean_to;
}

void fake_content_write(struct fake_content *c, struct bytes bytes, uint64_t offset,
                        uint64_t *random)
{
    if (bytes.size == 0)
        return;
    uint64_t end = offset + bytes.size;
    assert(end <= c->sectors * SECTOR);
    size_t from = (size_t)(offset / SECTOR);
    size_t to = (size_t)((end + SECTOR - 1) / SECTOR);
    for (size_t i = from; i < to; i++) {
        if (c->state[i] == DIRTY && fake_coin(random))
            keep(c, i);
        c->state[i] = DIRTY;
    }
    widen_unclean(c, from, to);
    memcpy(c->now + offset, bytes.data, bytes.size);
    c->size = end > c->size ? end : c->size;
}

void fake_content_extend(struct fake_content *c, uint64_t size)
{
    assert(size >= c->size && size <= c->sectors * SECTOR);
    c->size = size;
}

void fake_content_cut(struct fake_content *c, uint64_t size)
{
    assert(size <= c->size);
    if (size < c->size) {
        memset(c->now + size, 0, (size_t)(c->size - size));
        memset(c->kept + size, 0, (size_t)(c->size - size));
    }
    c->size = size;
    c->kept_size = c->kept_size < size ? c->kept_size : size;
}

void fake_content_xor(struct fake_content *c, uint64_t offset, uint8_t change)
{
    assert(offset < c->size);
    c->now[offset] ^= change;
    c->kept[offset] ^= change;
}

/* -------------------------------------------------------------------------------- syncing ----- */

void fake_content_sync(struct fake_content *c)
{
    size_t from = c->unclean_from, to = c->unclean_to;
    c->unclean_from = c->unclean_to = 0;
    for (size_t i = from; i < to; i++) {
        if (c->state[i] == DIRTY) {
            keep(c, i);
            c->state[i] = CLEAN;
        } else if (c->state[i] == LOST) {
            widen_unclean(c, i, i + 1);
        }
    }
    c->kept_size = c->size;
}

void fake_content_sync_badly(struct fake_content *c, uint64_t *random)
{
    for (size_t i = c->unclean_from; i < c->unclean_to; i++) {
        if (c->state[i] != DIRTY)
            continue;
        bool arrived = fake_coin(random);
        if (arrived)
            keep(c, i);
        c->state[i] = arrived ? CLEAN : LOST;
    }
}

/* The system forgets what it holds to be clean whenever it needs the memory; here, between two
 * lives of the program. */
void fake_content_crash(struct fake_content *c, uint64_t *random)
{
    for (size_t i = c->unclean_from; i < c->unclean_to; i++)
        if (c->state[i] == LOST && fake_coin(random))
            revert(c, i);
}

static bool is_lucky(enum luck luck, size_t sector, size_t chosen, uint64_t *random)
{
    switch (luck) {
    case ALL:
        return true;
    case A_BEGINNING:
        return sector < chosen;
    case ALL_BUT_ONE:
        return sector != chosen;
    case ANY:
        return fake_coin(random);
    case NOTHING:
    case LUCKS:
        break;
    }
    return false;
}

static uint64_t size_after_loss(const struct fake_content *c, uint64_t *random)
{
    uint64_t grown = c->size - c->kept_size;
    switch (fake_random_below(random, 3)) {
    case 0:
        return c->kept_size;
    case 1:
        return c->size;
    default:
        return c->kept_size + fake_random_below(random, grown + 1);
    }
}

void fake_content_power_loss(struct fake_content *c, uint64_t *random)
{
    enum luck luck = (enum luck)fake_random_below(random, LUCKS);
    size_t count = c->unclean_to - c->unclean_from;
    size_t chosen = c->unclean_from + (size_t)fake_random_below(random, count + 1);
    for (size_t i = c->unclean_from; i < c->unclean_to; i++) {
        if (c->state[i] == DIRTY && is_lucky(luck, i, chosen, random))
            keep(c, i);
        revert(c, i);
    }
    c->unclean_from = c->unclean_to = 0;
    if (c->size > c->kept_size)
        fake_content_cut(c, size_after_loss(c, random));
    c->kept_size = c->size;
}

void fake_content_check(const struct fake_content *c)
{
    assert(c->kept_size <= c->size);
    assert(c->size <= c->sectors * SECTOR);
    assert(c->unclean_from <= c->unclean_to && c->unclean_to <= c->sectors);
    for (size_t i = 0; i < c->sectors; i++) {
        size_t at = i * SECTOR;
        bool is_clean = c->state[i] == CLEAN;
        assert(is_clean || (c->unclean_from <= i && i < c->unclean_to));
        assert(!is_clean || memcmp(c->now + at, c->kept + at, SECTOR) == 0);
    }
    for (uint64_t i = c->size; i < c->sectors * SECTOR; i++)
        assert(c->now[i] == 0);
}
