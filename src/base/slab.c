/* base/slab.c: pages of equal objects, found by number.
 *
 *     slot    page number | place in page              pages[]  --> page --> page
 *
 *     page    head object | head object | ...    64 KiB or less, a power of two of objects
 *             8 B   ^ aligned to 8
 *
 * A head holds the slot's generation and, while the slot is free, the next free slot.  Heads sit
 * right before their objects, so that a successful slab_find brings in what the caller reads next.
 * Only the table of pages is ever moved.  A slot whose generations are used up is never used
 * again: after 16 million tenants that is one object lost, and no old pair is ever wrong. */
#include "base/slab.h"
#include "base/memory.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

/* Under AddressSanitizer a freed object is as forbidden as freed memory. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size)   ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

enum {
    ALIGNMENT = 8,
    OBJECT_SIZE_MAX = 64 * 1024,
    PAGE_SIZE_WANTED = 64 * 1024,
    GENERATION_END = 1 << SLAB_GENERATION_BITS,
};

#define IN_USE    UINT32_MAX /* in head.next */
#define NO_SLOT   (UINT32_MAX - 1)
#define SLOTS_MAX (UINT32_MAX - 1)

struct head {
    uint32_t generation; /* the tenant's, or the next one's; from 1 */
    uint32_t next;       /* IN_USE, or the next free slot, or NO_SLOT */
};

struct slab {
    char **pages;
    size_t page_count, page_capacity;
    size_t object_size, stride; /* stride: from object to object */
    unsigned page_shift;        /* a page has 1 << page_shift objects */
    uint32_t fresh;             /* this slot and all above it have never been used */
    uint32_t free;              /* first of the free slots below fresh, last freed first */
    size_t count;
};

struct slab *slab_create(size_t object_size)
{
    assert(object_size > 0 && object_size <= OBJECT_SIZE_MAX);
    struct slab *s = memory_alloc_zero(sizeof(*s));
    if (s == NULL)
        return NULL;
    s->object_size = object_size;
    s->stride = (object_size + sizeof(struct head) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    while ((s->stride << (s->page_shift + 1)) <= PAGE_SIZE_WANTED)
        s->page_shift++;
    s->free = NO_SLOT;
    return s;
}

void slab_destroy(struct slab *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->page_count; i++)
        memory_free(s->pages[i]);
    memory_free(s->pages);
    memory_free(s);
}

static inline void *object_at(const struct slab *s, uint32_t slot)
{
    size_t place = slot & ((1u << s->page_shift) - 1);
    return s->pages[slot >> s->page_shift] + sizeof(struct head) + place * s->stride;
}

static inline struct head *head_of(void *object)
{
    return (struct head *)object - 1;
}

static bool make_room_for_page(struct slab *s)
{
    if (s->page_count < s->page_capacity)
        return true;
    size_t capacity = s->page_capacity == 0 ? 4 : s->page_capacity * 2;
    char **pages = memory_resize(s->pages, capacity * sizeof(*pages));
    if (pages == NULL)
        return false;
    s->pages = pages;
    s->page_capacity = capacity;
    return true;
}

static bool add_page(struct slab *s)
{
    if (!make_room_for_page(s))
        return false;
    char *page = memory_alloc(s->stride << s->page_shift);
    if (page == NULL)
        return false;
    s->pages[s->page_count++] = page;
    return true;
}

/* A slot that nobody has had before; NO_SLOT: no memory. */
static uint32_t take_fresh(struct slab *s)
{
    if (s->fresh == SLOTS_MAX)
        return NO_SLOT;
    if (s->fresh >> s->page_shift == s->page_count && !add_page(s))
        return NO_SLOT;
    head_of(object_at(s, s->fresh))->generation = 1;
    return s->fresh++;
}

static uint32_t take_free(struct slab *s)
{
    uint32_t slot = s->free;
    s->free = head_of(object_at(s, slot))->next;
    return slot;
}

void *slab_alloc(struct slab *s, uint32_t *slot, uint32_t *generation)
{
    uint32_t taken = s->free != NO_SLOT ? take_free(s) : take_fresh(s);
    if (taken == NO_SLOT)
        return NULL;
    void *object = object_at(s, taken);
    ASAN_UNPOISON_MEMORY_REGION(object, s->object_size);
    memset(object, 0, s->object_size);
    head_of(object)->next = IN_USE;
    s->count++;
    *slot = taken;
    *generation = head_of(object)->generation;
    return object;
}

void slab_free(struct slab *s, uint32_t slot)
{
    assert(slot < s->fresh);
    void *object = object_at(s, slot);
    struct head *head = head_of(object);
    assert(head->next == IN_USE);
    ASAN_POISON_MEMORY_REGION(object, s->object_size);
    s->count--;
    head->next = NO_SLOT;
    if (++head->generation == GENERATION_END)
        return; /* used up */
    head->next = s->free;
    s->free = slot;
}

void *slab_find(const struct slab *s, uint32_t slot, uint32_t generation)
{
    if (slot >= s->fresh)
        return NULL;
    void *object = object_at(s, slot);
    const struct head *head = head_of(object);
    return head->generation == generation && head->next == IN_USE ? object : NULL;
}

void *slab_next(const struct slab *s, uint32_t *cursor)
{
    while (*cursor < s->fresh) {
        void *object = object_at(s, (*cursor)++);
        if (head_of(object)->next == IN_USE)
            return object;
    }
    return NULL;
}

size_t slab_count(const struct slab *s)
{
    return s->count;
}
