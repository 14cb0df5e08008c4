/* bench/report.h: what a benchmark will do, does and has found, in words and in JSON. */
#pragma once

#include "bench/bench.h"
#include <stdio.h>

/* What runs, in one line. */
void report_spec(FILE *out, const struct bench_spec *);

/* How far it is, in one short line without its end. */
void report_progress(FILE *out, const struct bench_spec *, double seconds, uint64_t published,
                     uint64_t delivered);

/* What was found, for people: some lines, and warnings of what makes it worth less. */
void report_text(FILE *out, const struct bench_spec *, const struct bench_result *);

/* The same for programs, and what ran: one object in one line.  Unknown figures are null. */
void report_json(FILE *out, const struct bench_spec *, const struct bench_result *);
