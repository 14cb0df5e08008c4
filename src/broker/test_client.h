/* broker/test_client.h: what the tests here share: a world with a server in it, and clients that
 * speak and listen in the notation of mqtt/notation.h. */
#pragma once

#include "broker/fuzz_world.h"
#include "broker/server.h"
#include "broker/worker.h"
#include "mqtt/notation.h"
#include "mqtt/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define TEST_CONFIG "listener 1883\nallow_anonymous true\nsys_interval 0\n"
#define SECOND_NS   INT64_C(1000000000)

enum { TEST_IN_SIZE = 128 * 1024 };

struct test_client {
    struct fuzz_world *world;
    struct fuzz_link *link;
    size_t size; /* heard and not yet compared */
    uint8_t in[TEST_IN_SIZE];
};

static inline struct fuzz_world *test_world(const char *config, unsigned workers)
{
    struct fuzz_world *w = fuzz_world_create(1);
    fuzz_world_configure(w, config);
    assert_int_equal(fuzz_world_start(w, workers), 0);
    return w;
}

static inline void test_world_end(struct fuzz_world *w)
{
    fuzz_world_stop(w);
    fuzz_world_destroy(w);
}

/* --------------------------------------------------------------------- speaking, listening ---- */

static inline void test_say_bytes(struct test_client *c, struct bytes bytes)
{
    while (bytes.size > 0) {
        size_t taken = fuzz_link_write(c->link, bytes);
        assert_true(taken > 0); /* somebody is there, and reads */
        bytes = bytes_after(bytes, taken);
        fuzz_world_settle(c->world);
    }
}

static inline void test_say(struct test_client *c, const char *text)
{
    struct notation n;
    test_say_bytes(c, notation_read(&n, text));
}

static inline void test_listen(struct test_client *c)
{
    size_t got;
    fuzz_world_settle(c->world);
    while ((got = fuzz_link_read(c->link, c->in + c->size, sizeof c->in - c->size)) > 0) {
        c->size += got;
        fuzz_world_settle(c->world);
    }
}

static inline void test_print(const char *title, struct bytes bytes)
{
    print_error("%s", title);
    for (size_t i = 0; i < bytes.size && i < 200; i++)
        print_error(" %02x", bytes.data[i]);
    print_error("\n");
}

static inline void test_forget(struct test_client *c, size_t size)
{
    c->size -= size;
    memmove(c->in, c->in + size, c->size);
}

/* Exactly these bytes come next. */
static inline void test_hear(struct test_client *c, const char *text)
{
    struct notation n;
    struct bytes wanted = notation_read(&n, text);
    test_listen(c);
    if (!bytes_start_with(bytes_of(c->in, c->size), wanted)) {
        print_error("wanted: %s\n", text);
        test_print("wanted:", wanted);
        test_print("heard: ", bytes_of(c->in, c->size));
        fail();
    }
    test_forget(c, wanted.size);
}

static inline void test_hear_nothing(struct test_client *c)
{
    test_listen(c);
    if (c->size > 0)
        test_print("heard:", bytes_of(c->in, c->size));
    assert_int_equal(c->size, 0);
}

/* The next packet, whatever it is, decoded; its bytes are good until the next call.  False: none.
 */
static inline bool test_hear_any(struct test_client *c, enum version version, struct packet *out)
{
    static uint8_t bytes[TEST_IN_SIZE];
    struct frame frame;
    enum reason why;
    test_listen(c);
    if (frame_decode(bytes_of(c->in, c->size), &frame) != DECODE_DONE)
        return false;
    memcpy(bytes, c->in, frame.size);
    test_forget(c, frame.size);
    assert_int_equal(packet_decode(bytes_of(bytes, frame.size), version, out, &why), DECODE_DONE);
    return true;
}

/* ------------------------------------------------------------------------------- connecting --- */

static inline void test_open(struct test_client *c, struct fuzz_world *w, unsigned worker)
{
    c->world = w;
    c->size = 0;
    c->link = fuzz_link_open(w, worker);
    assert_non_null(c->link);
}

/* CONNECT with Clean Start and no Keep Alive; the answer is yes. */
static inline void test_connect(struct test_client *c, struct fuzz_world *w, unsigned worker,
                                enum version version, const char *id)
{
    char text[128];
    struct packet p;
    test_open(c, w, worker);
    snprintf(text, sizeof text, "10 { s'MQTT' %02x 02 0000 %s s'%s' }", version,
             version_has_properties(version) ? "{ }" : "", id);
    test_say(c, text);
    assert_true(test_hear_any(c, version, &p));
    assert_int_equal(p.type, PACKET_CONNACK);
    assert_int_equal(p.connack.reason, REASON_SUCCESS);
    test_hear_nothing(c);
}

/* The connection ends without a word. */
static inline void test_close(struct test_client *c)
{
    fuzz_link_forget(c->link);
    fuzz_world_settle(c->world);
}
