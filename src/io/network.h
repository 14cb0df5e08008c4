/* io/network.h: the network door of the real world: epoll and TCP sockets, and io_uring for many
 * sends at once where it is there and allowed. */
#pragma once

#include "base/env.h"

/* Static; any thread, but for what base/env.h says of a poller's owner. */
extern const struct network network_real;
extern const struct network network_epoll; /* the same without io_uring */
