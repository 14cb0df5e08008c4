/* bench/receiver.h: what one subscriber may get, and has got.
 *
 * A receiver knows which number of each of its flows comes next.  Where it gets every message, that
 * one must come; where it gets a part (of many topics, of a group's messages, of what was not
 * lost), numbers must rise.  So whoever has got as many as there were has got each of them once.
 * Pure, but for the window it ticks off. */
#pragma once

#include "bench/flow.h"

struct receiver {
    struct flow *flows;    /* all of the run */
    uint32_t first, count; /* those that it gets */
    uint64_t *next;        /* of each of these */
    bool may_skip;         /* who knows what: else all that is for it comes */
    bool is_late; /* gets what was kept for it: its messages' slots have gone to later ones */
    uint32_t topics_mine, topics_step; /* TOPIC_IN_TURN: gets topic n iff n % step == mine */
};

struct arrival {
    struct stamp stamp;
    struct flow *flow; /* NULL: of none of ours */
};

void receiver_init(struct receiver *, struct flow *flows, uint32_t first, uint32_t count);
void receiver_fini(struct receiver *);

/* Ticks the message off.  What is wrong with it, as in "message 7 of flow 1 ..."; NULL: nothing. */
const char *receiver_take(struct receiver *, const struct publish *, struct arrival *);
