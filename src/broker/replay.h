/* broker/replay.h: Retained Messages on their way to a new subscription, step by step.
 *
 * A walk over many of them goes on turn by turn, a bounded number of nodes at a time, and waits
 * while the Client has enough to do with what it has.  A Client has one walk at a time; its other
 * subscriptions wait for theirs, each at most once, so what it can make us hold is bounded by its
 * subscriptions. */
#pragma once

#include <stdbool.h>

struct client;
struct client_subscription;
struct worker;

/* The subscription (not a shared one) is to get the Retained Messages, all of them from the start
 * even if a walk for it is under way.  Does a first step at once.  No memory: it gets none, which
 * is logged. */
void replay_start(struct client *c, struct client_subscription *s);
void replay_forget(struct client *c, struct client_subscription *s); /* it ends */
void replay_stop(struct client *c);                                  /* the Session ends */

void replay_run(struct worker *w);            /* one bounded step of one walk that can go on */
bool replay_is_ready(const struct worker *w); /* can any walk go on? */
void replay_stop_all(struct worker *w);
