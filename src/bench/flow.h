/* bench/flow.h: what one publisher sends: messages with rising numbers, all from one template.
 *
 *     PUBLISH  bench/1f0a/0000007/value  id  payload [ flow | number | time | bytes that never
 * change ]
 *                         ~~~~~~~ ~~~~~  ~~            4      8        8
 *                         what differs from one message to the next is patched in
 *
 * All packets of a run have one size.  Pure; one thread. */
#pragma once

#include "base/bytes.h"
#include "bench/window.h"
#include "mqtt/packet.h"

enum { STAMP_SIZE = 4 + 8 + 8, FILTER_SIZE_MAX = 96, FLOWS_MAX = 10000000 };

enum topic_scheme {
    TOPIC_OF_FLOW,    /* one each */
    TOPIC_OF_MESSAGE, /* each message has one that was never used before */
    TOPIC_IN_TURN,    /* all flows take all topics in turn, in an order that jumps about */
};

/* What all flows of a run have in common. */
struct flow_plan {
    enum version version;
    uint8_t qos;
    uint32_t payload_size; /* at least STAMP_SIZE */
    enum topic_scheme scheme;
    uint32_t topics; /* TOPIC_IN_TURN */
    uint16_t tag;    /* of this run: two at the same broker do not mix */
};

struct flow {
    const struct flow_plan *plan;
    uint32_t index;
    uint64_t published;
    struct window window;
    uint8_t *frame; /* the template */
    size_t frame_size, topic_at, id_at, payload_at;
};

struct stamp {
    uint32_t flow;
    uint64_t number;
    int64_t time_ns;
};

void flow_init(struct flow *, const struct flow_plan *, uint32_t index);
void flow_fini(struct flow *);

/* The next message's number and so on into frame_size bytes. */
void flow_encode(const struct flow *, uint64_t number, uint16_t packet_id, int64_t time_ns,
                 uint8_t *out);

struct stamp stamp_read(const uint8_t *payload);

/* What is wrong with this PUBLISH, which says that it is message `number` of the flow; NULL:
 * nothing. */
const char *flow_check(const struct flow *, uint64_t number, const struct publish *);

/* Which of the topics message `number` has, TOPIC_IN_TURN. */
uint32_t flow_topic_index(const struct flow *, uint64_t number);

/* The filter of one flow's messages (TOPIC_IN_TURN: of one topic, with or without a '+'), and of
 * all flows; the latter for a Shared Subscription, if so. */
void flow_filter(const struct flow_plan *, uint32_t index, bool with_wildcard, char *out);
void flow_filter_all(const struct flow_plan *, bool is_shared, char *out);
