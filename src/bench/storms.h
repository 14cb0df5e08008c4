/* bench/storms.h: clients that come and go, and clients that come and stay. */
#pragma once

#include "bench/bench.h"
#include "bench/watch.h"

/* BENCH_CONNECT: `window` clients connect, disconnect, and begin anew when the broker has closed.
 */
void storm_connect(const struct bench_spec *, struct bench_result *, const struct bench_watch *);

/* BENCH_IDLE: `subscribers` clients connect and subscribe, which is the counted time; then all do
 * nothing for `seconds`, and after that clients_ready is told. */
void storm_idle(const struct bench_spec *, struct bench_result *, const struct bench_watch *);
