/* sim/model.h: what a broker has to do, said again and simply.
 *
 *     the broker takes a packet    ->  model_on_taken        in the very order in which it takes
 *     it answers CONNECT           ->  model_on_connack      them: so nothing has to be guessed
 *     it closes a connection       ->  model_on_closed
 *     a worker's turn is over      ->  model_on_turn_end     Wills after a delay, Sessions expired
 *     it sends an acknowledgement  ->  promises.h            what has to survive from now on
 *     a packet reaches a client    ->  judge.h               expected?  allowed?  in order?
 *     it dies, and is back         ->  aftermath.h           what has survived?
 *
 * The model knows no worker, no queue and no letter: one list of Sessions, one list of
 * subscriptions each, and for each Session the messages that it is to get.  When a packet is taken
 * is learnt from the broker's own tap; what it said, from the client that sent it.  Everything here
 * lives in one arena, as long as the run. */
#pragma once

#include "config/config.h"
#include "sim/conn.h"
#include "sim/trace.h"
#include "sim/world.h"

struct server;

enum { IDS_MAX = FILTER_COUNT, RECEIVED_MAX = 128 };

enum expectation {
    EXPECTED_WAITS,
    EXPECTED_RECEIVED, /* by a client; for QoS > 0, its acknowledgement has not been taken */
    EXPECTED_DONE,
    EXPECTED_DROPPED, /* expired, or too large, or the like: must not come any more */
};

/* What the broker has taken and then acknowledged, or not yet: a message, with its places in all
 * queues. */
struct promise {
    bool is_kept; /* acknowledged: it has to survive */
    bool is_void; /* a Will that is still to be published after a crash */
    int64_t kept_ns;
    uint32_t conn; /* number of the publisher's connection; 0: none, a Will */
};

/* One copy of one message for one Session, or for one group. */
struct expected {
    struct list link; /* in the Session's or the group's expected; done: in the Session's done */
    const struct sim_message *message;
    int64_t expires_ns; /* INT64_MAX: never */
    int64_t taken_ns;
    enum expectation state;
    uint8_t qos;
    bool retain;
    bool is_retained; /* sent because of a SUBSCRIBE */
    bool is_soft;     /* may get lost */
    bool is_vague;    /* nobody knows exactly when it expires */
    bool has_twin;    /* its like was expected before or after: they cannot be told apart */
    uint8_t id_count;
    uint32_t ids[IDS_MAX];      /* Subscription Identifiers, sorted */
    struct sim_group *group;    /* NULL: for a Session of its own */
    struct sim_session *holder; /* a group's: who has received it */
    uint32_t online_on;         /* connection number while which it was sent; 0: offline */
    const struct promise *promise;
    bool is_stored;  /* on the disk, once it is promised */
    bool until_sent; /* but only until it is sent */
    bool is_refused; /* by its client */
    bool was_seen;   /* received by the client, before the broker died */
    bool is_matched; /* found on the disk; for aftermath.c */
    uint64_t serial; /* in the order of taking */
    uint64_t seq;    /* found on the disk: its place in the queue; 0: it was not */
    uint16_t packet_id;
    int64_t done_ns;
};

/* A message of QoS > 0 that a client has received and that is not finished. */
struct flight {
    struct list link;
    uint16_t id;
    struct expected *expected;
    uint64_t order;   /* of the first reception */
    uint32_t seen_on; /* connection */
    bool rec_taken;   /* the broker has our PUBREC */
    bool rel_sent;    /* it has sent PUBREL */
    bool is_matched;  /* for aftermath.c */
};

struct membership {
    struct list in_session, in_group;
    struct sim_session *session;
    struct sim_group *group;
    bool is_member;        /* still */
    int64_t left_ns;       /* INT64_MAX: still a member */
    uint64_t options_used; /* set of 1 << Subscription Options byte */
    uint64_t ids_used[4];  /* set of Subscription Identifiers below 256 */
};

struct sim_group { /* from its first member to its last */
    struct list link;
    struct list in_all;
    unsigned filter;
    unsigned member_count;
    struct list members;  /* struct membership, former ones, too */
    struct list expected; /* struct expected */
    struct list done;     /* those that were stored, and may be found on the disk still */
    bool had_qos0;        /* a member was ever granted QoS 0 only */
    bool is_durable;      /* a durable Session has ever joined it */
};

struct sim_subscription {
    bool exists;
    uint8_t options;
    uint32_t id;
    struct membership *membership; /* shared */
};

/* A subscription made, changed or ended (exists is false), and not acknowledged. */
struct subscription_change {
    struct list link;
    const struct sent *sent;
    unsigned filter;
    struct sim_subscription to;
};

/* A Packet Identifier of a QoS 2 message from the client. */
struct receipt {
    uint16_t id;
    struct promise *promise;
};

