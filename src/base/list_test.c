#include "base/block.h"
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct list link;
};

static void expect_order(const struct list *l, const int *numbers, size_t count)
{
    size_t i = 0;
    for (const struct list *at = l->next; at != l; at = at->next, i++) {
        assert_true(i < count);
        assert_int_equal(container_of(at, const struct item, link)->number, numbers[i]);
        assert_ptr_equal(at->next->prev, at);
    }
    assert_int_equal(i, count);
}

static void ring(void **state)
{
    struct list l;
    struct item items[4];
    list_init(&l);
    assert_true(list_is_empty(&l));
    assert_null(list_pop_front(&l));
    for (int i = 0; i < 4; i++) {
        items[i].number = i;
        list_init(&items[i].link);
        assert_true(list_is_empty(&items[i].link)); /* in no list */
    }
    list_push_back(&l, &items[1].link);
    list_push_back(&l, &items[2].link);
    list_push_front(&l, &items[0].link);
    list_push_back(&l, &items[3].link);
    expect_order(&l, (const int[]){ 0, 1, 2, 3 }, 4);

    list_remove(&items[2].link);
    list_remove(&items[2].link); /* harmless */
    expect_order(&l, (const int[]){ 0, 1, 3 }, 3);
    assert_ptr_equal(list_pop_front(&l), &items[0].link);
    assert_true(list_is_empty(&items[0].link));
    expect_order(&l, (const int[]){ 1, 3 }, 2);
}

static int destroyed;

static void count_destroyed(struct block *b)
{
    destroyed++;
}

static void last_reference_destroys(void **state)
{
    struct block b;
    block_init(&b, count_destroyed);
    assert_ptr_equal(block_ref(&b), &b);
    block_unref(&b);
    assert_int_equal(destroyed, 0);
    block_unref(&b);
    assert_int_equal(destroyed, 1);
    block_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring),
        cmocka_unit_test(last_reference_destroys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
