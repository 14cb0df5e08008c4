/* bench/flows.h: BENCH_MESSAGES: messages from publishers to subscribers, all of them checked. */
#pragma once

#include "bench/bench.h"
#include "bench/watch.h"

/* Runs what scenario_check lets pass; does not return when something is wrong.  Fills in all but
 * CPU time and memory, which the watcher reads. */
void flows_run(const struct bench_spec *, struct bench_result *, const struct bench_watch *);
