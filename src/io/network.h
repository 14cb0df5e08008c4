/* io/network.h: the network door of the real world: epoll and TCP sockets. */
#pragma once

#include "base/env.h"

/* Static; any thread, but for what base/env.h says of a poller's owner. */
extern const struct network network_real;
