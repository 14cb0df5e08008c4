/* client/test_peer.h: the other end of a scripted exchange, for the tests of this folder.  Bytes
 * are written in hex, as a packet dump shows them; blanks mean nothing. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "chappe/client.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND        INT64_C(1000000000)
#define NO_PROPERTIES chappe_bytes(NULL, 0)

struct peer {
    struct chappe_client *client;
    struct chappe_event event; /* the last one */
    int64_t now_ns;
    size_t chop; /* the Server's bytes come in pieces of this size; 0: as they are */
};

static inline size_t peer_unhex(const char *hex, uint8_t *out, size_t max)
{
    size_t size = 0;
    for (; *hex != '\0'; hex++) {
        if (isspace((unsigned char)*hex))
            continue;
        char digits[3] = { hex[0], hex[1], '\0' };
        char *end;
        assert_true(size < max);
        out[size++] = (uint8_t)strtoul(digits, &end, 16);
        assert_ptr_equal(end, digits + 2);
        hex++;
    }
    return size;
}

/* A client with these options; the start of most tests. */
static inline void peer_start(struct peer *p, const struct chappe_client_options *options)
{
    memset(p, 0, sizeof *p);
    p->now_ns = 1000 * SECOND;
    assert_int_equal(chappe_client_create(options, &p->client), 0);
}

static inline void peer_end(struct peer *p)
{
    chappe_client_destroy(p->client);
}

/* The type of the next event, 0: none. */
static inline int peer_next(struct peer *p)
{
    return chappe_client_next(p->client, p->now_ns, &p->event) ? (int)p->event.type : 0;
}

/* The Server says this. */
static inline void peer_says(struct peer *p, const char *hex)
{
    static uint8_t bytes[70000];
    size_t size = peer_unhex(hex, bytes, sizeof bytes);
    size_t piece = p->chop == 0 ? size : p->chop;
    for (size_t at = 0; at < size; at += piece) {
        size_t now = size - at < piece ? size - at : piece;
        if (at > 0 && at + now < size)
            assert_int_equal(peer_next(p), 0); /* not whole yet: no event */
        assert_int_equal(chappe_client_receive(p->client, chappe_bytes(bytes + at, now), p->now_ns),
                         0);
    }
}

/* The client has said exactly this; the bytes go. */
static inline void peer_hears(struct peer *p, const char *hex)
{
    static uint8_t bytes[70000];
    size_t size = peer_unhex(hex, bytes, sizeof bytes);
    struct chappe_bytes output = chappe_client_output(p->client);
    if (output.size != size || (size > 0 && memcmp(output.data, bytes, size) != 0)) {
        fprintf(stderr, "expected %s\n     got ", hex);
        for (size_t i = 0; i < output.size; i++)
            fprintf(stderr, "%02x ", output.data[i]);
        fprintf(stderr, "\n");
        fail();
    }
    chappe_client_sent(p->client, output.size, p->now_ns);
}

/* Whatever the client has said goes. */
static inline void peer_ignores(struct peer *p)
{
    chappe_client_sent(p->client, chappe_client_output(p->client).size, p->now_ns);
}

/* Connects; the Server's CONNACK is given. */
static inline void peer_connect(struct peer *p, const char *connack)
{
    assert_int_equal(chappe_client_connect(p->client, p->now_ns), 0);
    peer_ignores(p);
    peer_says(p, connack);
    assert_int_equal(peer_next(p), CHAPPE_EVENT_CONNECTED);
}

/* The connection breaks. */
static inline void peer_breaks(struct peer *p)
{
    chappe_client_closed(p->client, 0);
    assert_int_equal(peer_next(p), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(p->event.error, -ECONNRESET);
}

static inline void assert_text(struct chappe_bytes bytes, const char *text)
{
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.size);
}
