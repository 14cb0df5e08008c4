/* mqtt/wire.h: integers, strings and their lengths as they stand on the wire (MQTT 5.0, section
 * 1.5).  Private to this folder.
 *
 * A reader is what is left of a packet.  Each read_ takes one field from its front and says whether
 * it was all there; what it points out stays in the caller's bytes.  Each write_ returns the byte
 * after the last one it wrote. */
#pragma once

#include "base/bytes.h"
#include "mqtt/utf8.h"
#include <assert.h>
#include <endian.h>

enum { VARINT_MAX = 268435455, STRING_SIZE_MAX = 65535 };

struct reader {
    const uint8_t *next, *end;
};

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->next);
}

static inline bool read_u8(struct reader *r, uint8_t *out)
{
    if (r->next == r->end)
        return false;
    *out = *r->next++;
    return true;
}

static inline bool read_u16(struct reader *r, uint16_t *out)
{
    if (reader_left(r) < 2)
        return false;
    *out = (uint16_t)(r->next[0] << 8 | r->next[1]);
    r->next += 2;
    return true;
}

static inline bool read_u32(struct reader *r, uint32_t *out)
{
    if (reader_left(r) < 4)
        return false;
    uint32_t big_endian;
    memcpy(&big_endian, r->next, 4);
    *out = be32toh(big_endian);
    r->next += 4;
    return true;
}

static inline bool read_bytes(struct reader *r, size_t size, struct bytes *out)
{
    if (reader_left(r) < size)
        return false;
    *out = bytes_of(r->next, size);
    r->next += size;
    return true;
}

/* Two bytes of length, then so many of anything. */
static inline bool read_binary(struct reader *r, struct bytes *out)
{
    uint16_t size;
    return read_u16(r, &size) && read_bytes(r, size, out);
}

/* The same, and it must be UTF-8 [MQTT-1.5.4-1]. */
static inline bool read_string(struct reader *r, struct bytes *out)
{
    return read_binary(r, out) && utf8_is_valid(*out);
}

/* A Variable Byte Integer at the front of `left` bytes: how many bytes it takes (1 to 4), 0 if more
 * are needed to tell, -1 if it is longer than four or than necessary [MQTT-1.5.5-1]. */
static inline int varint_decode(const uint8_t *at, size_t left, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        if ((size_t)i >= left)
            return 0;
        value |= (uint32_t)(at[i] & 0x7f) << (7 * i);
        if (at[i] < 0x80) {
            *out = value;
            return at[i] == 0 && i > 0 ? -1 : i + 1;
        }
    }
    return -1;
}

static inline bool read_varint(struct reader *r, uint32_t *out)
{
    int size = varint_decode(r->next, reader_left(r), out);
    if (size <= 0)
        return false;
    r->next += size;
    return true;
}

static inline uint8_t *write_u8(uint8_t *out, uint8_t value)
{
    *out = value;
    return out + 1;
}

static inline uint8_t *write_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return out + 2;
}

static inline uint8_t *write_u32(uint8_t *out, uint32_t value)
{
    uint32_t big_endian = htobe32(value);
    memcpy(out, &big_endian, 4);
    return out + 4;
}

static inline uint8_t *write_bytes(uint8_t *out, struct bytes bytes)
{
    if (bytes.size > 0)
        memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

static inline uint8_t *write_binary(uint8_t *out, struct bytes bytes)
{
    assert(bytes.size <= STRING_SIZE_MAX);
    return write_bytes(write_u16(out, (uint16_t)bytes.size), bytes);
}

/* Five means that it cannot be said. */
static inline size_t varint_size(size_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : value <= VARINT_MAX ? 4 : 5;
}

static inline uint8_t *write_varint(uint8_t *out, size_t value)
{
    assert(value <= VARINT_MAX);
    for (; value >= 0x80; value >>= 7)
        *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
}
