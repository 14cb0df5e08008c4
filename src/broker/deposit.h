/* broker/deposit.h: a message on its way to the disk, for the Sessions in whose queues it goes.
 *
 *              NEW ---------> JOURNALED ---------> STORED        (the publisher's worker)
 *               |                 |
 *               v                 v
 *              DONE            FINISHED                          (the Session's worker)
 *
 * The publisher's worker makes it, and gives it to the storage thread a moment later; meanwhile it
 * goes to the Sessions.  Who has acknowledged it before it was given away (DONE) is left out; if
 * all have, nothing is written, and the publisher gets its answer at once.  Who is finished while
 * it is being written (FINISHED) has that written after it.  Each change is one atomic step, so
 * the two never both act, or neither. */
#pragma once

#include "base/block.h"
#include "base/list.h"
#include "mqtt/message.h"
#include "router/subscriber.h"

struct answer;
struct worker;

enum deposit_state {
    DEPOSIT_NEW,
    DEPOSIT_DONE,
    DEPOSIT_JOURNALED,
    DEPOSIT_FINISHED,
    DEPOSIT_STORED,
};

struct deposit_entry {
    uint64_t handle, key, seq; /* the Session, and the place in its stored queue */
    uint32_t options, id;
    uint32_t *many_ids; /* owned by the deposit; many_ids[0] of them follow; NULL: id */
    _Atomic uint8_t state;
};

struct deposit {
    struct block block;
    struct list link; /* in the staging's deposits, then in a request's */
    struct message *message;
    unsigned owner;          /* the publisher's worker, by index */
    bool is_settled;         /* its publisher may be told; owner only */
    bool is_under_way;       /* in a request that the storage thread has; owner only */
    uint64_t publisher_hash; /* for groups */
    bool until_sent;         /* persistence mode queued */
    bool upgrades;           /* upgrade_outgoing_qos: the granted QoS counts alone */
    struct answer *answer;   /* waits for it; NULL: nobody does; owner only */
    _Atomic uint32_t open;   /* entries that are not DONE */
    uint32_t count;
    struct deposit_entry entries[];
};

/* How an entry is delivered. */
static inline uint8_t deposit_entry_qos(const struct deposit *d, const struct deposit_entry *e)
{
    uint8_t granted = e->options & SUBSCRIBER_QOS;
    return d->message->qos < granted && !d->upgrades ? d->message->qos : granted;
}

static inline bool deposit_entry_retain(const struct deposit *d, const struct deposit_entry *e)
{
    return (e->options & SUBSCRIBER_RETAIN_AS_PUBLISHED) != 0 && d->message->retain;
}

/* With one reference, room for count entries, and a reference to message.  NULL: no memory. */
struct deposit *deposit_create(unsigned owner, struct message *message, uint32_t count);

static inline struct deposit *deposit_ref(struct deposit *d)
{
    block_ref(&d->block);
    return d;
}

static inline void deposit_unref(struct deposit *d) /* NULL is fine */
{
    if (d != NULL)
        block_unref(&d->block);
}

/* The Session's worker, w, is finished with an entry. */
void deposit_finish(struct worker *w, struct deposit *d, uint32_t index);

/* The owner, at the moment it writes: true if this entry is to be written. */
bool deposit_journal(struct deposit_entry *e);

/* The owner, when it is on the disk: true, or false if it was finished meanwhile. */
bool deposit_store(struct deposit_entry *e);
