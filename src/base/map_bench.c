/* base/map_bench.c: nanoseconds per operation of a map with client ids as keys. */
#include "base/map.h"
#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

struct client {
    char id[32];
};

static struct bytes client_key(const void *object)
{
    return bytes_of_string(((const struct client *)object)->id);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void bench(size_t count)
{
    struct client *clients = memory_alloc(count * sizeof(*clients));
    struct map m;
    assert(clients != NULL);
    for (size_t i = 0; i < count; i++)
        snprintf(clients[i].id, sizeof(clients[i].id), "device-%zu", i);
    map_init(&m, 42, client_key);

    double start = now_ns();
    for (size_t i = 0; i < count; i++) {
        if (map_add(&m, &clients[i]) != 0)
            return;
    }
    double added = now_ns();
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        size_t any = i * 2654435761u % count;
        found += map_find(&m, client_key(&clients[any])) != NULL;
    }
    double found_at = now_ns();
    for (size_t i = 0; i < count; i++) {
        uint64_t absent = i;
        found += map_find(&m, bytes_of(&absent, sizeof(absent))) != NULL;
    }
    double missed = now_ns();
    for (size_t i = 0; i < count; i++)
        map_remove(&m, &clients[i]);
    double removed = now_ns();

    double n = (double)count;
    printf("%9zu keys   add %6.1f   find %6.1f   miss %6.1f   remove %6.1f   ns per op\n", found,
           (added - start) / n, (found_at - added) / n, (missed - found_at) / n,
           (removed - missed) / n);
    map_fini(&m);
    memory_free(clients);
}

int main(void)
{
    bench(1000);
    bench(100000);
    bench(1000000);
    return 0;
}
