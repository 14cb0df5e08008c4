/* bench/store_loads.h: what a broker keeps, and how fast it gives it back. */
#pragma once

#include "bench/bench.h"
#include "bench/watch.h"

enum { STORE_PAYLOAD_MIN = 8 }; /* bytes: a number to tell messages apart */

/* BENCH_RETAINED: publishes `topics` Retained Messages, then `subscribers` clients subscribe to all
 * of them, again and again: that is the counted time.  At the end the messages are removed.
 * Published at QoS 1, subscribed to at `qos`, 0 or 1. */
void store_retained(const struct bench_spec *, struct bench_result *, const struct bench_watch *);

/* BENCH_DRAIN: publishes `queued` messages of QoS 1 for each of `subscribers` Sessions without a
 * connection; then all come back and take them: that is the counted time.  Again and again; at the
 * end the Sessions are removed. */
void store_drain(const struct bench_spec *, struct bench_result *, const struct bench_watch *);
