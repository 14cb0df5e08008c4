/* broker/connection_read.c: bytes -> Control Packets -> handlers.
 *
 *     shared block    [ tail of last time | what recv gave now           ]
 *                       packet  packet  packet  unfin-                     -> kept in rx
 *     block of its own     [ packet                        ]
 *
 * All connections of a worker read into one block; only an unfinished packet is kept, in a block of
 * the connection's own.  A large packet is read straight into such a block, which its message then
 * refers to: from one socket to the other, a large payload is never copied.  Who sent a large
 * packet is expected to send another one, and is read into a block of that size at once.
 *
 * A header may promise what it likes: what is kept is at most SPARSE times what really came. */
#include "base/memory.h"
#include "base/uninitialized.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/look_ahead.h"
#include "broker/on.h"
#include <errno.h>

enum {
    READ_SIZE = 68 * 1024,        /* per connection and turn: the usual 64 KiB, and their head; */
    LARGE_SIZE = 20 * 1024,       /* but of a packet beyond this size, */
    LARGE_READ_SIZE = 272 * 1024, /* as much as this once its header has been seen */
    EXPECTED_SIZE_MAX = 1040 * 1024, /* nobody's next packet is expected to be larger */
    SPARSE = 4,                      /* a block is as many times as large as what is in it */
    ROOM_MIN = 16 * 1024,            /* less is not worth a system call */
    CONNECT_SIZE_MAX = 100 * 1000,   /* as Mosquitto; so below */
    SUBSCRIBE_SIZE_MAX = 100 * 1000,
    ACK_SIZE_MAX = 10 * 1000,
};

static_assert(LARGE_SIZE + READ_SIZE <= INPUT_SIZE, "a tail and a read fit the worker's block");

/* ---------------------------------------------------------------------------------- packets --- */

static void tap(struct connection *c, const struct packet *p)
{
    for (struct tap *t = c->worker->taps; t != NULL; t = t->next)
        t->on_packet(t, c, TAP_RECEIVED, p);
}

/* The packets that only a Server sends, and a second CONNECT, are protocol errors. */
static void dispatch(struct connection *c, const struct packet *p, struct bytes packet,
                     struct bytes rest)
{
    switch (p->type) {
    case PACKET_CONNECT:
        if (c->state == CONNECTION_OPEN) /* [MQTT-3.1.0-2] */
            connection_fail(c, REASON_PROTOCOL_ERROR, "protocol error");
        else
            on_connect(c, &p->connect, rest);
        return;
    case PACKET_PUBLISH:
        on_publish(c, &p->publish, packet);
        return;
    case PACKET_PUBACK:
        on_puback(c, &p->ack);
        return;
    case PACKET_PUBREC:
        on_pubrec(c, &p->ack);
        return;
    case PACKET_PUBREL:
        on_pubrel(c, &p->ack);
        return;
    case PACKET_PUBCOMP:
        on_pubcomp(c, &p->ack);
        return;
    case PACKET_SUBSCRIBE:
        on_subscribe(c, &p->subscribe);
        return;
    case PACKET_UNSUBSCRIBE:
        on_unsubscribe(c, &p->subscribe);
        return;
    case PACKET_PINGREQ:
        on_pingreq(c);
        return;
    case PACKET_DISCONNECT:
        on_disconnect(c, &p->disconnect);
        return;
    case PACKET_AUTH:
        on_auth(c, &p->disconnect);
        return;
    case PACKET_CONNACK:
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
    case PACKET_PINGRESP:
        break;
    }
    connection_fail(c, REASON_PROTOCOL_ERROR, "protocol error");
}

/* CONNECT could not be decoded.  Only an unknown version gets an answer. */
static void refuse_connect(struct connection *c, const struct packet *p, enum reason why)
{
    if (why == REASON_UNSUPPORTED_PROTOCOL_VERSION) { /* [MQTT-3.1.2-2] [MQTT3-3.1.2-2] */
        struct packet answer = { .type = PACKET_CONNACK, .connack.reason = why };
        c->version = (uint8_t)p->connect.version;
        connection_send(c, &answer);
        connection_close(c, false, "unsupported protocol version");
        return;
    }
    metrics_add(&c->worker->metrics, METRIC_protocol_errors, 1);
    connection_close(c, false, "protocol error");
}

