/* broker/delivery_out.h: from a matched subscription to the Client: QoS, RETAIN flag, rights, and
 * what becomes of a message that cannot be delivered. */
#pragma once

#include "session/session.h"

struct client;

/* The session's sink: it sends on the Client's connection, and reports drops. */
void client_init_sink(struct client *c);
