/* sim/plant.h: bugs put in on purpose, to see whether they are found.
 *
 * Each is planted at a door that the simulation owns: at the client's end of the network, in the
 * table of functions between a Session and its connection, or in the broker's memory between two
 * packets.  The broker's own code is not touched. */
#pragma once

#include "base/env.h"
#include "mqtt/packet.h"
#include "session/session.h"

struct connection;
struct server;

/* PLANT(NAME, "name", "what is wrong") */
#define PLANT_TABLE(PLANT)                                                                         \
    PLANT(FORGET_DUP, "forget-dup", "what is sent again comes without DUP")                        \
    PLANT(LOSE_ON_FULL_WINDOW, "lose-on-full-window",                                              \
          "a message that finds the window full is lost")                                          \
    PLANT(ACK_BEFORE_ROUTE, "ack-before-route", "PUBACK for a message that was not taken yet")     \
    PLANT(DUPLICATE_QOS2, "duplicate-qos2", "a QoS 2 message that is sent again is taken again")   \
    PLANT(SWAP, "swap", "two messages in the wrong order")                                         \
    PLANT(WRONG_PRESENT, "wrong-present", "Session Present says the contrary")                     \
    PLANT(EARLY_WILL, "early-will", "a Will does not wait for its delay")                          \
    PLANT(LOSE_RETURNED, "lose-returned", "what a member gives back to its group is lost")         \
    PLANT(KEEP_RETAIN, "keep-retain", "RETAIN is set on every message")                            \
    PLANT(LOSE_WAKE, "lose-wake", "a worker that sleeps is not woken by another's letter")         \
    PLANT(ACK_BEFORE_DISK, "ack-before-disk", "PUBACK and PUBREC do not wait for the disk")        \
    PLANT(FORGET_PUBREC, "forget-pubrec", "that a PUBREC has come is not written")                 \
    PLANT(LEAK, "leak", "memory is not given back")

enum plant_kind {
    PLANT_NONE,
#define PLANT(name, text, words) PLANT_##name,
    PLANT_TABLE(PLANT)
#undef PLANT
        PLANT_COUNT
};

struct plant {
    enum plant_kind kind;
    uint32_t seen;                              /* occasions so far */
    const struct delivery_sink_ops *broker_ops; /* what its Sessions do to the world */
    struct delivery_sink_ops sink_ops;          /* the same, spoilt */
};

enum plant_kind plant_from_name(const char *name); /* PLANT_NONE: unknown */
const char *plant_name(enum plant_kind kind);

/* A packet arrives at a client; may be changed. */
void plant_on_arrival(struct plant *plant, struct packet *p);

bool plant_swaps(struct plant *plant, const struct packet *p); /* with the one after it */

/* A client sends a PUBLISH of QoS 1: is it answered without the broker? */
bool plant_answers(struct plant *plant);

/* Inside the broker's turn: it is about to take a packet, it has said CONNACK, the turn is over. */
void plant_on_taken(struct plant *plant, const struct connection *c, const struct packet *p);
void plant_on_connack(struct plant *plant, const struct connection *c);
void plant_on_turn(struct plant *plant, const struct server *server);

/* Before anything happens. */
void plant_on_network(struct plant *plant, struct network *door);
