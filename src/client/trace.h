/* client/trace.h: what the client does, one line per packet, in Mosquitto's words. */
#pragma once

#include "mqtt/packet.h"

struct tracer {
    void (*line)(void *context, const char *line); /* NULL: nobody wants to know */
    void *context;
    const char *client_id; /* NULL: none yet */
    enum version version;  /* before 5.0 a CONNACK has another number */
};

void trace_sent(const struct tracer *t, const struct packet *p);
void trace_received(const struct tracer *t, const struct packet *p);
