/* mqtt/utf8.c: nearly all text on the wire is ASCII, so sixteen or eight bytes are accepted at once
 * for as long as they are; whatever stops that is examined sequence by sequence.
 *
 *     first byte   second    third, fourth
 *     C2..DF       80..BF                      C0, C1: overlong
 *     E0           A0..BF    80..BF            below A0: overlong
 *     ED           80..9F    80..BF            from A0 on: surrogates
 *     E1..EF       80..BF    80..BF
 *     F0           90..BF    80..BF 80..BF     below 90: overlong
 *     F1..F3       80..BF    80..BF 80..BF
 *     F4           80..8F    80..BF 80..BF     from 90 on: above U+10FFFF
 */
#include "mqtt/utf8.h"
#include "mqtt/words.h"

static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8 && word_is_ascii(word_load(at)))
        at += 8;
    while (at < end && (uint8_t)(*at - 1) < 0x7f)
        at++;
    return at;
}

static inline bool is_between(uint8_t byte, uint8_t least, uint8_t most)
{
    return byte >= least && byte <= most;
}

static inline bool is_trailing(uint8_t byte)
{
    return is_between(byte, 0x80, 0xbf);
}

/* Bytes of the well-formed sequence of two or more at the front; 0 if there is none. */
static size_t sequence_size(const uint8_t *at, size_t left)
{
    uint8_t first = at[0];
    if (is_between(first, 0xc2, 0xdf))
        return left >= 2 && is_trailing(at[1]) ? 2 : 0;
    if (is_between(first, 0xe0, 0xef)) {
        uint8_t least = first == 0xe0 ? 0xa0 : 0x80;
        uint8_t most = first == 0xed ? 0x9f : 0xbf;
        return left >= 3 && is_between(at[1], least, most) && is_trailing(at[2]) ? 3 : 0;
    }
    if (is_between(first, 0xf0, 0xf4)) {
        uint8_t least = first == 0xf0 ? 0x90 : 0x80;
        uint8_t most = first == 0xf4 ? 0x8f : 0xbf;
        return left >= 4 && is_between(at[1], least, most) && is_trailing(at[2]) &&
                       is_trailing(at[3])
                   ? 4
                   : 0;
    }
    return 0; /* U+0000 [MQTT-1.5.4-2], a stray trailing byte, or a byte UTF-8 never uses */
}

/* Is all of it U+0001..U+007F?  A signed byte above zero is.  The last step overlaps the one
 * before, so that no bytes are left over. */
static bool is_ascii(struct bytes text)
{
    const uint8_t *at = text.data, *last = at + text.size - 16;
    if (text.size < 16) {
        if (text.size < 8)
            return false; /* or who knows */
        return word_is_ascii(word_load(at)) && word_is_ascii(word_load(at + text.size - 8));
    }
    sixteen bad = sixteen_load(last) <= 0;
    for (; at < last; at += 16)
        bad |= sixteen_load(at) <= 0;
    return !sixteen_any(bad);
}

bool utf8_is_valid(struct bytes text)
{
    if (text.size == 0 || is_ascii(text))
        return true;
    const uint8_t *at = text.data, *end = text.data + text.size;
    while ((at = skip_ascii(at, end)) < end) {
        size_t size = sequence_size(at, (size_t)(end - at));
        if (size == 0)
            return false;
        at += size;
    }
    return true;
}

bool utf8_is_printable(struct bytes text)
{
    if (!utf8_is_valid(text))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte < 0x20 || byte == 0x7f)
            return false;
        if (byte == 0xc2 && text.data[i + 1] < 0xa0) /* U+0080..U+009F; being valid, i + 1 exists */
            return false;
    }
    return true;
}
