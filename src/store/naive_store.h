/* store/naive_store.h: what a store should hold, in arrays; for tests.
 *
 * A thing is a number: what is stored under a key or waits in a queue is made from it, and compared
 * with what a store gives back. */
#pragma once

#include "base/fake_disk.h"
#include "base/list.h"
#include "base/memory.h"
#include "store/store.h"
#include "store/test_random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NAIVE_KEYS = 12, NAIVE_QUEUES = 4, NAIVE_SEQS = 48 };

struct naive {
    uint32_t keys[NAIVE_KEYS]; /* 0: not there */
    uint32_t entries[NAIVE_QUEUES][NAIVE_SEQS];
};

static const char naive_firsts[] = "sfr";

static inline struct bytes naive_key(size_t index, char out[16])
{
    int size = snprintf(out, 16, "%c/%zu", naive_firsts[index % 3], index);
    return bytes_of(out, (size_t)size);
}

/* Now and then a large one, and rarely one that is larger than a small segment. */
static inline size_t naive_size(uint32_t thing)
{
    size_t size = thing % 97 == 0 ? 9000 : thing % 11 == 0 ? 2000 : thing % 300;
    return size + thing % 5;
}

/* A body that a thing has: the caller frees it.  Tests may run out of memory at any place, but not
 * here. */
static inline struct bytes naive_body(uint32_t thing)
{
    size_t size = naive_size(thing);
    uint8_t *body = malloc(size + 1);
    assert_non_null(body);
    for (size_t i = 0; i < size; i++)
        body[i] = (uint8_t)(thing + i * 7 + i / 256);
    return bytes_of(body, size);
}

static inline void naive_expect_body(struct bytes body, uint32_t thing)
{
    struct bytes expected = naive_body(thing);
    assert_true(bytes_equal(body, expected));
    free((void *)(uintptr_t)expected.data);
}

/* ---------------------------------------------------------------------------- comparing ------- */

struct naive_reading {
    struct store_sink sink;
    struct store_reader reader;
    struct naive *out;
    uint64_t queue, next;
    uint64_t damaged;
};

static inline uint32_t naive_thing(struct bytes data)
{
    uint32_t thing;
    assert_true(data.size >= sizeof(thing));
    memcpy(&thing, data.data, sizeof(thing));
    return thing;
}

static inline bool naive_on_key(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct naive_reading *r = container_of(sink, struct naive_reading, sink);
    char text[16];
    size_t index = 0;
    while (index < NAIVE_KEYS && !bytes_equal(key, naive_key(index, text)))
        index++;
    assert_true(index < NAIVE_KEYS);
    assert_int_equal(r->out->keys[index], 0);
    r->out->keys[index] = naive_thing(value);
    naive_expect_body(bytes_after(value, 4), r->out->keys[index]);
    return true;
}

static inline bool naive_on_entry(struct store_reader *reader, uint64_t seq, struct bytes data,
                                  struct bytes body)
{
    struct naive_reading *r = container_of(reader, struct naive_reading, reader);
    assert_true(seq >= r->next && seq < NAIVE_SEQS);
    r->next = seq + 1;
    uint32_t thing = naive_thing(data);
    r->out->entries[r->queue][seq] = thing;
    naive_expect_body(body, thing);
    return true;
}

static inline void naive_on_damaged(struct store_reader *reader, uint64_t seq, int error,
                                    const struct store_fault *fault)
{
    struct naive_reading *r = container_of(reader, struct naive_reading, reader);
    assert_true(fault->text[0] != '\0' && fault->offset > 0);
    r->damaged++;
}

/* All that can be read of a store.  How many entries were damaged. */
static inline uint64_t naive_read(struct store *s, struct naive *out)
{
    memset(out, 0, sizeof(*out));
    struct naive_reading r = { { naive_on_key }, { naive_on_entry, naive_on_damaged }, out };
    struct store_fault fault;
    for (size_t i = 0; naive_firsts[i] != '\0'; i++)
        assert_int_equal(store_walk(s, (uint8_t)naive_firsts[i], &r.sink, &fault), 0);
    for (r.queue = 0; r.queue < NAIVE_QUEUES; r.queue++) {
        r.next = 0;
        assert_int_equal(store_read_queue(s, r.queue, 0, &r.reader), 0);
    }
    return r.damaged;
}

