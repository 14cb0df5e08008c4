/* base/memory.h: where memory comes from, and how much of it there is.
 *
 * A thin layer over malloc that counts bytes (for memory_limit and $SYS/broker/heap) and lets a
 * test make the nth allocation fail.  Any thread.  Every function that can fail returns NULL and
 * changes nothing. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void *memory_alloc(size_t size);                  /* uninitialised */
void *memory_alloc_zero(size_t size);             /* all zero */
void *memory_resize(void *block, size_t size);    /* as realloc; the old block stays on failure */
void memory_free(void *block);                    /* NULL is fine */
void *memory_copy(const void *data, size_t size); /* a new block with these bytes */

/* Bytes allocated now and at most so far in this process.  Threads report in steps of 64 KiB. */
size_t memory_used(void);
size_t memory_used_max(void);

/* For failure sweeps: the nth allocation from now on (1 is the next one) of this thread fails;
 * 0 switches this off.  Returns how many allocations were seen since the last call. */
uint64_t memory_fail_at(uint64_t nth);
