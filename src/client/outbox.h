/* client/outbox.h: the QoS 1 and 2 messages we owe the Server (MQTT 5.0, sections 4.3 and 4.4).
 *
 *     add --> waiting --> inflight --> done: freed, or --> dropped (told as an event)
 *                ^            |
 *                +-- restart -+
 *
 * Who sends what is the client's business; the outbox keeps the books.  One thread. */
#pragma once

#include "base/bytes.h"
#include "base/list.h"

enum awaited { AWAITS_PUBACK, AWAITS_PUBREC, AWAITS_PUBCOMP };
enum place { IS_WAITING, IS_INFLIGHT, IS_DROPPED };

struct outgoing {
    struct list link;
    struct bytes topic, payload, properties; /* in the same block as this struct */
    uint16_t packet_id;
    uint8_t qos;
    bool retain;
    enum place place; /* the ring it is in */
    bool was_sent;    /* in this Session: the next time carries DUP [MQTT-3.3.1-1] */
    enum awaited awaits;
    int error;      /* dropped: 0 or a negative errno */
    uint8_t reason; /* dropped: a Reason Code */
};

struct outbox {
    struct list waiting;  /* in the order of publishing */
    struct list inflight; /* in the order of sending */
    struct list dropped;
    size_t inflight_count;
    size_t count; /* all but the dropped */
    size_t bytes; /* of the same */
};

void outbox_init(struct outbox *box);
void outbox_fini(struct outbox *box);

/* A copy of this message at the end of the waiting.  NULL: no memory. */
struct outgoing *outbox_add(struct outbox *box, struct bytes topic, struct bytes payload,
                            struct bytes properties);

struct outgoing *outbox_first_waiting(const struct outbox *box); /* NULL: none */
struct outgoing *outbox_first_dropped(const struct outbox *box);
void outbox_mark_sent(struct outbox *box, struct outgoing *m); /* the first waiting is inflight */

/* The message in flight with this identifier, or NULL.  Acknowledgements come in the order of
 * sending as a rule [MQTT-4.6.0-2], so the first is the one. */
struct outgoing *outbox_find(const struct outbox *box, uint16_t packet_id);

/* Walks the messages in flight: NULL gives the first; NULL after the last. */
struct outgoing *outbox_next_inflight(const struct outbox *box, struct outgoing *m);

void outbox_remove(struct outbox *box, struct outgoing *m); /* frees it, wherever it is */
void outbox_drop(struct outbox *box, struct outgoing *m, int error, uint8_t reason);

/* A new connection.  With the Session, what was sent and not acknowledged waits again, before all
 * else, and a PUBREL stays in flight [MQTT-4.4.0-1].  Without it, QoS 1 starts anew; a QoS 2
 * message that was sent is dropped: with success if the Server had said PUBREC, which is its word
 * that it has the message, else with -ESTALE, for nobody can know. */
void outbox_restart(struct outbox *box, bool session_present);
