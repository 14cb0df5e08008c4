/* session/packet_id_set.h: a set of Packet Identifiers, sorted.
 *
 * Holds the QoS 2 messages that were received and not yet released, so that none is taken twice
 * [MQTT-4.3.3-10].  Clients number upwards, so adding is nearly always at the end.  At most 65535
 * entries of two bytes: the memory a peer can make us hold is bounded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packet_id_row {
    uint32_t count, capacity;
    uint16_t ids[];
};

struct packet_id_set {
    struct packet_id_row *row; /* kept while it is empty, until trimmed; NULL: none */
};

static inline uint32_t packet_id_set_count(const struct packet_id_set *s)
{
    return s->row == NULL ? 0 : s->row->count;
}

void packet_id_set_fini(struct packet_id_set *s); /* all zero is an empty set */
bool packet_id_set_has(const struct packet_id_set *s, uint16_t id);
int packet_id_set_add(struct packet_id_set *s, uint16_t id);     /* not there yet; 0 or -ENOMEM */
bool packet_id_set_remove(struct packet_id_set *s, uint16_t id); /* false: it was not there */
void packet_id_set_trim(struct packet_id_set *s);                /* gives memory back when empty */
