/* sim/actor_send.h: the packets of a make-believe client.  Private to sim/actor.c. */
#pragma once

#include "sim/actor.h"

void actor_connect(struct actor *a); /* a new connection; sometimes more than CONNECT at once */
void actor_subscribe(struct actor *a);
void actor_unsubscribe(struct actor *a);
void actor_ping(struct actor *a);
void actor_say_goodbye(struct actor *a);
void actor_send_again(struct actor *a); /* what an earlier connection left open */

/* At most `most` of the acknowledgements that are owed, in or out of their order; unless calm, the
 * others are put off. */
void actor_acknowledge(struct actor *a, unsigned most);

void actor_break_rules(struct actor *a); /* the broker has to end the connection */
