/* io/env_real.h: the real world behind the four doors of base/env.h. */
#pragma once

#include "base/env.h"

/* CLOCK_BOOTTIME and CLOCK_REALTIME, getrandom(2), the file system, epoll and sockets.  Static; any
 * thread. */
extern const struct env env_real;
