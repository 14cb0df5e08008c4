/* broker/full_sessions.c: a small array under a lock: full sessions are few, or something is wrong.
 */
#include "broker/full_sessions.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct full_sessions {
    atomic_size_t count;
    pthread_mutex_t lock; /* guards handles and capacity, and changes of count */
    uint64_t *handles;
    size_t capacity;
};

struct full_sessions *full_sessions_create(void)
{
    struct full_sessions *f = memory_alloc_zero(sizeof *f);
    if (f != NULL)
        pthread_mutex_init(&f->lock, NULL);
    return f;
}

void full_sessions_destroy(struct full_sessions *f)
{
    if (f == NULL)
        return;
    assert(f->count == 0);
    pthread_mutex_destroy(&f->lock);
    memory_free(f->handles);
    memory_free(f);
}

static int add(struct full_sessions *f, uint64_t handle)
{
    if (f->count == f->capacity) {
        size_t capacity = f->capacity == 0 ? 8 : f->capacity * 2;
        uint64_t *handles = memory_resize(f->handles, capacity * sizeof *handles);
        if (handles == NULL)
            return -ENOMEM;
        f->handles = handles;
        f->capacity = capacity;
    }
    f->handles[f->count] = handle;
    f->count++;
    return 0;
}

int full_sessions_add(struct full_sessions *f, uint64_t handle)
{
    pthread_mutex_lock(&f->lock);
    int result = add(f, handle);
    pthread_mutex_unlock(&f->lock);
    return result;
}

static size_t find(const struct full_sessions *f, uint64_t handle)
{
    size_t i = 0;
    while (i < f->count && f->handles[i] != handle)
        i++;
    return i;
}

void full_sessions_remove(struct full_sessions *f, uint64_t handle)
{
    pthread_mutex_lock(&f->lock);
    size_t i = find(f, handle);
    assert(i < f->count);
    f->handles[i] = f->handles[f->count - 1];
    f->count--;
    pthread_mutex_unlock(&f->lock);
}

bool full_sessions_has(struct full_sessions *f, uint64_t handle)
{
    pthread_mutex_lock(&f->lock);
    bool found = find(f, handle) < f->count;
    pthread_mutex_unlock(&f->lock);
    return found;
}

bool full_sessions_is_empty(const struct full_sessions *f)
{
    return atomic_load_explicit(&f->count, memory_order_relaxed) == 0;
}
