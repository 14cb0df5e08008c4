/* broker/durable_test.c: rows of durable Sessions. */
#include "base/memory.h"
#include "broker/durable.h"
#include "router/subscriber.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_rows(void **state)
{
    static const struct {
        unsigned worker;
        uint32_t generation, slot;
    } rows[] = {
        { 0, 1, 0 }, { 1, 1, 0 },     { 0, 1, 1023 },    { 0, 1, 1024 }, /* the next chunk */
        { 1, 7, 5 }, { 1, 1, 70000 }, { 0, 3, 1000000 },
    };
    enum { COUNT = sizeof rows / sizeof rows[0] };
    struct durable_table *t = durable_table_create(2);
    assert_non_null(t);
    uint64_t handles[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        handles[i] = handle_make(rows[i].worker, rows[i].generation, rows[i].slot);
        assert_null(durable_find(t, handles[i]));
        assert_non_null(durable_add(t, handles[i], 100 + i, 10 * i));
    }
    for (size_t i = 0; i < COUNT; i++) {
        struct durable *d = durable_find(t, handles[i]);
        assert_non_null(d);
        assert_int_equal(atomic_load(&d->key), 100 + i);
        assert_int_equal(atomic_load(&d->next_seq), 10 * i);
        durable_remove(t, handles[i]);
        durable_remove(t, handles[i]); /* nothing any more */
        assert_null(durable_find(t, handles[i]));
    }
    durable_table_destroy(t);
    durable_table_destroy(NULL);
}

/* A slot that is used again is another Session's. */
static void test_generations(void **state)
{
    struct durable_table *t = durable_table_create(1);
    uint64_t old = handle_make(0, 1, 3), young = handle_make(0, 2, 3);
    assert_non_null(durable_add(t, old, 5, 1));
    assert_null(durable_find(t, young));
    durable_remove(t, young); /* not his */
    assert_non_null(durable_find(t, old));
    durable_remove(t, old);
    assert_non_null(durable_add(t, young, 6, 1));
    assert_null(durable_find(t, old));
    assert_int_equal(atomic_load(&durable_find(t, young)->key), 6);
    durable_table_destroy(t);
}

static void test_of_no_worker(void **state)
{
    struct durable_table *t = durable_table_create(1);
    assert_null(durable_find(t, handle_make(1, 1, 0)));
    assert_null(durable_add(t, handle_make(1, 1, 0), 1, 1));
    durable_remove(t, handle_make(1, 1, 0));
    durable_table_destroy(t);
}

static void test_no_memory(void **state)
{
    for (uint64_t nth = 1; nth <= 2; nth++) {
        memory_fail_at(nth);
        assert_null(durable_table_create(3));
    }
    struct durable_table *t = durable_table_create(3);
    uint64_t handle = handle_make(2, 1, 0);
    memory_fail_at(1);
    assert_null(durable_add(t, handle, 1, 1));
    assert_null(durable_find(t, handle));
    assert_non_null(durable_add(t, handle, 1, 1));
    memory_fail_at(0);
    durable_table_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_of_no_worker),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
