/* sim/promises.h: what the broker has acknowledged, and so may not lose.
 *
 * Counted from the moment at which it sends the acknowledgement: by then what it promises has to be
 * on the disk, whether or not the acknowledgement arrives. */
#pragma once

#include "sim/model.h"

/* The broker sends a packet on this connection. */
void promises_on_sent(struct model *m, struct conn *c, const struct packet *p);

/* The whole of it has to survive. */
void promise_keep(struct model *m, struct promise *promise);
