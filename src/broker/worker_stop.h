/* broker/worker_stop.h: the end, gracefully.
 *
 *     RUNS -> DRAINS -> SAYS_GOODBYE -> STOPPED
 *
 * DRAINS: nothing is accepted or read any more; Wills are published; what workers have posted to
 * each other is delivered.  When no letter is on its way anywhere (or after three seconds), every
 * Client gets a DISCONNECT (0x8B), sockets have five seconds to take what waits, and are closed. */
#pragma once

#include <stdbool.h>

struct worker;

/* One step, at the end of a turn; does nothing until the server is told to stop.  True: the next
 * turn has work. */
bool worker_stop_step(struct worker *w);