struct sim_session {
    struct list link;
    struct list in_all;
    uint64_t handle, key; /* of the broker's: see peek_identity.  key 0: it is not durable */
    uint8_t actor;
    bool is_alive;
    struct conn *conn; /* NULL: not connected */
    uint32_t expiry_s;
    int64_t expires_ns;        /* while not connected; INT64_MAX: never */
    uint32_t connack_expiry_s; /* before a DISCONNECT changed it */
    bool is_promised;          /* CONNACK was sent */
    bool is_buried;            /* it has ended, and may not come back */
    int64_t ended_ns;
    struct sim_message *old_will; /* published, or dropped */
    int64_t old_will_ns;
    struct promise *will_promise; /* NULL: it was not published */
    struct sim_message *will;
    uint32_t will_delay_s;
    int64_t will_ns; /* when it is due; INT64_MAX: not waiting */
    struct sim_subscription subscriptions[FILTER_COUNT];
    struct list changes;                           /* struct subscription_change */
    struct sim_subscription settled[FILTER_COUNT]; /* as acknowledged */
    struct list memberships;
    struct list expected, flights;
    struct list done;         /* those that were stored, and may be found on the disk still */
    uint32_t max_packet_size; /* its client's, always the same; 0: no limit */
    uint64_t orders;
    int64_t parted_ns;                     /* when a connection last ended; INT64_MIN: never */
    struct receipt received[RECEIVED_MAX]; /* QoS 2 from the client, not released */
    unsigned received_count;
    uint16_t releasing[RECEIVED_MAX]; /* released, but PUBCOMP was not sent */
    unsigned releasing_count;
};

struct retained_model {
    struct sim_message *message; /* NULL: none */
    int64_t expires_ns;
};

struct retained_change {
    struct list link;
    struct retained_model to;
    const struct promise *promise;
};

struct model {
    struct arena *arena;
    struct world *world;
    struct trace *trace;
    const struct config *config;
    struct list sessions;                     /* alive */
    struct list groups;                       /* with members */
    struct list all_groups;                   /* and those that were */
    struct sim_session *by_actor[ACTORS_MAX]; /* NULL: none alive */
    struct list all_sessions;                 /* and those that have ended */
    struct retained_model retained[TOPIC_COUNT];
    struct retained_model settled_retained[TOPIC_COUNT]; /* as acknowledged */
    struct list retained_changes[TOPIC_COUNT];           /* and since: struct retained_change */
    uint64_t serials;
    struct buffer messages;          /* struct sim_message *, by index - 1 */
    unsigned connecting[ACTORS_MAX]; /* connections whose CONNECT was taken and not answered */
    bool has_had_walks;              /* Retained Messages were once sent later than at once */
    bool drops;                      /* queues are short: messages may be lost at their limits */
    int64_t fell_ns;                 /* when the broker died last */
    bool (*has_room)(void *context, size_t bytes); /* on the disk; NULL: always */
    bool (*is_full)(void *context); /* the disk, so that nothing new is stored; NULL: never */
    void *context;
    bool is_blind;      /* memory fails: nothing is promised, nothing is followed or judged */
    bool is_over;       /* the broker is stopping: nothing is judged any more */
    uint64_t delivered; /* how many messages clients have received */
};

void model_init(struct model *m, struct arena *a, struct world *world, struct trace *trace,
                const struct config *config);
void model_fini(struct model *m);

struct sim_message *model_new_message(struct model *m);                   /* with its index */
struct sim_message *model_message(const struct model *m, uint32_t index); /* NULL: none */

struct promise *model_new_promise(struct model *m, uint32_t conn);
enum persistence_mode model_mode(const struct model *m, unsigned topic);

/* The broker took the next packet of this connection.  packet: what it believes to have read. */
void model_on_taken(struct model *m, struct conn *c, const struct packet *packet);
void model_on_connack(struct model *m, struct conn *c, const struct connack *p);
/* CONNECT was dealt with, and then the connection closed before CONNACK was sent. */
void model_on_lost_connack(struct model *m, struct conn *c);
/* fault_was_seen: the network has told the broker that the client is gone. */
void model_on_closed(struct model *m, struct conn *c, bool fault_was_seen);

/* What happened by time alone, Wills and the ends of Sessions: asked of the broker, and judged.  In
 * the middle of a turn, too, before another timer's work: a Will goes to a connection that times
 * out in the same turn, if it was first. */
void model_on_time(struct model *m, const struct server *server);
void model_on_turn_end(struct model *m, const struct server *server);

/* Nothing moves any more: has everything arrived that had to? */
void model_check_quiet(struct model *m);

/* The broker dies, or begins to stop: until aftermath, nothing is judged. */
void model_on_fall(struct model *m);

/* For aftermath.c: a Session, as the disk has it; with what happens to it from now on. */
struct sim_session *model_new_session(struct model *m, uint8_t actor);
void model_expect_again(struct sim_session *s, struct expected *e);
bool model_look_alike(const struct sim_message *a, const struct sim_message *b);

/* For judge.c. */
bool expected_may_be_lost(const struct model *m, const struct expected *e, uint32_t max_packet_size,
                          int64_t now_ns);
uint32_t expected_expiry_s(const struct expected *e, int64_t sent_ns); /* at least 1 */
/* Could it be this one, sent at that time? */
bool expected_fits_time(const struct sim_session *s, const struct expected *e,
                        const struct publish *p, int64_t sent_ns);
uint8_t model_granted_qos(const struct model *m, const struct sim_message *message,
                          uint8_t options);
struct flight *session_flight(const struct sim_session *s, uint16_t packet_id);

#define MODEL_FAIL(m, ...) trace_fail((m)->trace, __VA_ARGS__)
