/* base/slab.h: fixed-size objects addressed by slot and generation.
 *
 * Objects live in pages that never move, so pointers stay valid until `slab_free`.  A slot's
 * generation rises on every free: an old (slot, generation) pair never finds the new tenant.
 * One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SLAB_GENERATION_BITS = 24 };

struct slab;

/* object_size up to 64 KiB; objects are aligned to 8.  NULL: no memory. */
struct slab *slab_create(size_t object_size);
void slab_destroy(struct slab *s); /* NULL is fine; objects still in use vanish */

/* A zeroed object; its slot and generation go to *slot and *generation.  NULL: no memory. */
void *slab_alloc(struct slab *s, uint32_t *slot, uint32_t *generation);
void slab_free(struct slab *s, uint32_t slot);

/* The object in use with this slot and generation; NULL if there is none. */
void *slab_find(const struct slab *s, uint32_t slot, uint32_t generation);

/* Walks the objects in use: start with *cursor = 0; NULL at the end.  Objects may be freed and
 * allocated between calls. */
void *slab_next(const struct slab *s, uint32_t *cursor);
size_t slab_count(const struct slab *s);
