/* bench/load.h: what all loads have in common: a loop, counted time, somebody who looks on, and an
 * end. */
#pragma once

#include "bench/peer.h"
#include "bench/watch.h"

struct load {
    struct loop loop;
    const struct bench_spec *spec;
    struct bench_result *result; /* published, delivered, seconds and latency are counted here */
    const struct bench_watch *watch;
    bool is_counting;
    int64_t counted_since_ns; /* when this piece of the counted time began */
    int64_t progress_due_ns;
    int64_t heard_ns; /* when the broker last did what we wait for */
};

void load_init(struct load *, const struct bench_spec *, struct bench_result *,
               const struct bench_watch *);
void load_fini(struct load *); /* after its peers */

void load_ready(const struct load *, uint32_t connections); /* tells who looks on */

/* A piece of the counted time; there may be several.  None begins when somebody wishes an end. */
void load_begin(struct load *);
void load_end(struct load *); /* nothing happens if none has begun */

bool load_is_stopped(const struct load *); /* somebody wishes an end */

/* What was waited for since then has come: counted, if this is the time for it. */
void load_count(struct load *, int64_t since_ns);

/* A turn of the loop, not beyond until_ns, and progress if it is due.  Fails if the broker has done
 * nothing for a long time; says then that `wanted` was waited for. */
void load_turn(struct load *, int64_t until_ns, const char *wanted);

/* Turns until so much time is over or somebody wishes an end. */
void load_run(struct load *, double seconds, const char *wanted);

enum { SESSION_EXPIRY_S = 3600 }; /* of Sessions that shall outlive their connections */

/* Unique in this run, in letters that all brokers take: "bench-PID-INDEX". */
enum { CLIENT_ID_SIZE = 24 };
struct bytes load_client_id(char *out, uint32_t index);
