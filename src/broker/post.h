/* broker/post.h: what workers write to each other.
 *
 *     letter   [ note | message | targets | note | note | targets |       ]
 *                deliver a small one        share  deliver a large one, by reference
 *
 * During a turn notes for a worker (now and then for oneself) collect in a letter; at the end of
 * the turn every letter is posted with one pointer exchange and its receiver woken if it sleeps.
 * A letter that was read goes back to its writer.  Sessions and groups are named by handle, never
 * by pointer. */
#pragma once

#include "base/mailbox.h"
#include "router/share.h"
#include "router/subscriber.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deposit;
struct publication;
struct worker;
struct handoff; /* broker/connection.h */

enum note_kind {
    NOTE_DELIVER,        /* a message for sessions and groups */
    NOTE_DELIVER_STORED, /* a message for the Sessions in a deposit that live there */
    NOTE_STORED,         /* to a Session: what it was delivered is on the disk now */
    NOTE_HURRY,          /* to whom some deposit's subscribers will not acknowledge soon */
    NOTE_SETTLED,        /* to a deposit's owner: nobody needs it on the disk any more */
    NOTE_HANDOFF,        /* a connection whose Session lives there */
    NOTE_SHARE_MEMBER,   /* to a group's home: a member joins or changes */
    NOTE_SHARE_LEAVE,    /* to the home: it is gone */
    NOTE_SHARE_FINISH,   /* to the home: a handover is done with */
    NOTE_SHARE_RETURN,   /* to the home: a handover was not started */
    NOTE_SHARE_HANDOVER, /* from the home: a message for this member */
    NOTE_SHARE_REFUSED,  /* from the home: it has no memory for this member */
};

struct note {
    enum note_kind kind;
    uint32_t size;   /* with what follows it in the letter */
    uint64_t handle; /* whom it is for, but for NOTE_DELIVER: a session, or a group */
    union {
        struct {
            struct message *message;
            bool is_counted;     /* a reference; else a copy behind the note, to be read only */
            uint32_t targets_at; /* from the note's start to its end: struct subscriber */
            uint64_t publisher_hash;
            uint32_t *many_ids; /* owned, and there is one target; NULL: each has its own id */
        } deliver;
        struct deposit *deposit; /* DELIVER_STORED: a reference */
        struct deposit *settled; /* SETTLED: a reference */
        struct {
            uint64_t key, seq;
        } stored;
        struct handoff *handoff; /* owned */
        struct {
            struct share_member_options options;
        } member;
        struct {
            uint64_t member;
            enum share_leave why;
            size_t joined; /* it was the last of so many; 0: it was not */
        } leave;
        struct {
            uint64_t member, ticket;
        } settle; /* FINISH, RETURN */
        struct {
            struct message *message; /* a reference */
            uint64_t group, ticket;
            uint32_t options, id;
            uint8_t qos;
        } handover;
    };
};

enum { LETTER_SIZE = 16 * 1024 };

struct letter {
    struct mail mail;
    struct letter *next; /* in the outbox, older first; in a pool */
    unsigned from;
    uint32_t last, used; /* where the last note begins and ends */
    uint64_t number;     /* of all that its writer has begun; never 0 */
    size_t bytes;        /* of the messages in it, and of those referred to */
    size_t counted;      /* of these, so many are in the reader's unread_bytes */
    _Alignas(16) uint8_t notes[LETTER_SIZE];
};

struct outbox { /* one per target */
    struct letter *first, *last;
};

/* A note to fill in, for this worker; posted at the end of the turn.  bytes is what it refers to.
 * NULL: no memory. */
struct note *post_note(struct worker *w, unsigned to, enum note_kind kind, uint64_t handle,
                       size_t bytes);

/* One more target of a message.  A small message is copied into the letter, once for all its
 * targets there, so that no memory has to be found here and given back there; of a large one the
 * letter keeps a reference.  *in_letter is the number of the letter that has it since an earlier
 * call, 0: none.  Takes over many_ids (or NULL).  0, or -ENOMEM and nothing is taken over. */
int post_message(struct worker *w, struct publication *p, struct subscriber who, uint32_t *many_ids,
                 uint64_t *in_letter);

void post_letters(struct worker *w); /* the end of the turn: all outboxes */

/* The targets of a NOTE_DELIVER. */
static inline const struct subscriber *note_targets(const struct note *n, size_t *count)
{
    const void *first = (const uint8_t *)n + n->deliver.targets_at;
    *count = (n->size - n->deliver.targets_at) / sizeof(struct subscriber);
    return first;
}

/* The notes of a letter, in the order of writing: NULL, then each one; NULL at the end. */
struct note *letter_next(struct letter *l, struct note *n);

/* What was read goes back to its writer, who will fill it again. */
void letter_return(struct worker *reader, struct letter *l);

/* Is so much posted to some worker and not yet read that publishers should wait? */
bool post_is_over_budget(const struct worker *w);
bool post_is_within_half_budget(struct worker *w);

/* Drops what a letter still refers to, and the letter. */
void letter_destroy(struct worker *w, struct letter *l);

void post_fini(struct worker *w); /* the letters that are in nobody's hands */
