/* broker/answers.h: acknowledgements that wait until what they promise is on the disk.
 *
 *     connection -> [ PUBACK 7 | PUBACK 8, safe | SUBACK 9 ]
 *                     waits for a deposit         waits for a request
 *
 * They go out in the order in which they were asked for [MQTT-4.6.0-2] [MQTT-4.6.0-3]; other
 * packets pass them.  A Client that is not durable and publishes to nobody durable never has any.
 * For the connection's own worker. */
#pragma once

#include "mqtt/packet.h"

struct connection;
struct worker;

enum answer_kind {
    ANSWER_ACK,     /* PUBACK, PUBREC, PUBREL, PUBCOMP */
    ANSWER_PACKET,  /* SUBACK, UNSUBACK */
    ANSWER_CONNACK, /* with it the Session goes on: on_connack_sent */
};

struct answer {
    struct answer *next;           /* of the connection's: a ring */
    struct answer *next_waiting;   /* of those that wait for the same request */
    struct connection *connection; /* NULL: closed meanwhile, only the waiting is left */
    uint8_t kind;
    bool is_safe;
    bool is_lost; /* it will never be safe: neither it nor what is behind it goes out */
    enum packet_type type;
    enum reason reason;
    uint16_t packet_id;
    struct packet *packet; /* behind this struct; NULL for ANSWER_ACK */
};

/* Queues one, not safe yet.  NULL: the connection is closed, perhaps just now for want of
 * memory. */
struct answer *answer_ack(struct connection *c, enum packet_type type, uint16_t packet_id,
                          enum reason reason);
/* The packet is copied, and so are the reasons of a SUBACK; what else it points to has to live as
 * long as the connection. */
struct answer *answer_packet(struct connection *c, enum answer_kind kind, const struct packet *p);

/* It is safe now: goes out, with those behind it, once it is the first.  Takes it over. */
void answer_safe(struct answer *a);

/* Whoever was to say that it is safe will not: the broker ends. */
void answer_forget(struct answer *a);

/* Does a SUBACK wait, which Retained Messages had better not overtake? */
bool answers_hold_packet(const struct connection *c);

void answers_drop(struct connection *c); /* the connection is closed */
