#include "base/hash.h"
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void expect_all_different(uint64_t *hashes, size_t count)
{
    qsort(hashes, count, sizeof(*hashes), compare);
    for (size_t i = 1; i < count; i++)
        assert_true(hashes[i - 1] != hashes[i]);
}

/* Zero bytes of every size: nothing but the size tells them apart. */
static void size_counts(void **state)
{
    static const uint8_t zeros[300];
    uint64_t hashes[300];
    for (size_t size = 0; size < 300; size++)
        hashes[size] = hash_bytes(7, bytes_of(zeros, size));
    expect_all_different(hashes, 300);
    assert_int_equal(hash_bytes(7, bytes_of(NULL, 0)), hash_bytes(7, BYTES("")));
}

/* Every bit of keys of every size up to 40 changes about half of the hash. */
static void every_bit_counts(void **state)
{
    for (size_t size = 1; size <= 40; size++) {
        uint8_t key[40];
        for (size_t i = 0; i < size; i++)
            key[i] = (uint8_t)(i * 37 + size);
        uint64_t hash = hash_bytes(1, bytes_of(key, size));
        for (size_t bit = 0; bit < size * 8; bit++) {
            key[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int changed = __builtin_popcountll(hash ^ hash_bytes(1, bytes_of(key, size)));
            assert_in_range(changed, 10, 54);
            key[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static void seed_counts(void **state)
{
    uint64_t hashes[1000];
    for (uint64_t seed = 0; seed < 1000; seed++)
        hashes[seed] = hash_bytes(seed, BYTES("client-1"));
    expect_all_different(hashes, 1000);
}

/* Client ids that count up fill the buckets of a small table evenly. */
static void low_bits_are_even(void **state)
{
    enum { BUCKETS = 256, KEYS = BUCKETS * 100 };
    unsigned buckets[BUCKETS] = { 0 };
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        int size = snprintf(key, sizeof(key), "sensor/%d", i);
        buckets[hash_bytes(99, bytes_of(key, (size_t)size)) % BUCKETS]++;
    }
    for (size_t i = 0; i < BUCKETS; i++)
        assert_in_range(buckets[i], 50, 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_counts),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(seed_counts),
        cmocka_unit_test(low_bits_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
