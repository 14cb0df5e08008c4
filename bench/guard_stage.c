/* bench/guard_stage.c: clients that know just enough of MQTT to answer. */
#include "guard_stage.h"
#include "broker/server.h"
#include "broker/worker.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    UP_SIZE = 512 * 1024, /* all that one client says in a step */
    DOWN_SIZE = 256 * 1024,
    PACKET_MAX = 128 * 1024,
    IN_SIZE = DOWN_SIZE + PACKET_MAX,
    KEEP_ALIVE_S = 60,
    SPARE_LINKS = 4, /* one that is closed is still held until the server has looked */
};

#define STEP_NS INT64_C(20000)

/* Limits as for a benchmark: that they are reached is another matter. */
#define CONFIG                                                                                     \
    "listener 1883\nallow_anonymous true\nsys_interval 0\n"                                        \
    "max_inflight_messages 0\nmax_queued_messages 0\n"

static void *must_alloc(size_t count, size_t size)
{
    void *block = calloc(count, size);
    assert(block != NULL);
    return block;
}

struct stage *stage_create(unsigned workers, unsigned peers)
{
    struct stage *s = must_alloc(1, sizeof *s);
    s->peers = must_alloc(peers, sizeof *s->peers);
    s->peer_count = peers;
    for (unsigned i = 0; i < peers; i++)
        s->peers[i] = (struct peer){ .stage = s, .number = i, .in = must_alloc(1, IN_SIZE) };
    s->world =
        fuzz_world_create_large(1, (struct fuzz_room){ peers + SPARE_LINKS, UP_SIZE, DOWN_SIZE });
    s->world->log.types = LOG_TYPE_ERROR | LOG_TYPE_WARNING;
    fuzz_world_configure(s->world, CONFIG);
    int result = fuzz_world_start(s->world, workers);
    assert(result == 0);
    return s;
}

/* ------------------------------------------------------------------------------- speaking ----- */

static void say_bytes(struct peer *p, struct bytes bytes)
{
    size_t taken = fuzz_link_write(p->link, bytes);
    assert(taken == bytes.size);
}

void peer_say(struct peer *p, const struct packet *packet)
{
    static uint8_t out[PACKET_MAX];
    size_t size = packet_size(packet, p->version);
    assert(size <= sizeof out);
    packet_encode(packet, p->version, out);
    say_bytes(p, bytes_of(out, size));
}

static void say_ack(struct peer *p, enum packet_type type, uint16_t packet_id)
{
    uint8_t flags = type == PACKET_PUBREL ? 2 : 0;
    uint8_t bytes[] = { (uint8_t)(type << 4 | flags), 2, (uint8_t)(packet_id >> 8),
                        (uint8_t)packet_id };
    say_bytes(p, bytes_of(bytes, sizeof bytes));
}

static uint16_t next_packet_id(struct peer *p)
{
    p->packet_id = p->packet_id == UINT16_MAX ? 1 : p->packet_id + 1;
    return p->packet_id;
}

void peer_connect(struct peer *p, unsigned worker, enum version version, bool clean)
{
    char id[24];
    struct packet packet = { .type = PACKET_CONNECT };
    int size = snprintf(id, sizeof id, "client-%05u", p->number);
    packet.connect.version = p->version = version;
    packet.connect.clean_start = clean;
    packet.connect.keep_alive_s = KEEP_ALIVE_S;
    packet.connect.client_id = bytes_of(id, (size_t)size);
    assert(p->link == NULL);
    p->link = fuzz_link_open(p->stage->world, worker);
    assert(p->link != NULL);
    p->in_size = 0;
    peer_say(p, &packet);
}

void peer_disconnect(struct peer *p)
{
    peer_say(p, &(struct packet){ .type = PACKET_DISCONNECT });
    stage_run(p->stage);
    assert(fuzz_link_is_over(p->link));
    fuzz_link_forget(p->link);
    p->link = NULL;
}

void peer_subscribe(struct peer *p, struct bytes filter, uint8_t qos)
{
    uint8_t encoded[256];
    struct packet packet = { .type = PACKET_SUBSCRIBE };
    assert(filter.size + 3 <= sizeof encoded);
    encoded[0] = (uint8_t)(filter.size >> 8);
    encoded[1] = (uint8_t)filter.size;
    memcpy(encoded + 2, filter.data, filter.size);
    encoded[2 + filter.size] = qos;
    packet.subscribe.packet_id = next_packet_id(p);
    packet.subscribe.count = 1;
    packet.subscribe.filters = bytes_of(encoded, filter.size + 3);
    peer_say(p, &packet);
}

void peer_publish(struct peer *p, struct publish message)
{
    struct packet packet = { .type = PACKET_PUBLISH, .publish = message };
    packet.publish.packet_id = message.qos > 0 ? next_packet_id(p) : 0;
    peer_say(p, &packet);
}

/* ------------------------------------------------------------------------------ listening ----- */

static void on_publish(struct peer *p, const struct publish *message)
{
    p->stage->heard++;
    if (message->qos > 0)
        say_ack(p, message->qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, message->packet_id);
}

static void on_packet(struct peer *p, const struct packet *packet)
{
    switch (packet->type) {
    case PACKET_CONNACK:
        assert(packet->connack.reason == REASON_SUCCESS);
        break;
    case PACKET_SUBACK:
        assert(packet->suback.reasons.data[0] <= 2);
        break;
    case PACKET_PUBLISH:
        on_publish(p, &packet->publish);
        break;
    case PACKET_PUBREC:
        say_ack(p, PACKET_PUBREL, packet->ack.packet_id);
        break;
    case PACKET_PUBREL:
        say_ack(p, PACKET_PUBCOMP, packet->ack.packet_id);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBCOMP:
        p->stage->completed++;
        break;
    default:
        assert(false); /* nobody asked for it */
    }
}

/* How many bytes came. */
static size_t listen(struct peer *p)
{
    size_t got = fuzz_link_read(p->link, p->in + p->in_size, IN_SIZE - p->in_size);
    struct bytes rest = bytes_of(p->in, p->in_size + got);
    struct frame frame;
    while (frame_decode(rest, &frame) == DECODE_DONE) {
        struct packet packet;
        enum reason why;
        enum decode_result result =
            packet_decode(bytes_of(rest.data, frame.size), p->version, &packet, &why);
        assert(result == DECODE_DONE);
        on_packet(p, &packet);
        rest = bytes_after(rest, frame.size);
    }
    memmove(p->in, rest.data, rest.size);
    p->in_size = rest.size;
    return got;
}

void stage_run(struct stage *s)
{
    size_t heard;
    do {
        s->world->now_ns += STEP_NS;
        fuzz_world_run(s->world);
        heard = 0;
        for (struct peer *p = s->peers; p < s->peers + s->peer_count; p++)
            heard += p->link == NULL ? 0 : listen(p);
    } while (heard > 0);
}
