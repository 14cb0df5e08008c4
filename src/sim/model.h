/* sim/model.h: what a broker has to do, said again and simply.
 *
 *     the broker takes a packet    ->  model_on_taken        in the very order in which it takes
 *     it answers CONNECT           ->  model_on_connack      them: so nothing has to be guessed
 *     it closes a connection       ->  model_on_closed
 *     a worker's turn is over      ->  model_on_turn_end     Wills after a delay, Sessions expired
 *     a packet reaches a client    ->  judge.h               expected?  allowed?  in order?
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

/* One copy of one message for one Session, or for one group. */
struct expected {
    struct list link;
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
};

/* A message of QoS > 0 that a client has received and that is not finished. */
struct flight {
    struct list link;
    uint16_t id;
    struct expected *expected;
    uint64_t order;   /* of the first reception */
    uint32_t seen_on; /* connection */
    bool rec_taken;   /* the broker has our PUBREC */
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
    bool had_qos0;        /* a member was ever granted QoS 0 only */
};

struct sim_subscription {
    bool exists;
    uint8_t options;
    uint32_t id;
    struct membership *membership; /* shared */
};

struct sim_session {
    struct list link;
    uint8_t actor;
    bool is_alive;
    struct conn *conn; /* NULL: not connected */
    uint32_t expiry_s;
    int64_t expires_ns; /* while not connected; INT64_MAX: never */
    struct sim_message *will;
    uint32_t will_delay_s;
    int64_t will_ns; /* when it is due; INT64_MAX: not waiting */
    struct sim_subscription subscriptions[FILTER_COUNT];
    struct list memberships;
    struct list expected, flights;
    uint32_t max_packet_size; /* its client's, always the same; 0: no limit */
    uint64_t orders;
    int64_t parted_ns;               /* when a connection last ended; INT64_MIN: never */
    uint16_t received[RECEIVED_MAX]; /* QoS 2 from the client, not released */
    unsigned received_count;
};

struct retained_model {
    struct sim_message *message; /* NULL: none */
    int64_t expires_ns;
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
    struct retained_model retained[TOPIC_COUNT];
    struct buffer messages;          /* struct sim_message *, by index - 1 */
    unsigned connecting[ACTORS_MAX]; /* connections whose CONNECT was taken and not answered */
    bool has_had_walks;              /* Retained Messages were once sent later than at once */
    bool drops;                      /* queues are short: messages may be lost at their limits */
    bool is_blind;      /* memory fails: nothing is promised, nothing is followed or judged */
    bool is_over;       /* the broker is stopping: nothing is judged any more */
    uint64_t delivered; /* how many messages clients have received */
};

void model_init(struct model *m, struct arena *a, struct world *world, struct trace *trace,
                const struct config *config);
void model_fini(struct model *m);

struct sim_message *model_new_message(struct model *m);                   /* with its index */
struct sim_message *model_message(const struct model *m, uint32_t index); /* NULL: none */

/* The broker took the next packet of this connection.  packet: what it believes to have read. */
void model_on_taken(struct model *m, struct conn *c, const struct packet *packet);
void model_on_connack(struct model *m, struct conn *c, const struct connack *p);
/* fault_was_seen: the network has told the broker that the client is gone. */
void model_on_closed(struct model *m, struct conn *c, bool fault_was_seen);

/* What happened by time alone, Wills and the ends of Sessions: asked of the broker, and judged.  In
 * the middle of a turn, too, before another timer's work: a Will goes to a connection that times
 * out in the same turn, if it was first. */
void model_on_time(struct model *m, const struct server *server);
void model_on_turn_end(struct model *m, const struct server *server);

/* Nothing moves any more: has everything arrived that had to? */
void model_check_quiet(struct model *m);

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
