/* broker/tap.h: where every Control Packet in and out of a connection passes, decoded.
 *
 * Whoever wants to see conversations (debug logs, tracing, a dashboard) hangs a tap into a worker.
 * While nobody looks it costs one compare per packet. */
#pragma once

#include "mqtt/packet.h"

struct connection;

enum tap_direction { TAP_RECEIVED, TAP_SENT };

struct tap {
    struct tap *next;
    /* The packet is valid during the call only.  Must not change the connection. */
    void (*on_packet)(struct tap *, const struct connection *, enum tap_direction,
                      const struct packet *);
};