static void on_bad_packet(struct connection *c, const struct packet *p, enum reason why)
{
    if (c->state == CONNECTION_AWAITS_CONNECT)
        refuse_connect(c, p, why);
    else if (p->type == PACKET_CONNECT) /* a second one, whatever it says [MQTT-3.1.0-2] */
        connection_fail(c, REASON_PROTOCOL_ERROR, "protocol error");
    else if (p->type == PACKET_PUBLISH && why == REASON_TOPIC_NAME_INVALID)
        on_publish_refused(c, p->publish.qos, p->publish.packet_id, why);
    else
        connection_fail(c, why,
                        why == REASON_MALFORMED_PACKET ? "malformed packet" : "protocol error");
}

static void on_packet(struct connection *c, const struct frame *frame, struct bytes rest)
{
    struct bytes whole = { rest.data, frame->size };
    struct worker *w = c->worker;
    struct packet p UNINITIALIZED;
    enum reason why = REASON_SUCCESS;

    bool is_known = c->is_placed && frame->type == PACKET_CONNECT; /* seen by the first worker */
    p.type = frame->type;
    if (!is_known) {
        metrics_add(&w->metrics, METRIC_packets_received, 1);
        metric_bump(&w->metrics.received[frame->type], 1);
    }
    c->received_ns = worker_live_ns(w);
    if (packet_decode_frame(frame, whole, c->version, &p, &why) != DECODE_DONE) {
        on_bad_packet(c, &p, why);
        return;
    }
    if (w->taps != NULL && !is_known)
        tap(c, &p);
    dispatch(c, &p, whole, rest);
}

/* The largest packet of this type that we take. */
static uint32_t size_max(const struct connection *c, enum packet_type type)
{
    uint32_t configured = c->worker->config->max_packet_size;
    uint32_t max = configured == 0 ? PACKET_SIZE_MAX : configured;
    if (type == PACKET_CONNECT || type == PACKET_AUTH)
        return CONNECT_SIZE_MAX;
    if (type == PACKET_PUBLISH)
        return max;
    if (type == PACKET_SUBSCRIBE || type == PACKET_UNSUBSCRIBE)
        return version_has_properties(c->version) && max > SUBSCRIBE_SIZE_MAX ? SUBSCRIBE_SIZE_MAX
                                                                              : max;
    return ACK_SIZE_MAX;
}

/* Judges the fixed header.  False: the connection is closed. */
static bool check_frame(struct connection *c, enum decode_result result, const struct frame *frame)
{
    if (result == DECODE_BAD) {
        connection_fail(c, REASON_MALFORMED_PACKET, "malformed packet");
        return false;
    }
    if (frame->size == 0)
        return true;
    if (c->state == CONNECTION_AWAITS_CONNECT && frame->type != PACKET_CONNECT) {
        connection_close(c, false, "protocol error"); /* [MQTT-3.1.0-1] */
        return false;
    }
    if (frame->size > size_max(c, frame->type)) {
        connection_fail(c, REASON_PACKET_TOO_LARGE, "oversize packet");
        return false;
    }
    return true;
}

/* Handles the complete packets at the start of `in`; returns how many bytes they had.  *next_size
 * is the size of the next one, as far as it is known; if nothing of it is here, as we expect it; 0:
 * not at all.  Stops early when the connection is closed, handed off, or paused. */
static size_t process(struct connection *c, struct bytes in, uint32_t *next_size)
{
    struct bytes rest = in;
    unsigned known = 0; /* packets that need no look ahead */
    uint32_t last_size = 0;
    *next_size = 0;
    while (rest.size > 0 && c->state != CONNECTION_CLOSED && c->paused == 0) {
        struct frame frame;
        enum decode_result result = frame_decode(rest, &frame);
        if (!check_frame(c, result, &frame))
            break;
        if (result == DECODE_MORE) {
            *next_size = frame.size;
            break;
        }
        if (known == 0)
            known = look_ahead(c->worker, rest);
        known--;
        on_packet(c, &frame, rest);
        rest = bytes_after(rest, frame.size);
        last_size = frame.size;
    }
    if (rest.size == 0 && last_size > LARGE_SIZE)
        *next_size = last_size;
    look_ahead_end(c->worker);
    return in.size - rest.size;
}

/* ------------------------------------------------------------------------------------ bytes --- */

struct unfinished *unfinished_create(struct bytes bytes)
{
    struct unfinished *u = memory_alloc_zero(sizeof *u);
    if (u == NULL || bytes.size == 0)
        return u;
    u->in = received_create(bytes.size);
    if (u->in == NULL) {
        memory_free(u);
        return NULL;
    }
    received_append(u->in, bytes);
    return u;
}

