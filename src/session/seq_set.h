/* session/seq_set.h: a set of places in a stored queue, of which the lowest is wanted.
 *
 * Holds what is on its way to the disk.  Places come nearly in order and go nearly in order. Empty,
 * it holds no memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seq_set { /* all zero: empty */
    uint64_t *rows;
    size_t head, tail, capacity;
    size_t count;
};

void seq_set_fini(struct seq_set *s);
int seq_set_reserve(struct seq_set *s, size_t count); /* so many adds cannot fail; 0 or -ENOMEM */
int seq_set_add(struct seq_set *s, uint64_t seq);     /* below 2^63; 0 or -ENOMEM */
bool seq_set_remove(struct seq_set *s, uint64_t seq); /* false: it was not there */
uint64_t seq_set_first(const struct seq_set *s);      /* UINT64_MAX: empty */
void seq_set_check(const struct seq_set *s);
