/* client/aliases.h: Topic Aliases (MQTT 5.0, section 3.3.2.3.4), one table per direction.
 * They live as long as a Network Connection [MQTT-3.3.2-7].  One thread. */
#pragma once

#include "base/bytes.h"
#include "base/map.h"

/* What the Server's aliases stand for. */
struct aliases_in {
    struct bytes *topics; /* ours, [max + 1]; NULL until the first one comes */
    uint16_t max;         /* the Topic Alias Maximum we granted */
};

void aliases_in_init(struct aliases_in *a, uint16_t max);
void aliases_in_fini(struct aliases_in *a); /* forgets all, so that init may follow */

/* 0; -EINVAL: above the maximum; -ENOMEM.  The alias now stands for this topic. */
int aliases_in_set(struct aliases_in *a, uint16_t alias, struct bytes topic);

/* What it stands for; data is NULL if nothing or above the maximum. */
struct bytes aliases_in_topic(const struct aliases_in *a, uint16_t alias);

/* The aliases we use towards the Server: the first topics get them. */
struct aliases_out {
    struct map topics;
    uint16_t max; /* what we want and the Server takes, the smaller of both */
};

void aliases_out_init(struct aliases_out *a, uint16_t max);
void aliases_out_fini(struct aliases_out *a);

/* The alias of a topic, or 0: it has none.  *is_new: the Server has to be told the topic along with
 * it.  Without memory a topic simply has none. */
uint16_t aliases_out_find(struct aliases_out *a, struct bytes topic, bool *is_new);
