/* broker/test_store.h: what the tests of the way to the disk share: a durable server on a watched
 * disk, whose storage thread turns when the test wants it. */
#pragma once

#include "broker/client.h"
#include "broker/durable.h"
#include "broker/storage.h"
#include "broker/test_client.h"
#include "broker/watched_disk.h"
#include <errno.h>

#define STORE_CONFIG                                                                               \
    TEST_CONFIG "persistence true\npersistence_location .\npersistence_reserve 1048576\n"

#define MILLISECOND_NS INT64_C(1000000)

/* On what is on the disk. */
static inline struct fuzz_world *store_world(struct watched_disk *d, unsigned workers)
{
    struct fuzz_world *w = fuzz_world_create(1);
    fuzz_world_use_files(w, &d->files);
    fuzz_world_configure(w, STORE_CONFIG);
    assert_int_equal(fuzz_world_start(w, workers), 0);
    return w;
}

static inline void store_world_end(struct fuzz_world *w, struct watched_disk *d)
{
    test_world_end(w);
    watched_disk_fini(d);
}

/* Power is lost, and comes back. */
static inline struct fuzz_world *store_world_again(struct fuzz_world *w, struct watched_disk *d,
                                                   unsigned workers)
{
    fake_disk_power_loss(&d->disk, 3);
    test_world_end(w);
    return store_world(d, workers);
}

/* What was held back goes on. */
static inline void store_release(struct fuzz_world *w)
{
    w->holds_storage = false;
    fuzz_world_settle(w);
}

static inline struct client *store_client(struct fuzz_world *w, const char *id)
{
    const struct directory_entry *e = directory_find(w->server->directory, bytes_of_string(id));
    return e == NULL ? NULL : e->client;
}

static inline uint64_t store_key(struct fuzz_world *w, const char *id)
{
    const struct client *c = store_client(w, id);
    assert_true(c != NULL && c->durable != NULL);
    return atomic_load(&c->durable->key);
}

static inline uint64_t store_queued(struct fuzz_world *w, uint64_t key)
{
    return store_queue(storage_store(w->server->storage), key).count;
}

static inline uint64_t store_written(struct fuzz_world *w)
{
    return store_stats(storage_store(w->server->storage)).bytes_written;
}

/* A durable Client of 5.0, with one subscription of QoS 2. */
static inline void store_connect(struct test_client *c, struct fuzz_world *w, unsigned worker,
                                 const char *id, const char *filter)
{
    char text[128];
    test_open(c, w, worker);
    snprintf(text, sizeof text, "10 { s'MQTT' 05 00 0000 { 11 00000e10 } s'%s' }", id);
    test_say(c, text);
    struct packet p;
    assert_true(test_hear_any(c, VERSION_5_0, &p));
    assert_int_equal(p.type, PACKET_CONNACK);
    assert_int_equal(p.connack.reason, REASON_SUCCESS);
    if (filter == NULL)
        return;
    snprintf(text, sizeof text, "82 { 0001 { } s'%s' 02 }", filter);
    test_say(c, text);
    test_hear(c, "90 { 0001 { } 02 }");
}

/* All that waits for a moment is on the disk. */
static inline void store_come_to_rest(struct fuzz_world *w)
{
    fuzz_world_pass(w, 300 * MILLISECOND_NS);
}
