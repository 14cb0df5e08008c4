/* io/batch.h: bytes that are encoded once and sent to many.
 *
 *     block   [ PUBLISH a | PUBLISH b | PUBLISH c |            ]
 *               ^-------- queue of reader 1 -----^
 *               ^-------- queue of reader 2 -----^        one part each, that grows
 *                           ^-- of reader 3 -----^
 *
 * Queues refer to the bytes (sendq_refer) instead of copying them, which for a message to hundreds
 * saves hundreds of copies, and the memory they would be in.  A block is filled until it is full
 * and is gone with its last reader.  One per worker, one thread. */
#pragma once

#include "base/block.h"
#include <stddef.h>
#include <stdint.h>

struct batch_block;

struct batch {
    struct batch_block *current; /* being filled; NULL: none yet */
    struct batch_block *full;    /* of this turn: what was given out is good until its end */
};

void batch_init(struct batch *b);
void batch_fini(struct batch *b);

/* Room for `size` bytes that stay where they are until the end of the turn, and longer for whoever
 * refers to *owner.  NULL: no memory. */
uint8_t *batch_reserve(struct batch *b, size_t size, struct block **owner);

/* The end of a turn: what nobody refers to any more is used again. */
void batch_turn(struct batch *b);
