/* base/arena.h: memory for one turn of the loop.
 *
 * Allocation moves a pointer; reset forgets everything at once and keeps the largest chunk for the
 * next turn.  One thread. */
#pragma once

#include <stddef.h>

struct arena {
    struct arena_chunk *chunks; /* newest first */
    char *next, *end;
};

void arena_init(struct arena *a);
void arena_fini(struct arena *a);

/* 16-byte aligned, uninitialised; NULL: no memory. */
void *arena_alloc(struct arena *a, size_t size);
void arena_reset(struct arena *a);
