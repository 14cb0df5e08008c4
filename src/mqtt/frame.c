/* mqtt/frame.c: the fixed header, which says where a packet ends before anything else is known.
 *
 *     +------+-------+------------------------+--------------------------------+
 *     | type | flags | Remaining Length, 1..4 | so many bytes                  |
 *     +------+-------+------------------------+--------------------------------+
 *       4 bits 4 bits  least significant first
 *
 * Deciding needs five bytes at most, so reading a stream again from the packet's start after each
 * arrival costs nothing that grows. */
#include "mqtt/packet.h"
#include "mqtt/wire.h"

const char *packet_type_name(int type)
{
    static const char *const names[] = {
        "RESERVED", "CONNECT",  "CONNACK",    "PUBLISH", "PUBACK",      "PUBREC",
        "PUBREL",   "PUBCOMP",  "SUBSCRIBE",  "SUBACK",  "UNSUBSCRIBE", "UNSUBACK",
        "PINGREQ",  "PINGRESP", "DISCONNECT", "AUTH",
    };
    return type > 0 && type <= PACKET_AUTH ? names[type] : names[0];
}

enum decode_result frame_decode(struct bytes in, struct frame *out)
{
    out->size = 0;
    if (in.size == 0)
        return DECODE_MORE;
    uint8_t type = in.data[0] >> 4;
    if (type == 0)
        return DECODE_BAD; /* reserved, and forbidden */

    uint32_t remaining;
    int length_size = varint_decode(in.data + 1, in.size - 1, &remaining);
    if (length_size < 0)
        return DECODE_BAD; /* [MQTT-1.5.5-1] */
    if (length_size == 0)
        return DECODE_MORE;
    out->type = type;
    out->flags = in.data[0] & 0x0f;
    out->header_size = (uint8_t)(1 + length_size);
    out->size = out->header_size + remaining;
    return in.size >= out->size ? DECODE_DONE : DECODE_MORE;
}
