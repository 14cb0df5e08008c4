/* bench/run.c: one benchmark from beginning to end, and what it cost the broker.
 *
 *     memory | clients_ready: memory | begin: CPU ... end: CPU, memory | begin: CPU ...
 *
 * It looks on for itself, between the load and whoever else looks on. */
#include "bench/fail.h"
#include "bench/flows.h"
#include "bench/process.h"
#include "bench/store_loads.h"
#include "bench/storms.h"
#include <string.h>
#include <time.h>

struct run {
    const struct bench_spec *spec;
    struct bench_result *result;
    struct process_cpu cpu_before;
    double own_cpu_before_s;
};

static void check_read(const struct run *r, int failure)
{
    if (failure != 0)
        bench_fail("process %d, said to be the broker, cannot be looked at: %s",
                   r->spec->target.pid, strerror(-failure));
}

static int64_t memory_of(const struct run *r)
{
    int64_t bytes = -1;
    if (r->spec->target.pid != 0)
        check_read(r, process_private_memory(r->spec->target.pid, &bytes));
    return bytes;
}

static struct process_cpu cpu_of(const struct run *r)
{
    struct process_cpu cpu = { 0 };
    if (r->spec->target.pid != 0)
        check_read(r, process_cpu_read(r->spec->target.pid, &cpu));
    return cpu;
}

static double own_cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* a clock that is always there */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_ready(void *context, uint32_t connections)
{
    struct run *r = context;
    const struct bench_watch *outer = r->spec->watch;
    r->result->connections = connections;
    r->result->memory_after = memory_of(r); /* of idle connections; of a load it is read again */
    if (outer != NULL && outer->clients_ready != NULL)
        outer->clients_ready(outer->context, connections);
}

static void on_begin(void *context)
{
    struct run *r = context;
    const struct bench_watch *outer = r->spec->watch;
    if (outer != NULL && outer->begin != NULL)
        outer->begin(outer->context);
    r->result->memory_begin = memory_of(r);
    r->own_cpu_before_s = own_cpu_s();
    r->cpu_before = cpu_of(r);
}

static void on_end(void *context)
{
    struct run *r = context;
    const struct bench_watch *outer = r->spec->watch;
    struct process_cpu after = cpu_of(r);
    double user_s, system_s;
    process_cpu_between(&r->cpu_before, &after, &user_s, &system_s);
    r->result->clients_cpu_s += own_cpu_s() - r->own_cpu_before_s;
    r->result->cpu_user_s += user_s;
    r->result->cpu_system_s += system_s;
    r->result->memory_after = memory_of(r);
    if (outer != NULL && outer->end != NULL)
        outer->end(outer->context);
}

static void on_progress(void *context, double seconds, uint64_t published, uint64_t delivered)
{
    const struct bench_watch *outer = ((struct run *)context)->spec->watch;
    if (outer != NULL && outer->progress != NULL)
        outer->progress(outer->context, seconds, published, delivered);
}

static void dispatch(const struct bench_spec *spec, struct bench_result *result,
                     const struct bench_watch *watch)
{
    switch (spec->kind) {
    case BENCH_MESSAGES:
        flows_run(spec, result, watch);
        return;
    case BENCH_CONNECT:
        storm_connect(spec, result, watch);
        return;
    case BENCH_IDLE:
        storm_idle(spec, result, watch);
        return;
    case BENCH_RETAINED:
        store_retained(spec, result, watch);
        return;
    case BENCH_DRAIN:
        store_drain(spec, result, watch);
        return;
    }
}

void bench_run(const struct bench_spec *spec, struct bench_result *result)
{
    struct run r = { .spec = spec, .result = result };
    const struct bench_watch *outer = spec->watch;
    struct bench_watch watch = { on_ready, on_begin, on_end, on_progress, &r, NULL };
    memset(result, 0, sizeof *result);
    watch.stop = outer == NULL ? NULL : outer->stop;
    result->memory_before = result->memory_begin = result->memory_after = memory_of(&r);
    dispatch(spec, result, &watch);
    result->is_partial = watch.stop != NULL && *watch.stop != 0;
    if (spec->target.pid == 0)
        result->cpu_user_s = result->cpu_system_s = -1;
}
