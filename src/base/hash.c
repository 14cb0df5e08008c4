/* base/hash.c: multiply and fold.
 *
 *     state = fold((state ^ word) * secret)        fold: upper half xor lower half of 128 bits
 *
 * for every 8 bytes, the last ones overlapping what went before when the size is no multiple of
 * eight, and once more with the size.  The multiplier comes from the seed, not from a constant: a
 * peer who knew a word that turns the product into zero would erase everything hashed before it,
 * and could make as many colliding keys as it likes. */
#include "base/hash.h"

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static uint64_t load_8(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

static uint32_t load_4(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

/* Fewer than eight bytes as one word; together with the size no two inputs share it. */
static uint64_t load_short(const uint8_t *p, size_t size)
{
    if (size >= 4)
        return (uint64_t)load_4(p) << 32 | load_4(p + size - 4);
    if (size > 0)
        return (uint64_t)p[0] << 16 | (uint64_t)p[size / 2] << 8 | p[size - 1];
    return 0;
}

uint64_t hash_bytes(uint64_t seed, struct bytes key)
{
    /* Digits of the golden ratio and of the square root of two: any odd, patternless numbers. */
    uint64_t secret = fold(seed ^ 0x9e3779b97f4a7c15u, 0x6a09e667f3bcc909u) | 1;
    uint64_t state = seed;

    if (key.size < 8)
        return fold(fold(state ^ load_short(key.data, key.size), secret) ^ key.size, secret);

    const uint8_t *last = key.data + key.size - 8;
    for (const uint8_t *p = key.data; p < last; p += 8)
        state = fold(state ^ load_8(p), secret);
    state = fold(state ^ load_8(last), secret);
    return fold(state ^ key.size, secret);
}
