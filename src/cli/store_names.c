/* cli/store_names.c: a row per Session and per group, sorted by its number. */
#include "cli/store_names.h"
#include "base/list.h"
#include "broker/durable_records.h"
#include <errno.h>
#include <stdlib.h>

struct reading {
    struct store_sink sink;
    struct store_names *names;
};

static bool add(struct store_names *n, const struct durable_key *k, struct bytes name)
{
    struct store_name row = {
        .number = k->session, .kind = k->kind, .offset = n->text.size, .size = name.size
    };
    n->no_memory = buffer_append(&n->text, name) != 0 ||
                   buffer_append(&n->list, bytes_of(&row, sizeof row)) != 0;
    return !n->no_memory;
}

static bool on_session(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct durable_key k;
    struct stored_session s;
    if (!durable_key_read(key, &k) || !stored_session_read(value, &s))
        return true; /* it has no name; `check` speaks of it */
    return add(container_of(sink, struct reading, sink)->names, &k, s.client_id);
}

static bool on_group(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct durable_key k;
    return !durable_key_read(key, &k) ||
           add(container_of(sink, struct reading, sink)->names, &k, value);
}

static struct store_name *rows(const struct store_names *n)
{
    return (struct store_name *)(void *)n->list.data;
}

static size_t count_of(const struct store_names *n)
{
    return n->list.size / sizeof(struct store_name);
}

static int by_number(const void *left, const void *right)
{
    const struct store_name *a = left, *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

int store_names_read(struct store_names *n, struct store *s, struct store_fault *fault)
{
    struct reading r = { { on_session }, n };
    *n = (struct store_names){ 0 };
    int result = store_walk(s, KEY_SESSION, &r.sink, fault);
    r.sink.on_key = on_group;
    if (result == 0 && !n->no_memory)
        result = store_walk(s, KEY_GROUP, &r.sink, fault);
    if (result == 0 && n->no_memory)
        result = -ENOMEM;
    if (result == 0 && n->list.size > 0)
        qsort(n->list.data, count_of(n), sizeof(struct store_name), by_number);
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

struct store_owner store_names_find(const struct store_names *n, uint64_t number)
{
    struct store_name wanted = { .number = number }, *found = NULL;
    if (n->list.size > 0)
        found = bsearch(&wanted, n->list.data, count_of(n), sizeof wanted, by_number);
    return found == NULL ? (struct store_owner){ 0 }
                         : (struct store_owner){ found->kind, name_of(n, found) };
}

bool store_names_has_client(const struct store_names *n, struct bytes client_id)
{
    const struct store_name *row = rows(n);
    for (size_t i = 0; i < count_of(n); i++)
        if (row[i].kind == KEY_SESSION && bytes_equal(name_of(n, &row[i]), client_id))
            return true;
    return false;
}

/* ------------------------------------------------------------------------------ duplicates ---- */

static int by_name(const void *left, const void *right, void *context)
{
    const struct store_name *a = left, *b = right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    struct bytes one = name_of(context, a), other = name_of(context, b);
    if (one.size != other.size)
        return one.size < other.size ? -1 : 1;
    int order = memcmp(one.data, other.data, one.size);
    return order != 0 ? order : by_number(a, b);
}

void store_names_twice(struct store_names *n,
                       void (*on_twice)(void *context, struct bytes client_id, uint64_t older,
                                        uint64_t newer),
                       void *context)
{
    size_t count = count_of(n);
    if (count < 2)
        return;
    struct store_name *row = rows(n);
    qsort_r(row, count, sizeof *row, by_name, n);
    for (size_t i = 0; i + 1 < count; i++) {
        if (row[i].kind == KEY_SESSION && row[i + 1].kind == KEY_SESSION &&
            bytes_equal(name_of(n, &row[i]), name_of(n, &row[i + 1])))
            on_twice(context, name_of(n, &row[i]), row[i].number, row[i + 1].number);
    }
}
