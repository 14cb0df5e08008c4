/* broker/deposit.c: see deposit.h. */
#include "broker/deposit.h"
#include "base/memory.h"
#include "broker/post.h"
#include "broker/staging.h"
#include "broker/worker.h"
#include <stddef.h>

static void destroy(struct block *block)
{
    struct deposit *d = container_of(block, struct deposit, block);
    for (uint32_t i = 0; i < d->count; i++)
        memory_free(d->entries[i].many_ids);
    message_unref(d->message);
    memory_free(d);
}

struct deposit *deposit_create(unsigned owner, struct message *message, uint32_t count)
{
    struct deposit *d = memory_alloc(sizeof *d + count * sizeof d->entries[0]);
    if (d == NULL)
        return NULL;
    block_init(&d->block, destroy);
    list_init(&d->link);
    d->message = message_ref(message);
    d->owner = owner;
    d->is_settled = d->is_under_way = d->until_sent = d->upgrades = false;
    d->publisher_hash = 0;
    d->answer = NULL;
    d->count = 0;
    atomic_init(&d->open, 0);
    return d;
}

/* Nobody waits for it to be on the disk: the owner is told. */
static void tell_owner(struct worker *w, struct deposit *d)
{
    if (d->owner == w->index) {
        staging_settle(w, d);
        return;
    }
    struct note *n = post_note(w, d->owner, NOTE_SETTLED, 0, 0);
    if (n != NULL)
        n->settled = deposit_ref(d);
    /* else: no memory, and it goes to the disk, which settles it, too */
}

void deposit_finish(struct worker *w, struct deposit *d, uint32_t index)
{
    struct deposit_entry *e = &d->entries[index];
    uint8_t state = DEPOSIT_NEW;
    if (atomic_compare_exchange_strong(&e->state, &state, DEPOSIT_DONE)) {
        if (atomic_fetch_sub(&d->open, 1) == 1)
            tell_owner(w, d);
        return;
    }
    if (state == DEPOSIT_JOURNALED &&
        atomic_compare_exchange_strong(&e->state, &state, DEPOSIT_FINISHED))
        return;
    if (state == DEPOSIT_STORED)
        staging_finish(w, e->key, e->seq);
}

bool deposit_journal(struct deposit_entry *e)
{
    uint8_t state = DEPOSIT_NEW;
    return atomic_compare_exchange_strong(&e->state, &state, DEPOSIT_JOURNALED);
}

bool deposit_store(struct deposit_entry *e)
{
    uint8_t state = DEPOSIT_JOURNALED;
    return atomic_compare_exchange_strong(&e->state, &state, DEPOSIT_STORED);
}