void unfinished_destroy(struct unfinished *u)
{
    if (u == NULL)
        return;
    received_unref(u->in);
    memory_free(u);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void fail_for_memory(struct connection *c)
{
    connection_fail(c, REASON_QUOTA_EXCEEDED, "out of memory");
}

/* From now on, this is what we have of a packet.  Takes over the reference. */
static void begin(struct connection *c, struct received *in, uint32_t packet_size)
{
    if (c->rx == NULL) {
        c->rx = unfinished_create((struct bytes){ 0 });
        if (c->rx == NULL) {
            received_unref(in);
            fail_for_memory(c);
            return;
        }
        c->rx->begun_ns = worker_live_ns(c->worker);
    }
    c->rx->in = in;
    c->rx->packet_size = packet_size;
    connection_arm(c);
}

/* We have nothing.  An expectation that there is no memory for is none. */
static void expect(struct connection *c, uint32_t packet_size)
{
    if (packet_size > 0 && c->rx == NULL)
        c->rx = unfinished_create((struct bytes){ 0 });
    if (packet_size > 0 && c->rx != NULL) {
        c->rx->packet_size = packet_size;
    } else {
        unfinished_destroy(c->rx);
        c->rx = NULL;
    }
}

/* A copy, with room for as much more of the packet as one may have.  NULL: no memory. */
static struct received *copy_of(struct bytes bytes, uint32_t packet_size)
{
    size_t capacity = bytes.size;
    if (packet_size > LARGE_SIZE)
        capacity = least(packet_size, capacity * SPARSE);
    struct received *copy = received_create(capacity);
    if (copy != NULL)
        received_append(copy, bytes);
    return copy;
}

/* Keeps an unfinished packet where it is, or in a smaller block if most of this one is for bytes
 * that have not come.  Takes over the reference. */
static void keep(struct connection *c, struct received *in, uint32_t packet_size)
{
    struct received *smaller = NULL;
    if (c->state == CONNECTION_CLOSED || in->size == 0) {
        received_unref(in); /* what was expected still is */
        return;
    }
    if (in->capacity / SPARSE > in->size)
        smaller = copy_of(received_bytes(in), packet_size);
    if (smaller != NULL) {
        received_unref(in);
        in = smaller;
    }
    begin(c, in, packet_size);
}

/* Keeps what is left of a block that others may refer to. */
static void keep_tail(struct connection *c, struct bytes tail, uint32_t packet_size)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    if (tail.size == 0) {
        expect(c, packet_size);
        return;
    }
    struct received *copy = copy_of(tail, packet_size);
    if (copy == NULL)
        fail_for_memory(c);
    else
        begin(c, copy, packet_size);
}

/* Handles what is in the block from `start` on; returns how many bytes of that. */
static size_t decode(struct connection *c, struct received *in, size_t start, uint32_t *next_size)
{
    struct worker *w = c->worker;
    assert(w->reading == NULL);
    w->reading = in;
    size_t done = process(c, bytes_after(received_bytes(in), start), next_size);
    w->reading = NULL;
    if (done > 0 && c->rx != NULL)
        c->rx->begun_ns = worker_live_ns(w); /* of what comes after it */
    return done;
}

/* A block of the connection's own; takes over the reference. */
static void decode_own(struct connection *c, struct received *in)
{
    uint32_t next_size;
    size_t done = decode(c, in, 0, &next_size);
    if (done == 0) {
        keep(c, in, next_size);
        return;
    }
    keep_tail(c, bytes_after(received_bytes(in), done), next_size);
    received_unref(in);
}

/* Takes it out of rx: handlers may close the connection.  NULL: nothing. */
static struct received *take_in(struct connection *c)
{
    struct received *in = c->rx == NULL ? NULL : c->rx->in;
    if (in != NULL)
        c->rx->in = NULL;
    return in;
}

void connection_process(struct connection *c)
{
    struct received *in = take_in(c);
    if (in != NULL)
        decode_own(c, in);
}

static void on_no_bytes(struct connection *c, ssize_t why)
{
    if (why == 0)
        connection_close(c, false, "connection closed by client");
    else if (why != -EAGAIN)
        connection_close(c, false, "connection error");
}

/* Reads behind what is there; there is room for so much.  False: nothing came, or the connection is
 * closed. */
