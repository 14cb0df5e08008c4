/* mqtt/utf8_naive.h: the obviously right way to check UTF-8, for tests to compare with.
 *
 * It decodes a code point, writes it down again the one right way, and wants the same bytes. */
#pragma once

#include "base/bytes.h"

static inline size_t utf8_naive_encode(uint32_t point, uint8_t *out)
{
    static const uint8_t marks[] = { 0, 0xc0, 0xe0, 0xf0 };
    size_t trailing = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    for (size_t i = trailing; i > 0; i--, point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
    out[0] = (uint8_t)(marks[trailing] | point);
    return trailing + 1;
}

static inline bool utf8_naive_is_valid(struct bytes text)
{
    for (size_t i = 0; i < text.size;) {
        uint8_t first = text.data[i], again[4];
        size_t trailing = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        if (trailing >= text.size - i)
            return false;
        uint32_t point = trailing == 0 ? first : first & (0x3fu >> trailing);
        for (size_t k = 1; k <= trailing; k++)
            point = point << 6 | (text.data[i + k] & 0x3f);
        if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
            return false;
        size_t size = utf8_naive_encode(point, again);
        if (size != trailing + 1 || memcmp(again, text.data + i, size) != 0)
            return false;
        i += size;
    }
    return true;
}
