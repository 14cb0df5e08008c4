/* broker/connection.h: one Network Connection: bytes to packets and back.
 *
 *     recv -> [rx tail] -> frame -> packet -> on_connect, on_publish, ...
 *     ... -> packet -> [tx queue] -> flush at the end of the turn -> send
 *
 * Owned by one worker.  Ending it (connection_close) is possible at any moment: the object stays
 * until the end of the turn, so that callers up the stack may still ask for its state. */
#pragma once

#include "base/list.h"
#include "base/timers.h"
#include "broker/publication.h"
#include "broker/topic_alias.h"
#include "broker/worker.h"
#include "io/received.h"
#include "io/sendq.h"
#include "mqtt/packet.h"

struct client;
struct directory_entry;

struct connection_aliases {
    struct alias_in in;
    struct alias_out out;
};

enum connection_state {
    CONNECTION_AWAITS_CONNECT,
    CONNECTION_OPEN,
    CONNECTION_CLOSED, /* to be destroyed at the end of the turn */
};

enum {                             /* why it is not read: a set */
       PAUSED_BY_MAIL = 1 << 0,    /* another worker does not keep up */
       PAUSED_BY_MEMORY = 1 << 1,  /* memory_limit is near */
       PAUSED_BY_STORE = 1 << 2,   /* the disk does not keep up */
       PAUSED_BY_CONNACK = 1 << 3, /* it waits for the disk, and everything else for it */
};

/* What is here of a packet that is not complete; or only how large the next one will be. */
struct unfinished {
    struct received *in;  /* NULL: nothing has come of it */
    uint32_t packet_size; /* as far as its header said; 0: not known.  NULL above: as expected */
    int64_t begun_ns;
};
struct unfinished *unfinished_create(struct bytes bytes); /* a copy of them; NULL: no memory */
void unfinished_destroy(struct unfinished *u);            /* NULL is fine */

/* There may be a million, nearly all of them idle: what they have no use for is a NULL. */
struct connection {
    struct source source;
    uint8_t state;    /* enum connection_state */
    uint8_t version;  /* enum version */
    uint8_t listener; /* index in the configuration */
    uint8_t watched;  /* what the poller was asked for */
    uint8_t paused;
    bool is_placed : 1; /* this worker is the one for its Session, and holds a claim for it */
    bool has_assigned_id : 1;
    bool is_bridge : 1;
    bool is_broken : 1; /* cannot go on: closed at the end of the turn */
    bool wants_problem_information : 1;
    uint16_t keep_alive_s;       /* 0: none */
    uint16_t receive_max;        /* ours: how many of QoS 2 it may have open */
    uint16_t client_receive_max; /* the Client's: how many we may have in flight */
    uint16_t alias_in_max, alias_out_max;
    uint32_t max_packet_size; /* the Client's; UINT32_MAX: no limit */

    struct worker *worker;
    struct stream *stream;
    struct client *client; /* once OPEN */
    struct unfinished *rx; /* NULL: what was received is done with, and nothing is expected */
    struct sendq tx;
    struct list dirty_link;
    int64_t received_ns;                /* the last packet; before CONNECT: when it was opened */
    int64_t tx_progress_ns;             /* the socket took bytes; meaningless if none wait */
    struct answer *answers;             /* held back until they are safe: answers.h */
    struct connection_aliases *aliases; /* NULL until one is used */
    struct timer timer;
    struct list link; /* in the worker's connections, or those paused, or those closed */
};

/* A connection on its way to the worker that has its Session: the bytes read so far begin with its
 * CONNECT. */
struct handoff {
    struct stream *stream;
    unsigned listener;
    int64_t opened_ns;             /* as worker_live_ns */
    struct directory_entry *claim; /* on the Client Identifier; NULL: used */
    bool has_assigned_id;          /* we chose it: CONNECT says nothing */
    struct unfinished *received;
};
/* Closes the stream and gives the claim back, if they are still there.  NULL is fine. */
void handoff_destroy(struct worker *w, struct handoff *h);

void connection_accept(struct worker *w, unsigned listener, struct stream *stream);
void connection_take(struct worker *w, struct handoff *h); /* takes over */
void connection_destroy(struct connection *c);

/* Walks all that are not closed: start with NULL; NULL at the end. */
struct connection *connection_next(const struct worker *w, const struct connection *after);

/* For a handoff: the stream, no longer watched; the connection is closed without a word. */
struct stream *connection_give_up_stream(struct connection *c);

/* Decodes and handles what is in rx, as far as it goes. */
void connection_process(struct connection *c);

void connection_on_event(struct connection *c, unsigned ready);
void connection_on_timer(struct connection *c);

/* Sends a packet (not PUBLISH).  Reason String and User Properties are left out when they would
 * make it too large for the Client [MQTT-3.1.2-24]. */
void connection_send(struct connection *c, struct packet *p);
/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
void connection_send_ack(struct connection *c, enum packet_type type, uint16_t packet_id,
                         enum reason reason);

struct sending {
    uint8_t qos;
    bool retain, dup;
    uint16_t packet_id;
    const uint32_t *ids; /* Subscription Identifiers */
    size_t id_count;
};
/* Sends a PUBLISH.  False: larger than the Client takes, and not sent. */
bool connection_send_publish(struct connection *c, struct publication *p,
                             const struct sending *how);

bool connection_is_congested(const struct connection *c); /* the queue had better wait */
bool connection_is_flooded(const struct connection *c);   /* QoS 0 is dropped */

/* Sends what waits, as far as the socket takes it. */
void connection_flush(struct connection *c);
/* The same for several, off the dirty list already, at most FLUSH_MANY_MAX. */
enum { FLUSH_MANY_MAX = 128 };
void connection_flush_many(struct worker *w, struct connection *const *these, int count);
void connection_flush_now(struct connection *c);  /* in the middle of a turn; never closes */
void connection_flush_last(struct connection *c); /* one try, before the end */
void connection_watch(struct connection *c, unsigned interest);
void connection_arm(struct connection *c); /* a deadline may have come nearer */

/* Ends it for a fault of the peer or a decision of ours: a DISCONNECT with the reason where the
 * version has it (before CONNACK: nothing), then the socket is closed.  text is for the log
 * (static, Mosquitto's words).  The Will is sent unless told otherwise. */
void connection_fail(struct connection *c, enum reason reason, const char *text);

/* Is it open, and has CONNACK been sent?  Nothing may come before that [MQTT-3.2.0-1]. */
static inline bool connection_may_disconnect(const struct connection *c)
{
    return c->state == CONNECTION_OPEN && (c->paused & PAUSED_BY_CONNACK) == 0;
}

/* The same without any packet: the peer has gone, or has said goodbye (clean). */
void connection_close(struct connection *c, bool is_clean, const char *text);

/* The Topic Aliases, made at first use.  NULL: no memory. */
struct connection_aliases *connection_aliases(struct connection *c);

void connection_pause(struct connection *c, unsigned why);
void connection_resume(struct connection *c, unsigned why); /* goes on with what was read */

void connection_check(const struct connection *c);
