/* router/share.h: the queue of one Shared Subscription's group (MQTT 5.0, section 4.8.2).
 *
 *     publish -> [ waiting: m7 m6 m5 ]  -> member A [ given: m1 m3 ]
 *                                       -> member B [ given: m2 m4 ]
 *
 * The group lives at home on one worker; messages come to it and it hands each to one member.  A
 * member has credit for `window` messages of QoS > 0 that it has not finished; without credit (or
 * while offline) it is given none, and messages wait here, up to the limits.  When a member leaves,
 * what it was given and had not finished goes back to the front of the queue in the old order (for
 * QoS 2 only what it had not started).
 *
 * QoS 0 messages do not use credit: they go to an online member or, with none online, wait only if
 * the limits say so (qos0), else are dropped.
 *
 * With the hash strategies all messages of one key go to one member while the set of members that
 * can be chosen is the same: online members, or, if none is online, nobody.  A key whose member has
 * no credit waits, and later messages of the same key wait behind it; other keys pass.  The choice
 * is by rendezvous hashing, so that a member's coming or going moves only its own keys.  When a key
 * moves to another member, messages of it that the old member has not finished are finished first:
 * order per key is kept.
 *
 * One thread (the home worker's).  Sans-I/O: effects are read with share_next. */
#pragma once

#include "base/bytes.h"
#include "mqtt/message.h"

struct share_group;

enum share_choice { /* values as enum share_strategy of the configuration */
                    SHARE_CHOOSE_ROUND_ROBIN,
                    SHARE_CHOOSE_LEAST_INFLIGHT,
                    SHARE_CHOOSE_HASH_CLIENT_ID,
                    SHARE_CHOOSE_HASH_TOPIC,
};

struct share_group_options {
    enum share_choice choice;
    size_t queued_messages_max; /* waiting; 0: no limit */
    size_t queued_bytes_max;    /* waiting; 0: no limit */
    bool queue_qos0;            /* keep QoS 0 messages while nobody is online */
    bool drop_oldest;           /* at a limit: the oldest waiting one goes, not the new one */
    uint64_t seed;
};

/* How each is named everywhere: by its session's handle. */
struct share_member_options {
    uint64_t handle;
    uint32_t options; /* granted QoS and flags, as in router/subscriber.h */
    uint32_t id;      /* Subscription Identifier, 0: none */
    uint16_t window;  /* messages of QoS > 0 it may hold unfinished; at least 1 */
    bool online;
};

struct share_group *share_group_create(const struct share_group_options *o); /* NULL: no memory */
/* New limits (everything but choice and seed, which stay for as long as the group lives). */
void share_group_set_limits(struct share_group *g, const struct share_group_options *o);
void share_group_destroy(struct share_group *g); /* NULL is fine; drops all it holds */

/* A member joins, or changes options, window or whether it is online.  0 or -ENOMEM. */
int share_group_set_member(struct share_group *g, const struct share_member_options *m);

/* A handover that the member never started to send comes back to the front of the queue (its
 * connection closed with the message still queued there): any QoS, old order, credit comes back.
 * Unknown tickets are ignored. */
void share_group_return(struct share_group *g, uint64_t handle, uint64_t ticket);

/* The member is gone.  SESSION_ENDED: unfinished messages of QoS 1 go back to the front of the
 * queue in the old order; those of QoS 2 were started and must not go to anybody else
 * [MQTT-4.8.2-5]: they are forgotten.  UNSUBSCRIBED: its session finishes what it was given,
 * nothing goes back [MQTT-3.10.4-3].  Unknown handles are ignored. */
enum share_leave { SHARE_LEAVE_SESSION_ENDED, SHARE_LEAVE_UNSUBSCRIBED };
void share_group_leave(struct share_group *g, uint64_t handle, enum share_leave why);

size_t share_group_member_count(const struct share_group *g);
size_t share_group_waiting_count(const struct share_group *g);
size_t share_group_waiting_bytes(const struct share_group *g); /* of message_size() */

enum share_push {
    SHARE_PUSHED,
    SHARE_DROPPED_QUEUE_FULL, /* the new one, or with drop_oldest an old one, was dropped */
    SHARE_DROPPED_NOBODY,     /* QoS 0 and nobody online */
    SHARE_DROPPED_NO_MEMORY,
};
/* publisher_hash: of the publisher's client id, for SHARE_CHOOSE_HASH_CLIENT_ID.  Takes a reference
 * of its own. */
enum share_push share_group_push(struct share_group *g, struct message *m, uint64_t publisher_hash);

struct share_handover {
    uint64_t handle;
    struct message *message;
    uint64_t ticket;
    uint32_t options;
    uint32_t id;
    uint8_t qos;
};

/* The same; until the group lets go of the message, for whatever reason, it holds a reference to
 * claim (it takes one of its own; NULL: none). */
enum share_push share_group_push_claimed(struct share_group *g, struct message *m,
                                         uint64_t publisher_hash, struct block *claim);

/* The short way of a QoS 0 message for which nothing has to be kept: somebody is online, and
 * nothing waits that it must not overtake.  True and *out, as from share_group_next, but without a
 * reference: out->message is NULL.  False: push it. */
bool share_group_pass(struct share_group *g, const struct message *m, uint64_t publisher_hash,
                      int64_t now_ns, struct share_handover *out);

/* The next handing over: true and *out, to be sent to that member; call until false after any of
 * the other calls.  QoS is min(message, granted).  For QoS > 0, `ticket` is to come back with
 * share_group_finish; for QoS 0 it is 0.  *out holds a reference to the message that is now the
 * caller's.  expired messages (now_ns) are skipped and counted. */
bool share_group_next(struct share_group *g, int64_t now_ns, struct share_handover *out);

/* The member has acknowledged it, or refused it for good [MQTT-4.8.2-6]: it is forgotten and the
 * credit comes back.  Unknown tickets are ignored. */
void share_group_finish(struct share_group *g, uint64_t handle, uint64_t ticket);

/* Messages skipped because they had expired, since the last call. */
size_t share_group_expired_count(struct share_group *g);

void share_group_check(const struct share_group *g); /* walks the invariants; asserts */
