/* broker/store_stage.h: a durable server on a disk that may fail, and clients that remember what
 * they were told.
 *
 *     clients --- packets --->  server  --- watched door --->  disk
 *        `-> what they were told: messages taken, subscriptions, Sessions, what is retained
 *
 * Clients keep Session State as the standard wants it: they send again what was not acknowledged,
 * and know a message of QoS 2 that comes twice.  After a power loss stage_verify asks a new server
 * on the same disk whether everything they had been told is true.
 *
 * One subscriber counts, the one in `reader`.  For tests: what is wrong fails the test. */
#pragma once

#include "broker/fuzz_world.h"
#include "broker/watched_disk.h"
#include "mqtt/packet.h"

enum { STAGE_MESSAGES_MAX = 100, STAGE_FILTERS_MAX = 4, STAGE_IDS_MAX = 100, STAGE_OUT_MAX = 16 };

enum stage_trouble { TROUBLE_NONE, TROUBLE_MEMORY, TROUBLE_EIO, TROUBLE_ENOSPC };

enum truth { NO, MAYBE, YES }; /* what was said; MAYBE: there was no answer */

struct stage_message {
    char topic[16];
    uint8_t qos;
    bool retain, clears; /* clears: an empty payload, which nobody can tell apart */
    bool is_reader_sure; /* the reader was subscribed before it was sent */
    bool is_taken;       /* acknowledged with success */
    bool is_owed;        /* the reader has to get it */
    unsigned came;       /* to the reader; not counting what it knows as a repetition */
};

struct stage_filter {
    const char *filter, *topic; /* topic: one that matches */
    enum truth is_there;
};

struct stage_out {      /* a publisher's message under way */
    uint16_t packet_id; /* 0: free */
    bool is_received;   /* PUBREC has come, PUBREL is sent */
    int message;
};

struct stage_held { /* a message that was not acknowledged */
    uint16_t packet_id;
    uint8_t qos;
    int message;
};

struct stage_client {
    struct stage *stage;
    const char *id;
    enum version version;
    uint32_t expiry_s;
    bool has_will;   /* the next CONNECT has one, on "w/x", with a delay of 5 s */
    bool holds_acks; /* acknowledges no message, and does not count it before */

    struct fuzz_link *link; /* NULL: not connected */
    bool is_connected;      /* CONNACK has come */
    enum truth session;
    struct stage_filter filters[STAGE_FILTERS_MAX];
    struct stage_out out[STAGE_OUT_MAX];
    uint16_t next_id;
    struct stage_held held[STAGE_IDS_MAX];
    unsigned held_count;
    int will;                         /* the message; -1: none */
    int last;                         /* message that came; -1: none */
    uint16_t received[STAGE_IDS_MAX]; /* QoS 2: PUBREC sent, PUBREL awaited; 0: free */
    unsigned heard[16];               /* packets, by type */
    enum reason reasons[16];          /* the last one's */
    bool session_present;             /* of the last CONNACK */
    size_t in_size;
    uint8_t in[32 * 1024];
};

struct stage {
    struct watched_disk disk;
    struct fuzz_world *world; /* NULL: no server */
    const char *config;
    unsigned workers;
    int64_t now_ns; /* of the last world */
    struct stage_client publisher, reader, mortal /* with a Will */;
    struct stage_message messages[STAGE_MESSAGES_MAX];
    int message_count;
    int retained;            /* on "r/x": a message, or -1: none, for certain; but if this is */
    int retained_perhaps;    /* not -2, it may be this one, too */
    unsigned refusals;       /* requests that were not answered with success */
    int64_t acks_at_failure; /* sent when the first write failed; -1: none has */

    enum stage_trouble trouble;
    uint64_t trouble_nth, calls_before;
};

void stage_init(struct stage *s, const char *config, unsigned workers);
void stage_fini(struct stage *s); /* stops the server, if it runs */

/* The nth allocation or call of the disk from now on fails. */
void stage_trouble(struct stage *s, enum stage_trouble what, uint64_t nth);
bool stage_end_trouble(struct stage *s); /* true: it has happened */

/* On what is on the disk.  `what` as above, from the first moment on.  0 or a negative errno. */
int stage_start(struct stage *s, enum stage_trouble what, uint64_t nth);
void stage_stop(struct stage *s);                      /* gracefully; fine if it does not run */
void stage_power_loss(struct stage *s, uint64_t seed); /* also for one that does not run */

/* All of these do nothing when there is no server or no connection, and return whether the answer
 * was yes. */
bool stage_connect(struct stage_client *c, bool clean_start, unsigned worker);
bool stage_subscribe(struct stage_client *c, const char *filter, const char *topic);
bool stage_unsubscribe(struct stage_client *c, const char *filter);
bool stage_publish(struct stage_client *c, const char *topic, uint8_t qos);
bool stage_retain(struct stage_client *c, bool clears, uint8_t qos); /* on "r/x" */
void stage_acknowledge(struct stage_client *c); /* what it held back; no more holding */
void stage_leave(struct stage_client *c, bool ends_session); /* DISCONNECT */
void stage_drop(struct stage_client *c);                     /* the connection is lost */
void stage_pass(struct stage *s, int64_t ms);

int64_t stage_acks(const struct stage *s); /* acknowledgements that the server has sent so far */

/* With a server that runs without failures: is everything true that was said? */
void stage_verify(struct stage *s);

/* After that: nothing comes a second time. */
void stage_verify_silence(struct stage *s);