static inline void naive_expect_queue(struct store *s, const struct naive *n, uint64_t queue)
{
    struct store_queue expected = { 0 }, q = store_queue(s, queue);
    for (uint64_t seq = 0; seq < NAIVE_SEQS; seq++) {
        if (n->entries[queue][seq] == 0)
            continue;
        expected.first = expected.count++ == 0 ? seq : expected.first;
        expected.last = seq;
    }
    assert_memory_equal(&q, &expected, sizeof(q));
}

/* What does not need the disk: the numbers of things. */
static inline void naive_expect_counts(struct store *s, const struct naive *n)
{
    struct store_stats stats = store_stats(s);
    uint64_t keys = 0, entries = 0, queues = 0;
    for (size_t i = 0; i < NAIVE_KEYS; i++)
        keys += n->keys[i] != 0;
    for (uint64_t queue = 0; queue < NAIVE_QUEUES; queue++) {
        naive_expect_queue(s, n, queue);
        entries += store_queue(s, queue).count;
        queues += store_queue(s, queue).count > 0;
    }
    assert_int_equal(stats.keys, keys);
    assert_int_equal(stats.entries, entries);
    assert_int_equal(stats.queues, queues);
    uint64_t cursor = 0, queue;
    while (store_next_queue(s, &cursor, &queue))
        queues--;
    assert_int_equal(queues, 0);
    store_check(s);
}

/* ------------------------------------------------------------------------------ changing ------ */

static inline void naive_put(struct buffer *records, size_t key, uint32_t thing)
{
    char text[16];
    struct bytes body = naive_body(thing);
    struct buffer value = { 0 };
    assert_int_equal(buffer_append(&value, bytes_of(&thing, sizeof(thing))), 0);
    assert_int_equal(buffer_append(&value, body), 0);
    assert_int_equal(record_put(records, naive_key(key, text), buffer_bytes(&value)), 0);
    buffer_fini(&value);
    free((void *)(uintptr_t)body.data);
}

/* To `count` queues, from this one on. */
static inline void naive_append(struct buffer *records, uint64_t queue, size_t count, uint64_t seq,
                                uint32_t thing)
{
    struct bytes body = naive_body(thing);
    struct record_entry entries[NAIVE_QUEUES];
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct record_entry){ (queue + i) % NAIVE_QUEUES, seq,
                                            bytes_of(&thing, sizeof(thing)) };
    assert_int_equal(record_append(records, entries, count, &body, 1), 0);
    free((void *)(uintptr_t)body.data);
}

/* A random record, and what it does to a naive one. */
static inline void naive_change_once(struct naive *n, uint64_t *random, uint32_t thing,
                                     struct buffer *records)
{
    char text[16];
    size_t key = next_random(random) % NAIVE_KEYS;
    uint64_t queue = next_random(random) % NAIVE_QUEUES, seq = next_random(random) % NAIVE_SEQS;
    size_t count = 1 + next_random(random) % NAIVE_QUEUES;
    uint32_t what = next_random(random) % 32;
    if (what < 6) {
        naive_put(records, key, thing);
        n->keys[key] = thing;
    } else if (what < 8) {
        assert_int_equal(record_remove(records, naive_key(key, text)), 0);
        n->keys[key] = 0;
    } else if (what < 22) {
        naive_append(records, queue, count, seq, thing);
        for (size_t i = 0; i < count; i++)
            n->entries[(queue + i) % NAIVE_QUEUES][seq] = thing;
    } else if (what < 31) {
        assert_int_equal(record_finish(records, queue, seq), 0);
        n->entries[queue][seq] = 0;
    } else {
        assert_int_equal(record_drop(records, queue), 0);
        memset(n->entries[queue], 0, sizeof(n->entries[queue]));
    }
}

/* One to three of them; *thing is the newest one. */
static inline void naive_change(struct naive *n, uint64_t *random, uint32_t *thing,
                                struct buffer *records)
{
    for (uint32_t count = 1 + next_random(random) % 3; count > 0; count--)
        naive_change_once(n, random, ++*thing, records);
}
