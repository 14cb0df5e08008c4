/* broker/connection_read.c: bytes -> Control Packets -> handlers.
 *
 *     shared buffer   [ tail of last time | what recv gave now           ]
 *                       packet  packet  packet  unfin-                     -> back into rx
 *
 * All connections of a worker read into one buffer; only an unfinished packet is kept, in a buffer
 * of the connection's own that grows with the bytes that really came, never with those a header
 * promised.  A large packet is read straight into that buffer. */
#include "base/uninitialized.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/on.h"
#include <errno.h>

enum {
    READ_SIZE = 64 * 1024,         /* decoded per connection and turn, at most */
    TAIL_SIZE = 64 * 1024,         /* an unfinished packet up to this size moves to the front */
    CONNECT_SIZE_MAX = 100 * 1000, /* as Mosquitto; so below */
    SUBSCRIBE_SIZE_MAX = 100 * 1000,
    ACK_SIZE_MAX = 10 * 1000,
};

static_assert(READ_SIZE + TAIL_SIZE <= READ_BUFFER_SIZE, "both fit the worker's buffer");

/* ---------------------------------------------------------------------------------- packets --- */

static void tap(struct connection *c, const struct packet *p)
{
    for (struct tap *t = c->worker->taps; t != NULL; t = t->next)
        t->on_packet(t, c, TAP_RECEIVED, p);
}

/* The packets that only a Server sends, and a second CONNECT, are protocol errors. */
static void dispatch(struct connection *c, const struct packet *p, struct bytes whole)
{
    switch (p->type) {
    case PACKET_CONNECT:
        if (c->state == CONNECTION_OPEN) /* [MQTT-3.1.0-2] */
            connection_fail(c, REASON_PROTOCOL_ERROR, "protocol error");
        else
            on_connect(c, &p->connect, whole);
        return;
    case PACKET_PUBLISH:
        on_publish(c, &p->publish);
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
        c->version = p->connect.version;
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
    dispatch(c, &p, rest);
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

/* Handles the complete packets at the start of `in`; returns how many bytes they had.  Stops early
 * when the connection is closed, handed off, or paused. */
static size_t process(struct connection *c, struct bytes in)
{
    struct bytes rest = in;
    c->rx_size = 0;
    while (rest.size > 0 && c->state != CONNECTION_CLOSED && c->paused == 0) {
        struct frame frame;
        enum decode_result result = frame_decode(rest, &frame);
        if (!check_frame(c, result, &frame))
            break;
        if (result == DECODE_MORE) {
            c->rx_size = frame.size;
            break;
        }
        on_packet(c, &frame, rest);
        rest = bytes_after(rest, frame.size);
    }
    return in.size - rest.size;
}

/* ------------------------------------------------------------------------------------ bytes --- */

/* Keeps what is left of bytes that do not belong to rx. */
static void keep_tail(struct connection *c, struct bytes tail)
{
    if (c->state == CONNECTION_CLOSED || tail.size == 0) {
        buffer_fini(&c->rx);
        return;
    }
    if (c->rx.size == 0)
        c->rx_begun_ns = worker_live_ns(c->worker);
    c->rx.size = 0;
    if (buffer_append(&c->rx, tail) != 0)
        connection_fail(c, REASON_QUOTA_EXCEEDED, "out of memory");
    else
        connection_arm(c);
}

void connection_process(struct connection *c)
{
    struct buffer rx = c->rx; /* ours for the moment: handlers may close the connection */
    buffer_init(&c->rx);
    size_t done = process(c, buffer_bytes(&rx));
    struct bytes tail = bytes_after(buffer_bytes(&rx), done);
    if (done == 0 && c->state != CONNECTION_CLOSED)
        c->rx = rx;
    else {
        keep_tail(c, tail);
        buffer_fini(&rx);
    }
}

/* recv's answer.  False: nothing to decode. */
static bool judge_recv(struct connection *c, ssize_t got)
{
    if (got > 0) {
        metrics_add(&c->worker->metrics, METRIC_bytes_received, got);
        return true;
    }
    if (got == 0)
        connection_close(c, false, "connection closed by client");
    else if (got != -EAGAIN)
        connection_close(c, false, "connection error");
    return false;
}

/* A packet larger than the shared buffer's share for tails: read into rx itself, and no further. */
static void read_large(struct connection *c)
{
    size_t missing = c->rx_size - c->rx.size;
    size_t step = missing < READ_SIZE ? missing : READ_SIZE;
    uint8_t *room = buffer_reserve(&c->rx, step);
    if (room == NULL) {
        connection_fail(c, REASON_QUOTA_EXCEEDED, "out of memory");
        return;
    }
    ssize_t got = c->stream->ops->recv(c->stream, room, step);
    if (!judge_recv(c, got))
        return;
    buffer_commit(&c->rx, (size_t)got);
    c->rx_begun_ns = worker_live_ns(c->worker);
    if (c->state == CONNECTION_OPEN) /* slow, but alive; CONNECT has its own deadline */
        c->received_ns = c->rx_begun_ns;
    if (c->rx.size == c->rx_size)
        connection_process(c);
}

static void read_shared(struct connection *c)
{
    uint8_t *buffer = c->worker->read_buffer;
    size_t tail = c->rx.size;
    if (tail > 0)
        memcpy(buffer, c->rx.data, tail);
    ssize_t got = c->stream->ops->recv(c->stream, buffer + tail, READ_SIZE);
    if (!judge_recv(c, got))
        return;
    struct bytes in = { buffer, tail + (size_t)got };
    size_t done = process(c, in);
    if (done > 0)
        c->rx.size = 0; /* the tail was the start of a packet that is done */
    keep_tail(c, bytes_after(in, done));
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
        if (c->rx.size + READ_SIZE > READ_BUFFER_SIZE || c->rx_size > TAIL_SIZE)
            read_large(c);
        else
            read_shared(c);
    } else if ((ready & NET_HANGUP) != 0) {
        connection_close(c, false, "connection error");
    }
}
