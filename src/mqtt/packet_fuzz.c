/* mqtt/packet_fuzz.c: a packet that decodes can be encoded, and then decodes to the same.
 *
 * Input: one byte for the version, then a stream of packets. */
#include "mqtt/packet.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is raw holds all properties already: the fields must not be said a second time. */
static void keep_raw(struct properties *p)
{
    p->present = 0;
}

static void prepare(struct packet *p)
{
    switch (p->type) {
    case PACKET_CONNECT:
        keep_raw(&p->connect.properties);
        keep_raw(&p->connect.will.properties);
        break;
    case PACKET_CONNACK:
        keep_raw(&p->connack.properties);
        break;
    case PACKET_PUBLISH:
        keep_raw(&p->publish.properties);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        keep_raw(&p->ack.properties);
        break;
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        keep_raw(&p->subscribe.properties);
        break;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        keep_raw(&p->suback.properties);
        break;
    case PACKET_DISCONNECT:
    case PACKET_AUTH:
        keep_raw(&p->disconnect.properties);
        break;
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        break;
    }
}

static struct bytes encode(struct packet *p, enum version version)
{
    prepare(p);
    size_t size = packet_size(p, version);
    uint8_t *out = malloc(size);
    assert(out != NULL);
    packet_encode(p, version, out);
    return bytes_of(out, size);
}

/* There is one way to say these in a version of a standard; others may be said shorter, and 3.1 is
 * lenient. */
static bool has_one_form(const struct packet *p, enum version version)
{
    return p->type == PACKET_PUBLISH ||
           (version != VERSION_3_1 &&
            (p->type == PACKET_SUBSCRIBE || p->type == PACKET_UNSUBSCRIBE ||
             p->type == PACKET_SUBACK || p->type == PACKET_UNSUBACK || p->type == PACKET_CONNACK));
}

static void check_filters(const struct packet *p)
{
    struct bytes rest = p->subscribe.filters, filter;
    uint8_t options;
    uint32_t count = 0;
    if (p->type == PACKET_SUBSCRIBE) {
        while (subscribe_next(&rest, &filter, &options))
            count++;
    } else {
        while (unsubscribe_next(&rest, &filter))
            count++;
    }
    assert(rest.size == 0 && count > 0 && count == p->subscribe.count);
}

static void check_packet(struct bytes whole, enum version version)
{
    struct packet packet, again;
    enum reason why = REASON_SUCCESS;
    if (packet_decode(whole, version, &packet, &why) != DECODE_DONE) {
        assert(reason_is_error(why));
        return;
    }
    assert(why == REASON_SUCCESS);
    if (packet.type == PACKET_SUBSCRIBE || packet.type == PACKET_UNSUBSCRIBE)
        check_filters(&packet);

    struct bytes first = encode(&packet, version);
    if (has_one_form(&packet, version))
        assert(bytes_equal(first, whole));
    assert(first.size <= whole.size);
    assert(packet_decode(first, version, &again, &why) == DECODE_DONE);
    struct bytes second = encode(&again, version);
    assert(bytes_equal(first, second));
    free((void *)first.data);
    free((void *)second.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum version version = VERSION_3_1 + data[0] % 3;
    struct bytes stream = { data + 1, size - 1 };
    struct frame frame;
    while (frame_decode(stream, &frame) == DECODE_DONE) {
        assert(frame.size >= 2 && frame.size <= stream.size);
        check_packet(bytes_of(stream.data, frame.size), version);
        stream = bytes_after(stream, frame.size);
    }
    return 0;
}
