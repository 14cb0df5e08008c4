/* base/mailbox.h: many threads post, one thread takes.
 *
 * A lock-free stack of mails, taken whole and reversed: first in, first out per sender, and between
 * senders in the order of their posts.  A receiver that is about to sleep says so; the sender that
 * finds it asleep is told to wake it, so there is at most one wake per sleep. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

struct mail {
    struct mail *next;
    unsigned kind; /* the receiver's: what it is part of */
};

struct mailbox {
    _Atomic(struct mail *) newest;
    atomic_bool sleeping;
};

void mailbox_init(struct mailbox *m);

/* Any thread.  True: the receiver sleeps and this caller must wake it. */
bool mailbox_post(struct mailbox *m, struct mail *mail);

/* Receiver: all mails, oldest first, linked by `next`; NULL when there are none. */
struct mail *mailbox_take(struct mailbox *m);

/* Receiver: announces sleep.  False: mail arrived meanwhile, do not sleep. */
bool mailbox_sleep(struct mailbox *m);
void mailbox_awake(struct mailbox *m); /* receiver: no longer asleep */
