/* client/packet_ids.h: Packet Identifiers (MQTT 5.0, section 2.2.1), one space per direction.
 * Fixed memory.  One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Ours: which are in use, one bit each. */
struct packet_ids {
    uint64_t used[1024];
    uint16_t last;
};

/* An unused identifier, the next above the one given last; 0: all 65535 are in use.
 * [MQTT-2.2.1-3] [MQTT-2.2.1-4] */
uint16_t packet_ids_take(struct packet_ids *ids);
void packet_ids_give_back(struct packet_ids *ids, uint16_t id); /* in use (asserted) */

/* The Server's: where each received message stands, two bits each. */
enum arrival {
    ARRIVAL_NONE,     /* no such message, or it is done */
    ARRIVAL_QOS_1,    /* PUBLISH came, the application has not acknowledged it */
    ARRIVAL_QOS_2,    /* the same, QoS 2 */
    ARRIVAL_RECEIVED, /* QoS 2: PUBREC went, PUBREL is awaited */
};

struct arrivals {
    uint8_t states[16384];
    uint32_t count; /* that are not NONE */
};

enum arrival arrivals_at(const struct arrivals *a, uint16_t id);
void arrivals_set(struct arrivals *a, uint16_t id, enum arrival state);

/* The connection is lost: what was not acknowledged will come again, what was received stays so. */
void arrivals_forget_unacknowledged(struct arrivals *a);
void arrivals_forget_all(struct arrivals *a);