static inline bool receive(struct connection *c, struct received *into, size_t most)
{
    ssize_t got = c->stream->ops->recv(c->stream, into->bytes + into->size, most);
    if (got <= 0) {
        on_no_bytes(c, got);
        return false;
    }
    received_commit(into, (size_t)got);
    metrics_add(&c->worker->metrics, METRIC_bytes_received, got);
    return true;
}

static bool receive_large(struct connection *c, struct received *into, size_t most)
{
    return receive(c, into, least(received_room(into), most));
}

/* A block for the large packet of which this is the start.  Only while we read, it may be large for
 * what is in it.  NULL: no memory. */
static struct received *make_room(const struct unfinished *u)
{
    size_t have = u->in == NULL ? 0 : u->in->size;
    size_t most = u->in == NULL ? EXPECTED_SIZE_MAX : LARGE_READ_SIZE;
    if (most < have * SPARSE)
        most = have * SPARSE;
    struct received *larger = received_create(least(u->packet_size, most));
    if (larger != NULL && have > 0)
        received_append(larger, received_bytes(u->in));
    return larger;
}

static bool has_room(const struct unfinished *u)
{
    return u->in != NULL && received_room(u->in) >= least(u->packet_size - u->in->size, ROOM_MIN);
}

/* The large packet that was expected has come, but not all of it. */
static bool is_as_expected(const struct received *in)
{
    struct frame frame;
    return frame_decode(received_bytes(in), &frame) == DECODE_MORE && frame.size > LARGE_SIZE &&
           received_room(in) > 0;
}

/* A large packet: read into its own block, and no further. */
static void read_large(struct connection *c)
{
    struct unfinished *rx = c->rx;
    bool is_begun = rx->in != NULL; /* else it is only expected */
    if (!has_room(rx)) {
        struct received *larger = make_room(rx);
        if (larger == NULL) {
            fail_for_memory(c);
            return;
        }
        received_unref(rx->in);
        rx->in = larger;
    }
    struct received *in = take_in(c);
    bool has_come = receive_large(c, in, is_begun ? LARGE_READ_SIZE : READ_SIZE);
    if (has_come && !is_begun && is_as_expected(in)) /* the rest may be here, too; or it may not */
        (void)receive_large(c, in, LARGE_READ_SIZE);
    if (has_come) {
        rx->begun_ns = worker_live_ns(c->worker);
        if (c->state == CONNECTION_OPEN) /* slow, but alive; CONNECT has its own deadline */
            c->received_ns = rx->begun_ns;
    }
    if (has_come && (!is_begun || in->size == rx->packet_size))
        decode_own(c, in);
    else
        keep(c, in, rx->packet_size);
}

/* The worker's block, with room for a tail and a read: what was read into it in this turn may still
 * be on its way out.  NULL: no memory. */
static struct received *shared_input(struct worker *w)
{
    if (block_is_unshared(&w->input->block)) {
        w->input->size = 0;
    } else if (received_room(w->input) < LARGE_SIZE + READ_SIZE) {
        struct received *fresh = received_create(INPUT_SIZE);
        if (fresh == NULL)
            return NULL;
        received_unref(w->input);
        w->input = fresh;
    }
    return w->input;
}

static void read_shared(struct connection *c)
{
    struct received *in = shared_input(c->worker);
    struct received *before = c->rx == NULL ? NULL : c->rx->in;
    if (in == NULL) {
        fail_for_memory(c);
        return;
    }
    size_t start = in->size;
    if (before != NULL)
        received_append(in, received_bytes(before));
    if (!receive(c, in, READ_SIZE)) {
        in->size = (uint32_t)start;
        return;
    }
    uint32_t next_size;
    (void)take_in(c);
    size_t done = decode(c, in, start, &next_size);
    keep_tail(c, bytes_after(received_bytes(in), start + done), next_size);
    received_unref(before);
}

void connection_on_event(struct connection *c, unsigned ready)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    if ((ready & NET_WRITE) != 0)
        connection_flush(c);
    if (c->state == CONNECTION_CLOSED)
        return;
    if ((ready & NET_READ) != 0 && c->paused == 0) {
        if (c->rx != NULL && c->rx->packet_size > LARGE_SIZE)
            read_large(c);
        else
            read_shared(c);
    } else if ((ready & NET_HANGUP) != 0) {
        connection_close(c, false, "connection error");
    }
}
