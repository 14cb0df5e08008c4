/* sim/story.h: what the make-believe clients talk about: a few topics, a few filters, and messages
 * that say who wrote them.
 *
 * The pools are small so that everything overlaps.  Topics below s/ are for Shared Subscriptions:
 * members of a group use no other filter that matches them, so that each copy of a message can be
 * told from the others. */
#pragma once

#include "base/arena.h"
#include "base/bytes.h"

enum {
    TOPIC_COUNT = 12,
    FILTER_COUNT = 25,
    ACTORS_MAX = 16,
};

struct story_topic {
    const char *name;
    bool is_shared; /* below s/ */
    bool is_will;   /* below w/ */
};
extern const struct story_topic story_topics[TOPIC_COUNT];

struct story_filter {
    const char *text;  /* as in SUBSCRIBE */
    const char *plain; /* without $share/NAME/ */
    bool is_shared;
    bool overlaps_shared; /* an ordinary filter that matches a topic below s/ */
};
extern const struct story_filter story_filters[FILTER_COUNT];

bool story_matches(unsigned filter, unsigned topic);
int story_topic_index(struct bytes name); /* -1: none of ours */

/* An Application Message, as its publisher meant it.  Lives as long as the run. */
struct sim_message {
    uint32_t index;    /* from 1 */
    uint8_t publisher; /* actor */
    uint8_t topic;
    uint8_t qos;
    bool retain;
    bool is_will;
    bool has_expiry;
    uint32_t expiry_s;
    struct bytes payload; /* "m12 c3 t/a/1 qos 1 ....": empty to clear a Retained Message */
    uint32_t taken;       /* how often the broker took it */
};

/* Writes the payload, padded to `size` if that is longer. */
struct bytes story_payload(struct arena *a, const struct sim_message *m, size_t size);

/* The message whose payload this seems to be: its index; 0: none. */
uint32_t story_payload_index(struct bytes payload);

void *story_alloc(struct arena *a, size_t size); /* zeroed; cannot fail */
