/* cli/store_names.c: a row per Session, sorted by its number. */
#include "cli/store_names.h"
#include "base/list.h"
#include "broker/durable_records.h"
#include <errno.h>
#include <stdlib.h>

struct reading {
    struct store_sink sink;
    struct store_names *names;
};

static bool on_session(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct store_names *n = container_of(sink, struct reading, sink)->names;
    struct durable_key k;
    struct stored_session s;
    if (!durable_key_read(key, &k) || !stored_session_read(value, &s))
        return true; /* it has no name; `check` speaks of it */
    struct store_name row = { k.session, n->text.size, s.client_id.size };
    n->no_memory = buffer_append(&n->text, s.client_id) != 0 ||
                   buffer_append(&n->list, bytes_of(&row, sizeof row)) != 0;
    return !n->no_memory;
}

static struct store_name *rows(const struct store_names *n)
{
    return (struct store_name *)(void *)n->list.data;
}

size_t store_names_count(const struct store_names *n)
{
    return n->list.size / sizeof(struct store_name);
}

static int by_session(const void *left, const void *right)
{
    const struct store_name *a = left, *b = right;
    return a->session < b->session ? -1 : a->session > b->session;
}

int store_names_read(struct store_names *n, struct store *s, struct store_fault *fault)
{
    struct reading r = { { on_session }, n };
    *n = (struct store_names){ 0 };
    int result = store_walk(s, KEY_SESSION, &r.sink, fault);
    if (result == 0 && n->no_memory)
        result = -ENOMEM;
    if (result == 0 && n->list.size > 0)
        qsort(n->list.data, store_names_count(n), sizeof(struct store_name), by_session);
    return result;
}

void store_names_fini(struct store_names *n)
{
    buffer_fini(&n->text);
    buffer_fini(&n->list);
}

static struct bytes name_of(const struct store_names *n, const struct store_name *row)
{
    return bytes_of(n->text.data + row->offset, row->size);
}

struct bytes store_names_find(const struct store_names *n, uint64_t session)
{
    struct store_name wanted = { .session = session }, *found = NULL;
    if (n->list.size > 0)
        found = bsearch(&wanted, n->list.data, store_names_count(n), sizeof wanted, by_session);
    return found == NULL ? (struct bytes){ 0 } : name_of(n, found);
}

/* ------------------------------------------------------------------------------ duplicates ---- */

static int by_name(const void *left, const void *right, void *context)
{
    const struct store_name *a = left, *b = right;
    struct bytes one = name_of(context, a), other = name_of(context, b);
    if (one.size != other.size)
        return one.size < other.size ? -1 : 1;
    int order = memcmp(one.data, other.data, one.size);
    return order != 0 ? order : by_session(a, b);
}

void store_names_twice(struct store_names *n,
                       void (*on_twice)(void *context, struct bytes client_id, uint64_t older,
                                        uint64_t newer),
                       void *context)
{
    size_t count = store_names_count(n);
    if (count < 2)
        return;
    struct store_name *row = rows(n);
    qsort_r(row, count, sizeof *row, by_name, n);
    for (size_t i = 0; i + 1 < count; i++) {
        if (bytes_equal(name_of(n, &row[i]), name_of(n, &row[i + 1])))
            on_twice(context, name_of(n, &row[i]), row[i].session, row[i + 1].session);
    }
}
