/* sim/survey.h: what is on the disk, in the model's words.
 *
 * Read from the store of a broker that has just come back and has not yet taken a turn: with the
 * broker's own decoders (broker/durable_records.h), so that a fault in those shows only later, in
 * what clients receive. */
#pragma once

#include "sim/model.h"

struct found_entry { /* of a queue */
    uint64_t seq;
    const struct sim_message *message;
    int64_t expires_ns;
    uint8_t qos;
    bool retain;
    uint8_t id_count;
    uint32_t ids[IDS_MAX]; /* sorted */
};

struct found_session {
    uint64_t key;
    uint8_t actor;
    uint32_t expiry_s;
    bool is_connected;
    int64_t since_ns;
    struct sim_message *will; /* NULL: none */
    uint32_t will_delay_s;
    struct sim_subscription subscriptions[FILTER_COUNT];
    struct buffer received; /* uint16_t: Packet Identifiers */
    struct buffer released; /* uint64_t: seqs */
    struct buffer entries;  /* struct found_entry, in the order of seq */
};

struct found_group { /* of a Shared Subscription */
    uint64_t key;
    unsigned filter;
    struct buffer entries; /* struct found_entry */
};

enum { FOUND_SESSIONS_MAX = 4 * ACTORS_MAX };

struct found {
    struct found_session sessions[FOUND_SESSIONS_MAX];
    unsigned session_count;
    struct found_group groups[FILTER_COUNT];
    unsigned group_count;
    struct retained_model retained[TOPIC_COUNT];
};

/* What makes no sense goes to the model's trace. */
void survey(struct model *m, const struct server *server, struct found *out);
void survey_fini(struct found *f);
