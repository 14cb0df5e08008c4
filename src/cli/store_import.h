/* cli/store_import.h: what of a mosquitto.db can be taken over, what cannot, and why.
 *
 *     bytes -> store_import_create -> [ picture ] -> store_import_emit -> sink -> a store
 *                                          `-> report
 *
 * Nothing is written before the whole file has been read and judged.  Pure: time and seed come in.
 * One thread. */
#pragma once

#include "cli/mosquitto_db.h"

#define IMPORT_NEVER INT64_MAX /* a time: never */

/* Of a message for a Client: SESSION_STORED_IDS of session/session.h. */
enum { IMPORT_PACKET_ID_MAX = 32767 };

enum import_kind {
    IMPORT_SESSIONS,
    IMPORT_SUBSCRIPTIONS,
    IMPORT_QUEUED,   /* messages for a Client: those in flight, too */
    IMPORT_RECEIVED, /* Packet Identifiers of QoS 2 that the Client has not released */
    IMPORT_RETAINED,
    IMPORT_KINDS
};

enum import_reason {
    IMPORT_EXPIRED,
    IMPORT_ENDED,          /* a Session that lived as long as its Network Connection */
    IMPORT_WITH_SESSION,   /* belongs to a Session that is left out */
    IMPORT_NO_SESSION,     /* belongs to a Client that is not in the file */
    IMPORT_NO_MESSAGE,     /* refers to a message that is not in the file */
    IMPORT_SYS,            /* below $SYS: a broker makes its own */
    IMPORT_EMPTY,          /* a Retained Message without payload is none [MQTT-3.3.1-6] */
    IMPORT_QOS0,           /* a store keeps none of them */
    IMPORT_PACKET_ID,      /* awaits PUBCOMP with an id above IMPORT_PACKET_ID_MAX */
    IMPORT_UNACKNOWLEDGED, /* QoS 2, no PUBREC was sent: its Client will send it again */
    IMPORT_TWICE,          /* the first one of these is taken */
    IMPORT_INVALID,        /* breaks a rule of MQTT: a topic, a property, a flag */
    IMPORT_REASONS
};

struct import_report {
    uint32_t version;
    bool is_stopped; /* false: written while Mosquitto was running; what came later is missing */
    uint64_t taken[IMPORT_KINDS];
    uint64_t left[IMPORT_KINDS][IMPORT_REASONS];
    uint64_t released; /* received messages that are handed on now; see store_import.c */
    uint64_t renamed, renamed_qos2; /* messages in flight that get another Packet Identifier; of
                                       these, such of QoS 2: they may arrive twice */
};

const char *import_kind_name(enum import_kind kind);       /* "sessions" */
const char *import_reason_text(enum import_reason reason); /* "expired" */

/* One thing that is left out.  `name` is of any bytes: Client Identifier, filter or topic. */
struct import_left {
    enum import_kind kind;
    enum import_reason reason;
    uint64_t offset; /* in the file */
    struct bytes name;
};

struct store_import_options {
    int64_t now_s;                                                  /* since 1970 */
    uint64_t seed;                                                  /* of hash maps: random */
    void (*on_left)(void *context, const struct import_left *left); /* NULL: nobody asks */
    void *context;
};

struct store_import;

/* Views into the file, which has to outlive it.  0; or -ENOMEM; -EBADMSG or -EPROTONOSUPPORT with
 * *fault filled in. */
int store_import_create(struct bytes file, const struct store_import_options *o,
                        struct store_import **out, struct mosquitto_db_fault *fault);
void store_import_destroy(struct store_import *s); /* NULL is fine */

const struct import_report *store_import_report(const struct store_import *s);

/* ---------------------------------------------------------------------------- the sink -------- */

struct import_session {
    struct bytes client_id;
    uint32_t expiry_s;       /* Session Expiry Interval */
    int64_t expires_at_s;    /* or IMPORT_NEVER */
    uint16_t last_packet_id; /* the last that was given to a message for the Client; 0: none */
    uint32_t sent;           /* entries that await PUBACK or PUBREC */
};

struct import_subscription {
    struct bytes filter;      /* valid; may be shared */
    uint8_t options;          /* valid, of SUBSCRIBE */
    uint32_t subscription_id; /* 0: none */
    bool begins_group;        /* a Shared Subscription: of those with the same filter this one */
};

struct import_message {
    struct bytes topic, payload;
    struct bytes properties; /* valid ones of a PUBLISH, as published: message_properties_copy */
    struct bytes client_id;  /* who published it; empty: not known */
    int64_t expires_at_s;    /* or IMPORT_NEVER */
    uint8_t qos;
    bool retain; /* as published */
};

enum import_state { /* names as in session/delivery.h */
                    IMPORT_WAITS,
                    IMPORT_AWAITS_PUBACK,
                    IMPORT_AWAITS_PUBREC,
                    IMPORT_AWAITS_PUBCOMP
};

struct import_entry {
    uint32_t session;         /* which: the order of calls of ops->session, from 0 */
    uint32_t place;           /* in the Session's queue: from 1, no gaps, those in flight first */
    uint32_t subscription_id; /* 0: none */
    uint16_t packet_id;       /* 0: it waits; else no other entry of the Session has it, and it is
                                 not above IMPORT_PACKET_ID_MAX */
    uint8_t qos;
    bool retain; /* the flag of the PUBLISH */
    enum import_state state;
};

/* Where it goes.  Each function returns 0, or a negative errno, which ends it all. */
struct import_sink {
    const struct import_sink_ops *ops;
};

struct import_sink_ops {
    /* All Sessions come first, each followed by what is its own. */
    int (*session)(struct import_sink *, const struct import_session *);
    int (*subscription)(struct import_sink *, uint32_t session, const struct import_subscription *);
    int (*received)(struct import_sink *, uint32_t session, uint16_t packet_id);
    /* A message with all the queues that it stands in, once.  NULL: one entry that awaits PUBCOMP,
     * and has no message any more.  Places of a queue come in any order.  A message in flight may
     * have expired: it is delivered all the same. */
    int (*queued)(struct import_sink *, const struct import_message *,
                  const struct import_entry *entries, size_t count);
    /* A later one of the same topic replaces the former; one without payload clears it. */
    int (*retained)(struct import_sink *, const struct import_message *);
};

/* 0, or what the sink returned, or -ENOMEM. */
int store_import_emit(const struct store_import *s, struct import_sink *sink);

/* ------------------------------------------------------------------------- the command -------- */

/* chappe store import [--dry-run] [--verbose] [--store FOLDER] FILE.  argv[0] is "import".
 * write: puts it into the store there, and says itself what went wrong; its result is the exit
 * status. */
int store_import_main(int argc, char **argv,
                      int (*write)(const struct store_import *s, const char *folder));
