#include "session/queue.h"
#include "session/test_sink.h"

#include <errno.h>

enum { STEPS = 50000, MODEL_MAX = 3000 };

/* The naive queue: an array that moves up. */
struct model {
    uint64_t numbers[MODEL_MAX];
    size_t count;
};

static void model_insert(struct model *m, size_t at, uint64_t number)
{
    assert_true(m->count < MODEL_MAX);
    memmove(m->numbers + at + 1, m->numbers + at, (m->count - at) * sizeof m->numbers[0]);
    m->numbers[at] = number;
    m->count++;
}

static uint64_t model_pop(struct model *m)
{
    uint64_t number = m->numbers[0];
    m->count--;
    memmove(m->numbers, m->numbers + 1, m->count * sizeof m->numbers[0]);
    return number;
}

static void expect_same(const struct queue *q, const struct model *m)
{
    queue_check(q);
    assert_int_equal(queue_count(q), m->count);
    assert_int_equal(queue_bytes(q), 10 * m->count);
    for (size_t i = 0; i < m->count; i++)
        assert_int_equal(test_number(queue_at(q, i)), m->numbers[i]);
    if (m->count == 0)
        assert_null(queue_first(q));
    else
        assert_ptr_equal(queue_first(q), queue_at(q, 0));
}

static void agrees_with_an_array(void **state)
{
    static struct model m;
    struct queue q;
    uint64_t random = 3, number = 0;
    queue_init(&q);
    m.count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t what = test_random(&random) % 100, pushes = step / 2000 % 2 == 0 ? 50 : 25;
        if (what < pushes) {
            struct delivery d = test_delivery(++number, test_random(&random) % 3, 0);
            d.state = DELIVERY_AWAITS_PUBACK; /* the queue says what it is */
            assert_int_equal(queue_push(&q, &d), 0);
            model_insert(&m, m.count, number);
        } else if (what < 98 && m.count > 0) {
            struct delivery d;
            queue_pop(&q, &d);
            uint64_t popped = model_pop(&m);
            assert_int_equal(test_number(&d), popped);
            if (what % 4 == 0) {
                queue_unpop(&q, &d);
                model_insert(&m, 0, popped);
            } else {
                delivery_fini(&d);
            }
        } else {
            queue_trim(&q);
        }
        if (step % 20 == 0)
            expect_same(&q, &m);
    }
    expect_same(&q, &m);
    queue_fini(&q);
}

static void the_end_drops_what_waits(void **state)
{
    struct queue q;
    struct message *m = test_message(1, 10, MESSAGE_NEVER);
    queue_init(&q);
    for (int i = 0; i < 20; i++) {
        struct delivery d = { .message = message_ref(m), .qos = 1, .flags = DELIVERY_MANY_IDS };
        d.ids.many = memory_alloc_zero(3 * sizeof *d.ids.many);
        assert_int_equal(queue_push(&q, &d), 0);
    }
    queue_trim(&q); /* not while something waits */
    assert_int_equal(queue_count(&q), 20);
    queue_fini(&q);
    assert_int_equal(m->block.refs, 1);
    message_unref(m);
}

static void pushing_without_memory_changes_nothing(void **state)
{
    static struct model m;
    struct queue q;
    queue_init(&q);
    m.count = 0;
    for (uint64_t number = 1; number <= 100; number++) {
        struct delivery d = test_delivery(number, 1, 0), popped;
        memory_fail_at(1);
        int result = queue_push(&q, &d);
        bool asked = memory_fail_at(0) > 0;
        assert_int_equal(result, asked ? -ENOMEM : 0);
        if (asked) {
            expect_same(&q, &m);
            assert_int_equal(queue_push(&q, &d), 0); /* still ours */
        }
        model_insert(&m, m.count, number);
        expect_same(&q, &m);
        if (number % 3 == 0) { /* so that the ring is entered at any place */
            queue_pop(&q, &popped);
            assert_int_equal(test_number(&popped), model_pop(&m));
            delivery_fini(&popped);
        }
    }
    queue_fini(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(the_end_drops_what_waits),
        cmocka_unit_test(pushing_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
