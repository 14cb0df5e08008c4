/* cli/bench_options.h: the command line of `chappe bench`.  Strings point into argv. */
#pragma once

#include "base/buffer.h"
#include "bench/bench.h"

enum bench_request { REQUEST_RUN, REQUEST_LIST, REQUEST_HELP, REQUEST_VERSION, REQUEST_BAD };

/* What may be changed of a scenario. */
enum bench_change {
    CHANGE_QOS,
    CHANGE_SIZE,
    CHANGE_WINDOW,
    CHANGE_RATE,
    CHANGE_PUBLISHERS,
    CHANGE_SUBSCRIBERS,
    CHANGE_TOPICS,
    CHANGE_QUEUED,
    CHANGE_MESSAGES,
    BENCH_CHANGES,
};

struct bench_options {
    struct bench_target target;
    int64_t changes[BENCH_CHANGES]; /* -1: not given */
    double seconds, warm_up;        /* < 0: not given */
    bool json, quiet;
    const char *default_password; /* of a user without -P; NULL: none */
    const char **names;           /* of scenarios, in the order given */
    size_t name_count;
    struct bench_spec *specs; /* what to run, with all changes made */
    size_t spec_count;
};

void bench_options_init(struct bench_options *);
void bench_options_fini(struct bench_options *);

/* A command line; argv[0] is not looked at.  REQUEST_RUN: specs are there, and can be run.
 * REQUEST_BAD: *error says what is wrong, without a final newline. */
enum bench_request bench_options_parse(struct bench_options *, int argc, char **argv,
                                       struct buffer *error);
