/* base/list.h: an intrusive doubly linked ring.
 *
 * An element that is in no list points at itself, so removing twice is harmless and asking whether
 * it is linked costs one compare. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define container_of(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_push_back(struct list *l, struct list *element)
{
    assert(element->next == element); /* in no other list */
    element->prev = l->prev;
    element->next = l;
    l->prev->next = element;
    l->prev = element;
}

static inline void list_push_front(struct list *l, struct list *element)
{
    list_push_back(l->next, element);
}

static inline void list_remove(struct list *element)
{
    element->prev->next = element->next;
    element->next->prev = element->prev;
    list_init(element);
}

/* The first element, unlinked; NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *l)
{
    struct list *first = l->next;
    if (first == l)
        return NULL;
    list_remove(first);
    return first;
}
