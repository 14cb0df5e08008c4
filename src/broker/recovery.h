/* broker/recovery.h: from the store back to Sessions, subscriptions and Retained Messages.
 *
 * Before the workers run and the listeners are open.  Queues stay on the disk until their Clients
 * come; so the time it takes grows with what is live, and memory with the number of Sessions. */
#pragma once

#include <stdint.h>

struct server;
struct store;

/* began_ns: when opening began, for the log.  0, or a negative errno; the log says why. */
int recover(struct server *s, struct store *store, int64_t began_ns);
