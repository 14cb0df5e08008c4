/* sim/conn.h: one Network Connection, as its client and the checker know it.
 *
 *     client  -- sent ------------>  broker        `sent`: packets the broker has not taken yet
 *             <-- due ------------                 `due`: packets taken that want an answer
 *
 * Made by its client (sim/actor.h).  The checker (sim/model.h, sim/judge.h) follows the broker's
 * side of it by what the broker takes and when it closes. */
#pragma once

#include "base/buffer.h"
#include "base/list.h"
#include "mqtt/packet.h"
#include "sim/story.h"

enum { SENT_FILTERS_MAX = 4, OPEN_MAX = 64, ALIASES_MAX = 16 };

struct actor;
struct link;
struct promise;
struct sim_session;

/* A packet of the client's, as it meant it. */
struct sent {
    struct list link;
    enum packet_type type; /* 0: bytes that are no packet */
    uint16_t packet_id;
    enum reason reason;
    struct sim_message *message; /* PUBLISH */
    bool dup;
    bool has_expiry; /* DISCONNECT: a new Session Expiry Interval */
    uint32_t expiry_s;
    uint8_t filter_count; /* SUBSCRIBE, UNSUBSCRIBE */
    uint8_t filters[SENT_FILTERS_MAX];
    uint8_t options[SENT_FILTERS_MAX];
    uint32_t subscription_id; /* 0: none */
    /* What the broker has to answer; known once it has taken the packet. */
    uint8_t codes[SENT_FILTERS_MAX];
    enum reason answer;
    bool is_answered;        /* the answer was sent, though it may not have arrived */
    struct promise *promise; /* PUBLISH that was taken; NULL: nothing was to be done */
};

/* What CONNECT says. */
struct greeting {
    enum version version;
    bool clean_start;
    uint32_t expiry_s; /* as the broker will understand it: UINT32_MAX for ever */
    uint16_t keep_alive_s;
    uint16_t receive_max;     /* 65535 if not said */
    uint16_t alias_max;       /* 0 if not said */
    uint32_t max_packet_size; /* 0: no limit */
    struct sim_message *will; /* NULL: none */
    uint32_t will_delay_s;
};

struct conn {
    struct list in_actor;
    uint32_t number;
    struct actor *actor;
    uint8_t actor_index;
    struct link *link; /* NULL: the client has forgotten it */
    struct greeting greeting;

    /* The broker's side. */
    struct list sent, due;
    uint64_t handle, key;        /* of the broker's Session, at CONNACK: see peek_identity */
    struct sim_session *session; /* from CONNACK on */
    bool is_attached;            /* CONNACK sent, not closed */
    bool is_closed;              /* by the broker */
    bool is_connecting;          /* CONNECT taken, and not answered */
    bool connack_present;        /* what CONNACK has to say */
    bool is_refused;             /* it says that the disk is full */
    bool disconnect_taken;
    enum reason disconnect_reason;
    enum reason
        must_fail; /* the client broke a rule: the broker has to end it; SUCCESS: it did not */
    int64_t opened_ns, taken_ns, left_ns, read_ns; /* left: INT64_MAX while the client is there */
    struct buffer publish_times;                   /* int64_t: when each PUBLISH was sent */
    size_t publish_times_read;

    /* The client's side. */
    bool has_connack;
    bool is_ghost; /* replaced by another connection of the same client: only waits for its end */
    bool was_told_goodbye;
    enum reason goodbye;
    struct buffer rx;
    uint16_t broker_receive_max, broker_alias_max;
    int8_t aliases_in[ALIASES_MAX];  /* broker -> client: topic of each alias, -1: none */
    int8_t aliases_out[ALIASES_MAX]; /* client -> broker */
    uint16_t open[OPEN_MAX]; /* Packet Identifiers received here and not finished by the client */
    unsigned open_count;
    uint64_t resent_order[2]; /* of the last delivery that was sent again here; 1: from the disk */
    bool has_seen_new;        /* a PUBLISH that is not sent again */
    int64_t sent_ns;          /* the client's last packet */
};
