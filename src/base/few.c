/* base/few.c: see few.h. */
#include "base/few.h"
#include "base/map.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>

#define IS_MAP ((uintptr_t)1)

/* NULL: there is one object, or none. */
static struct map *map_of(const struct few *f)
{
    uintptr_t root = (uintptr_t)f->root;
    return (root & IS_MAP) != 0 ? (struct map *)(root & ~IS_MAP) : NULL;
}

void few_fini(struct few *f)
{
    struct map *m = map_of(f);
    map_fini(m);
    memory_free(m);
    f->root = NULL;
}

size_t few_count(const struct few *f)
{
    const struct map *m = map_of(f);
    return m != NULL ? m->count : f->root != NULL;
}

void *few_find(const struct few *f, const struct few_kind *kind, struct bytes key)
{
    const struct map *m = map_of(f);
    if (m != NULL)
        return map_find(m, key);
    return f->root != NULL && bytes_equal(kind->key_of(f->root), key) ? f->root : NULL;
}

/* The one object there is, in a map. */
static int make_map(struct few *f, const struct few_kind *kind)
{
    struct map *m = memory_alloc(sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    map_init(m, kind->seed, kind->key_of);
    if (map_add(m, f->root) != 0) {
        memory_free(m);
        return -ENOMEM;
    }
    f->root = (void *)((uintptr_t)m | IS_MAP);
    return 0;
}

int few_add(struct few *f, const struct few_kind *kind, void *object)
{
    assert(object != NULL && ((uintptr_t)object & IS_MAP) == 0);
    if (f->root == NULL) {
        f->root = object;
        return 0;
    }
    if (map_of(f) == NULL && make_map(f, kind) != 0)
        return -ENOMEM;
    return map_add(map_of(f), object);
}

void few_remove(struct few *f, const void *object)
{
    struct map *m = map_of(f);
    if (m == NULL) {
        assert(f->root == object);
        f->root = NULL;
        return;
    }
    map_remove(m, object);
    if (m->count == 0)
        few_fini(f);
}

void *few_next(const struct few *f, size_t *cursor)
{
    const struct map *m = map_of(f);
    if (m != NULL)
        return map_next(m, cursor);
    return (*cursor)++ == 0 ? f->root : NULL;
}
