/* base/mailbox.c: a stack with one compare-and-swap to post and one exchange to take.
 *
 *     post C:    newest --> C --> B --> A        take:    A --> B --> C
 *
 * Taking the whole stack at once leaves no room for the ABA problem of lock-free stacks.
 *
 * Sleep.  The receiver writes `sleeping` and then reads `newest`; a sender writes `newest` and then
 * reads `sleeping`.  All four are sequentially consistent, so at least one of the two sees the
 * other: the receiver stays awake or the sender wakes it.  Only the sender that fills an empty box
 * need look: the box was not empty before the others, so the receiver was not going to sleep, or
 * the first one has woken it. */
#include "base/mailbox.h"

#include <stddef.h>

void mailbox_init(struct mailbox *m)
{
    atomic_init(&m->newest, NULL);
    atomic_init(&m->sleeping, false);
}

bool mailbox_post(struct mailbox *m, struct mail *mail)
{
    struct mail *newest = atomic_load_explicit(&m->newest, memory_order_relaxed);
    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak(&m->newest, &newest, mail));
    if (newest != NULL)
        return false;
    return atomic_load(&m->sleeping) && atomic_exchange(&m->sleeping, false);
}

struct mail *mailbox_take(struct mailbox *m)
{
    /* Looking first keeps the senders' cache line shared while there is nothing. */
    if (atomic_load_explicit(&m->newest, memory_order_relaxed) == NULL)
        return NULL;
    struct mail *mail = atomic_exchange(&m->newest, NULL);
    struct mail *oldest_first = NULL;
    while (mail != NULL) {
        struct mail *older = mail->next;
        mail->next = oldest_first;
        oldest_first = mail;
        mail = older;
    }
    return oldest_first;
}

bool mailbox_sleep(struct mailbox *m)
{
    atomic_store(&m->sleeping, true);
    if (atomic_load(&m->newest) == NULL)
        return true;
    atomic_store(&m->sleeping, false);
    return false;
}

void mailbox_awake(struct mailbox *m)
{
    atomic_store_explicit(&m->sleeping, false, memory_order_relaxed);
}
