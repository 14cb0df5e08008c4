/* mqtt/words.h: eight or sixteen bytes at a time, in one register.  Private to this folder.
 *
 * The first byte of the text is the lowest of the word on every machine.  Sixteen bytes are a
 * vector as gcc and clang know it, which every machine of 64 bits has an instruction set for. */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WORD_OF(byte) (UINT64_C(0x0101010101010101) * (byte)) /* this byte, eight times */

static inline uint64_t word_load(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, 8);
    return le64toh(word);
}

/* Are all eight bytes in U+0001..U+007F?  A zero byte borrows and shows a high bit. */
static inline bool word_is_ascii(uint64_t word)
{
    return (((word - WORD_OF(1)) | word) & WORD_OF(0x80)) == 0;
}

/* The high bit of each byte that equals `byte`, exactly: no carry crosses a byte here. */
static inline uint64_t word_find(uint64_t word, uint8_t byte)
{
    uint64_t difference = word ^ WORD_OF(byte);
    uint64_t low = (difference & WORD_OF(0x7f)) + WORD_OF(0x7f);
    return ~(low | difference) & WORD_OF(0x80);
}

/* How many high bits word_find has found: the product sums all bytes in the top one. */
static inline unsigned word_count(uint64_t found)
{
    return (unsigned)((found >> 7) * WORD_OF(1) >> 56);
}

typedef int8_t sixteen __attribute__((vector_size(16)));

static inline sixteen sixteen_load(const uint8_t *at)
{
    sixteen bytes;
    memcpy(&bytes, at, 16);
    return bytes;
}

/* Does any byte of a comparison's result say yes? */
static inline bool sixteen_any(sixteen mask)
{
    uint64_t halves[2];
    memcpy(halves, &mask, 16);
    return (halves[0] | halves[1]) != 0;
}
