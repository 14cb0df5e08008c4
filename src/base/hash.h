/* base/hash.h: a keyed hash for tables whose keys come from the network.
 *
 * Multiply-and-fold over 8 bytes at a time; the seed is drawn once per process so that a peer
 * cannot choose colliding keys.  Not for security beyond that.  Any thread. */
#pragma once

#include "base/bytes.h"

uint64_t hash_bytes(uint64_t seed, struct bytes key);
