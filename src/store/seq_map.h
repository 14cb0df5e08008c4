/* store/seq_map.h: where the entries of one queue stand: seq -> position.
 *
 * Sorted, and sparse: what it takes follows from how many entries there are and not from how far
 * their numbers lie apart.  9.5 bytes an entry where the numbers are dense, and no step that copies
 * all of it.  Positions are not zero.  Private to src/store.  One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seq_chunk;

/* All zero is an empty one. */
struct seq_map {
    struct seq_chunk *root, *first, *last;
    uint64_t count;
};

/* Memory for what is to come, so that setting cannot fail; maps of one store share it. */
struct seq_pool {
    struct seq_chunk *free;
    size_t count;
};

/* So many sets will find memory.  0 or -ENOMEM. */
int seq_pool_reserve(struct seq_pool *p, size_t sets);
void seq_pool_trim(struct seq_pool *p, size_t chunks_max); /* 0: all of it goes */

/* The position that stood there before, or 0.  There must be memory in the pool (asserted). */
uint64_t seq_map_set(struct seq_map *m, struct seq_pool *p, uint64_t seq, uint64_t position);
uint64_t seq_map_remove(struct seq_map *m, struct seq_pool *p, uint64_t seq);

uint64_t seq_map_find(const struct seq_map *m, uint64_t seq); /* 0: none */
/* The first with at least this seq; false: there is none. */
bool seq_map_next(const struct seq_map *m, uint64_t from, uint64_t *seq, uint64_t *position);
uint64_t seq_map_first(const struct seq_map *m); /* not of an empty one */
uint64_t seq_map_last(const struct seq_map *m);

void seq_map_check(const struct seq_map *m); /* invariants; asserts */
