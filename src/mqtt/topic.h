/* mqtt/topic.h: Topic Names and Topic Filters (MQTT 5.0, sections 4.7 and 4.8.2).
 * Pure functions over borrowed bytes, already checked as UTF-8.  Any thread. */
#pragma once

#include "base/bytes.h"

enum { TOPIC_LEVELS_MAX = 200 }; /* as Mosquitto */

/* At least one byte, at most 65535, no wildcard, not too many levels?
 * [MQTT-4.7.0-1] (name) [MQTT-4.7.1-1] [MQTT-3.3.2-2] */
bool topic_name_is_valid(struct bytes name);

/* A well-formed Topic Filter?  [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1]
 * One pass.  On failure *offset (may be NULL) is the byte that spoilt it.  A filter that starts
 * with $share/ is judged by topic_filter_split_share. */
bool topic_filter_is_valid(struct bytes filter, size_t *offset);

bool topic_filter_has_wildcard(struct bytes filter);

/* Does the filter match the name?  Both well-formed.  The naive, obviously right matcher: tools,
 * tests and the client library use it; the router has an index that agrees with it. */
bool topic_filter_matches(struct bytes filter, struct bytes name);

enum share_syntax {
    SHARE_NONE,    /* an ordinary filter: *rest is the whole */
    SHARE_VALID,   /* $share/NAME/REST: *name and *rest set; REST still has to be checked */
    SHARE_INVALID, /* starts with $share/ but breaks [MQTT-4.8.2-1] or [MQTT-4.8.2-2] */
};
enum share_syntax topic_filter_split_share(struct bytes filter, struct bytes *name,
                                           struct bytes *rest);

/* Walks levels: *rest starts as the whole topic; false when no level is left.  "a//b" has three
 * levels, "/" has two empty ones.  An exhausted walk has rest->data == NULL. */
bool topic_next_level(struct bytes *rest, struct bytes *level);
