/* io/notify.h: telling systemd that we are ready, alive, or stopping (sd_notify's protocol). */
#pragma once

#include <stdint.h>

/* Sends one state ("READY=1") to the socket named by NOTIFY_SOCKET; does nothing without it. */
void notify_supervisor(const char *state);

/* How often the supervisor wants to hear WATCHDOG=1, in nanoseconds: half of WATCHDOG_USEC;
 * INT64_MAX: never. */
int64_t notify_watchdog_ns(void);
