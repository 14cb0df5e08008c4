/* sim/actor.h: a make-believe client.
 *
 * It draws everything it does from its own dice: connects, subscribes, publishes, acknowledges late
 * or in the wrong order, falls asleep, leaves politely or not, comes back twice.  Rules of the
 * protocol it keeps, but for a few on purpose.  When calm, it comes back once and only finishes
 * what is open. */
#pragma once

#include "sim/model.h"
#include "sim/net.h"
#include "sim/plant.h"

enum { ACKS_MAX = 128, OUTS_MAX = 48 };

/* What all actors share. */
struct stage {
    struct world *world;
    struct net *net;
    struct model *model;
    struct trace *trace;
    struct arena *arena;
    struct plant *plant;
    unsigned listeners; /* one per worker */
};

struct owed { /* an acknowledgement */
    enum packet_type type;
    uint16_t packet_id;
    enum reason reason;
};

/* A message of QoS > 0 on its way to the broker. */
struct out {
    struct sim_message *message;
    uint16_t packet_id;
    bool is_released;  /* PUBREC has come */
    uint32_t first_on; /* connection */
};

struct actor {
    struct stage *stage;
    struct dice dice;
    uint8_t index;
    enum version version;
    int shared_filter; /* the group it joins, -1: none */
    uint16_t receive_max, alias_max;
    uint32_t max_packet_size; /* 0: no limit */
    uint32_t slackness;       /* out of a thousand: acknowledgements that are put off */
    uint32_t disorder;        /* out of a thousand: those that are taken out of turn */
    uint32_t slowness;        /* out of a thousand: reads that are followed by a pause */

    struct conn *conn;  /* NULL: none */
    struct list ghosts; /* replaced connections */
    int64_t act_ns;     /* when it acts next */
    int64_t read_ns;    /* not before */
    uint16_t next_id;
    struct out outs[OUTS_MAX]; /* oldest first */
    unsigned out_count;
    struct owed acks[ACKS_MAX];
    unsigned ack_count;
    bool wants_new_session;
    bool is_calm;
};

struct bytes actor_client_id(unsigned index);

void actor_init(struct actor *a, struct stage *stage, uint8_t index, uint64_t seed);
void actor_fini(struct actor *a); /* leaves whatever is still connected */

bool actor_is_due(const struct actor *a); /* something to do now */
void actor_act(struct actor *a);

bool actor_can_read(const struct actor *a);
void actor_read(struct actor *a);  /* some bytes of one connection */
void actor_drain(struct actor *a); /* all that have arrived: there will be no more */

/* When it wants to do something, as far as it knows now. */
int64_t actor_next_ns(const struct actor *a);

void actor_calm(struct actor *a);
void actor_publish(struct actor *a);          /* one message; it must be connected */
bool actor_is_settled(const struct actor *a); /* calm, and nothing left to do */
