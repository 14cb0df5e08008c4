/* bench/scenarios.h: the loads that have a name, and what can be run at all. */
#pragma once

#include "base/buffer.h"
#include "bench/bench.h"

/* Rows of a table, all but target and watch filled in; NULL after the last.  Static. */
const struct bench_spec *scenario_at(size_t index);
const struct bench_spec *scenario_find(const char *name); /* NULL: there is none */

/* How many connections it opens at most at a time. */
uint32_t scenario_connections(const struct bench_spec *);

/* Can it be run?  If not, appends to *error what is wrong. */
bool scenario_check(const struct bench_spec *, struct buffer *error);
