/* broker/replay.h: Retained Messages on their way to a new subscription, step by step.
 *
 * A walk over many of them goes on turn by turn, a bounded number of nodes at a time, and waits
 * while the Client has enough to do with what it has. */
#pragma once

#include "base/bytes.h"
#include <stdbool.h>
#include <stdint.h>

struct client;
struct worker;

/* Starts the walk, and does the first step at once.  No memory: the Client gets none (logged). */
void replay_start(struct client *c, struct bytes filter, uint32_t options, uint32_t id);
void replay_run(struct worker *w);            /* one bounded step of one walk that can go on */
bool replay_is_ready(const struct worker *w); /* can any walk go on? */
void replay_stop(struct client *c); /* the Session ends */
void replay_stop_all(struct worker *w);
