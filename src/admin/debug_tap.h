/* admin/debug_tap.h: every Control Packet as a debug line, in Mosquitto's words. */
#pragma once

#include "broker/server.h"

struct debug_tap;

struct debug_tap *debug_tap_create(struct server *server); /* NULL: no memory */
void debug_tap_destroy(struct debug_tap *t);               /* after the workers; NULL is fine */
void debug_tap_enable(struct debug_tap *t, bool on);       /* any thread */
