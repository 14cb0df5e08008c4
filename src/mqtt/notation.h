/* mqtt/notation.h: packets as a reader would write them down, for tests.
 *
 *     10 { s'MQTT' 05 02 003c { 21 0014 } s'me' }
 *
 *     10 003c      bytes in hexadecimal
 *     'text'       its bytes
 *     s'text'      its bytes after two bytes of length
 *     { … }        what stands between, after its length as a Variable Byte Integer */
#pragma once

#include "mqtt/wire.h"
#include <ctype.h>
#include <stdlib.h>

enum { NOTATION_SIZE_MAX = 4096, NOTATION_DEPTH_MAX = 4 };

struct notation {
    uint8_t data[NOTATION_SIZE_MAX];
    size_t size;
};

static inline uint8_t notation_nibble(char digit)
{
    assert(isxdigit((unsigned char)digit));
    return (uint8_t)(isdigit((unsigned char)digit) ? digit - '0' : tolower(digit) - 'a' + 10);
}

/* Moves what was written since `start` behind its own length. */
static inline void notation_close(struct notation *n, size_t start)
{
    size_t inner = n->size - start, length = inner < 128 ? 1 : 2;
    assert(start + length + inner <= sizeof n->data);
    memmove(n->data + start + length, n->data + start, inner);
    (void)write_varint(n->data + start, inner);
    n->size += length;
}

static inline const char *notation_text(struct notation *n, const char *at, bool has_length)
{
    size_t size = strcspn(at, "'");
    assert(at[size] == '\'');
    if (has_length)
        n->size = (size_t)(write_u16(n->data + n->size, (uint16_t)size) - n->data);
    n->size = (size_t)(write_bytes(n->data + n->size, bytes_of(at, size)) - n->data);
    return at + size + 1;
}

static inline struct bytes notation_read(struct notation *n, const char *at)
{
    size_t open[NOTATION_DEPTH_MAX], depth = 0;
    n->size = 0;
    while (*at != '\0') {
        assert(n->size + strlen(at) + 8 < sizeof n->data);
        if (*at == ' ') {
            at++;
        } else if (*at == '\'') {
            at = notation_text(n, at + 1, false);
        } else if (at[0] == 's' && at[1] == '\'') {
            at = notation_text(n, at + 2, true);
        } else if (*at == '{') {
            assert(depth < NOTATION_DEPTH_MAX);
            open[depth++] = n->size;
            at++;
        } else if (*at == '}') {
            assert(depth > 0);
            notation_close(n, open[--depth]);
            at++;
        } else {
            n->data[n->size++] = (uint8_t)(notation_nibble(at[0]) << 4 | notation_nibble(at[1]));
            at += 2;
        }
    }
    assert(depth == 0);
    return bytes_of(n->data, n->size);
}
