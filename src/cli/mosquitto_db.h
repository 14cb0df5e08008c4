/* cli/mosquitto_db.h: what a mosquitto.db says: the file that Mosquitto keeps with `persistence
 * true`.
 *
 * Formats 2 to 6, as Mosquitto 1.0 to 2.1 wrote them.  Pure; nothing is allocated; any bytes are
 * safe.  What is in the file may still be nonsense as MQTT: that is for the caller to judge. */
#pragma once

#include "base/bytes.h"

struct mosquitto_db { /* how far it has been read */
    struct bytes bytes;
    size_t at;
    uint32_t version;
};

struct mosquitto_db_fault {
    uint64_t offset;
    char text[120];
};

enum mosquitto_kind { /* numbers of the file */
                      MOSQUITTO_CONFIG = 1,
                      MOSQUITTO_MESSAGE = 2,
                      MOSQUITTO_QUEUED = 3,
                      MOSQUITTO_RETAINED = 4,
                      MOSQUITTO_SUBSCRIPTION = 5,
                      MOSQUITTO_CLIENT = 6,
                      MOSQUITTO_KINDS
};

enum mosquitto_state { /* of a queued message; the file knows more, which a broker never writes */
                       MOSQUITTO_PUBLISH_QOS0 = 1,
                       MOSQUITTO_PUBLISH_QOS1 =
                           2, /* in flight, and to be sent (again, if is_dup) */
                       MOSQUITTO_AWAITS_PUBACK = 3,
                       MOSQUITTO_PUBLISH_QOS2 = 4,
                       MOSQUITTO_AWAITS_PUBREC = 5,
                       MOSQUITTO_RESEND_PUBREL = 6,
                       MOSQUITTO_AWAITS_PUBREL =
                           7, /* from the Client: it has PUBREC, the subscribers have nothing */
                       MOSQUITTO_AWAITS_PUBCOMP = 9,
                       MOSQUITTO_SEND_PUBREC = 10,
                       MOSQUITTO_WAITS = 11
};

/* Ids of messages are good for comparing: they stand in the byte order of the machine that wrote
 * them.  Times are in seconds since 1970; 0: none.  Texts are not checked. */
struct mosquitto_config {
    uint64_t last_message;
    bool is_stopped; /* written at the end, not by autosave */
};

struct mosquitto_message {
    uint64_t id;
    int64_t expires_at_s;
    struct bytes client_id, username; /* who published it; empty: the broker, or not known */
    uint16_t listener_port;
    struct bytes topic, payload;
    struct bytes properties; /* the encoded list without its length */
    uint8_t qos;
    bool retain;
};

struct mosquitto_client {
    struct bytes client_id;
    /* Not to be relied on: 2.0 gives a Client without a user name the name of the one before it, or
     * that and what lies in memory behind it. */
    struct bytes username;
    uint16_t listener_port;
    bool has_expiry;   /* false: a format in which Sessions stay for ever */
    uint32_t expiry_s; /* Session Expiry Interval */
    int64_t expires_at_s;
    uint16_t last_packet_id;
};

struct mosquitto_queued {
    struct bytes client_id;
    uint64_t message;
    uint16_t packet_id;
    uint8_t qos;
    uint8_t state; /* enum mosquitto_state, or any byte */
    bool is_dup, retain;
    bool is_from_client;     /* a message of QoS 2 on its way in */
    struct bytes properties; /* Subscription Identifiers, encoded */
};

struct mosquitto_subscription {
    struct bytes client_id, filter;
    uint8_t options;          /* as in SUBSCRIBE, but Retain Handling is lost */
    uint32_t subscription_id; /* 0: none */
};

struct mosquitto_record {
    enum mosquitto_kind kind;
    uint64_t offset; /* in the file */
    union {
        struct mosquitto_config config;
        struct mosquitto_message message;
        struct mosquitto_client client;
        struct mosquitto_queued queued;
        struct mosquitto_subscription subscription;
        uint64_t retained; /* id of the message */
    };
};

/* Looks at the header.  0; -EBADMSG: it is none; -EPROTONOSUPPORT: of another format. */
int mosquitto_db_open(struct bytes file, struct mosquitto_db *out,
                      struct mosquitto_db_fault *fault);

/* The next record, in the order of the file: messages before Clients, each of which is followed by
 * its queue.  Views into the file.  1; 0: the end; -EBADMSG. */
int mosquitto_db_next(struct mosquitto_db *db, struct mosquitto_record *out,
                      struct mosquitto_db_fault *fault);
