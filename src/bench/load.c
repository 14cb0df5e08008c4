/* bench/load.c: see load.h. */
#include "bench/load.h"
#include "bench/fail.h"
#include <stdio.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

enum { PROGRESS_PER_S = 4, PATIENCE_S = 30 };

void load_init(struct load *l, const struct bench_spec *spec, struct bench_result *result,
               const struct bench_watch *watch)
{
    *l = (struct load){ .spec = spec, .result = result, .watch = watch };
    loop_init(&l->loop, &spec->target, l);
    l->heard_ns = loop_now(&l->loop);
    l->progress_due_ns = l->heard_ns + SECOND_NS / PROGRESS_PER_S;
}

void load_fini(struct load *l)
{
    loop_fini(&l->loop);
}

void load_ready(const struct load *l, uint32_t connections)
{
    if (l->watch->clients_ready != NULL)
        l->watch->clients_ready(l->watch->context, connections);
}

bool load_is_stopped(const struct load *l)
{
    return l->watch->stop != NULL && *l->watch->stop != 0;
}

void load_begin(struct load *l)
{
    l->counted_since_ns = l->heard_ns = loop_now(&l->loop);
    if (load_is_stopped(l))
        return;
    if (l->watch->begin != NULL)
        l->watch->begin(l->watch->context);
    l->is_counting = true;
    l->counted_since_ns = loop_now(&l->loop); /* reading what is measured may take its time */
}

void load_end(struct load *l)
{
    if (!l->is_counting)
        return;
    l->is_counting = false;
    l->result->seconds += (double)(loop_now(&l->loop) - l->counted_since_ns) / 1e9;
    if (l->watch->end != NULL)
        l->watch->end(l->watch->context);
}

void load_count(struct load *l, int64_t since_ns)
{
    l->heard_ns = l->loop.now_ns;
    if (!l->is_counting)
        return;
    int64_t took_ns = l->loop.now_ns - since_ns;
    l->result->delivered++;
    histogram_add(&l->result->latency, took_ns > 0 ? (uint64_t)took_ns : 0, 1);
}

static void tell_progress(struct load *l)
{
    const struct bench_result *r = l->result;
    double seconds = r->seconds;
    if (l->is_counting)
        seconds += (double)(l->loop.now_ns - l->counted_since_ns) / 1e9;
    l->progress_due_ns = l->loop.now_ns + SECOND_NS / PROGRESS_PER_S;
    if (l->watch->progress != NULL)
        l->watch->progress(l->watch->context, seconds, r->published, r->delivered);
}

void load_turn(struct load *l, int64_t until_ns, const char *wanted)
{
    loop_turn(&l->loop, until_ns < l->progress_due_ns ? until_ns : l->progress_due_ns);
    int64_t now_ns = loop_now(&l->loop);
    if (now_ns - l->heard_ns > PATIENCE_S * SECOND_NS)
        bench_fail("waited %d s in vain for %s", PATIENCE_S, wanted);
    if (now_ns >= l->progress_due_ns)
        tell_progress(l);
}

void load_run(struct load *l, double seconds, const char *wanted)
{
    int64_t until_ns = loop_now(&l->loop) + (int64_t)(seconds * 1e9);
    while (l->loop.now_ns < until_ns && !load_is_stopped(l))
        load_turn(l, until_ns, wanted);
}

struct bytes load_client_id(char *out, uint32_t index)
{
    int size = snprintf(out, CLIENT_ID_SIZE, "bench-%d-%u", (int)getpid(), index);
    return bytes_of(out, (size_t)size); /* a pid has 7 digits, an index at most 10 */
}
