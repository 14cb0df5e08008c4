/* store/test_random.h: seeded randomness for the tests of this folder. */
#pragma once

#include <stdint.h>

static inline uint32_t next_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}
