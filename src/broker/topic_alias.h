/* broker/topic_alias.h: Topic Aliases of one Network Connection, one direction (section 3.3.2.3.4).
 */
#pragma once

#include "base/bytes.h"
#include "base/map.h"

/* What the Client may use: alias -> topic. */
struct alias_in {
    struct bytes *topics; /* [max]; NULL until the first is set */
    uint16_t max;
};

void alias_in_init(struct alias_in *a, uint16_t max);
void alias_in_fini(struct alias_in *a);
int alias_in_set(struct alias_in *a, uint16_t alias, struct bytes topic); /* 1..max; 0 or -ENOMEM */
bool alias_in_find(const struct alias_in *a, uint16_t alias, struct bytes *topic);

/* What we use towards it: topic -> alias.  The first `max` topics get one and keep it. */
struct alias_out {
    struct map entries;
    uint16_t max;
};

void alias_out_init(struct alias_out *a, uint16_t max, uint64_t seed);
void alias_out_fini(struct alias_out *a);
/* The alias for a topic, 0: none to be had.  *is_new: the Client has to be told the topic, too. */
uint16_t alias_out_use(struct alias_out *a, struct bytes topic, bool *is_new);
/* The packet that would have told it was not sent after all. */
void alias_out_forget(struct alias_out *a, struct bytes topic);
