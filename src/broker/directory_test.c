/* broker/directory_test.c: claims, against a naive list of them. */
#include "base/memory.h"
#include "broker/directory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { SEED = 3, IDS = 200, STEPS = 20000 };

static struct bytes id_of(unsigned n, char *text, size_t size)
{
    int length = snprintf(text, size, "client-%u", n);
    return bytes_of(text, (size_t)length);
}

static struct directory_entry *claim(struct directory *d, struct bytes id, unsigned preferred)
{
    struct directory_entry *e = directory_claim(d, id, preferred);
    assert_non_null(e);
    assert_true(bytes_equal(directory_client_id(e), id));
    assert_ptr_equal(directory_find(d, id), e);
    return e;
}

static void test_first_claim_decides(void **state)
{
    struct directory *d = directory_create(SEED);
    assert_non_null(d);
    assert_null(directory_find(d, BYTES("a")));
    struct directory_entry *a = claim(d, BYTES("a"), 3);
    assert_int_equal(a->worker, 3);
    assert_ptr_equal(claim(d, BYTES("a"), 1), a);
    assert_int_equal(a->worker, 3); /* whatever the second one would have liked */
    directory_release(d, a);
    assert_ptr_equal(claim(d, BYTES("a"), 2), a);
    assert_int_equal(a->worker, 3); /* one claim is left */
    directory_release(d, a);
    directory_release(d, a);
    assert_int_equal(directory_count(d), 0);
    a = claim(d, BYTES("a"), 2);
    assert_int_equal(a->worker, 2); /* nobody remembered it */
    directory_release(d, a);
    directory_destroy(d);
    directory_destroy(NULL);
}

static void test_random_claims(void **state)
{
    static struct {
        struct directory_entry *entry;
        unsigned worker, claims;
    } model[IDS];
    struct directory *d = directory_create(SEED);
    uint64_t random = 1;
    size_t entries = 0;
    char text[32];
    for (int step = 0; step < STEPS; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned n = (unsigned)(random >> 33) % IDS, preferred = (unsigned)(random >> 50) % 8;
        struct bytes id = id_of(n, text, sizeof text);
        if (model[n].claims > 0 && (random >> 60) % 2 == 0) {
            directory_release(d, model[n].entry);
            entries -= --model[n].claims == 0;
        } else {
            struct directory_entry *e = claim(d, id, preferred);
            if (model[n].claims++ == 0) {
                model[n].entry = e;
                model[n].worker = preferred;
                entries++;
            }
            assert_ptr_equal(e, model[n].entry);
            assert_int_equal(e->worker, model[n].worker);
        }
        assert_int_equal(directory_count(d), entries);
    }
    for (unsigned n = 0; n < IDS; n++)
        for (; model[n].claims > 0; model[n].claims--)
            directory_release(d, model[n].entry);
    directory_destroy(d);
}

/* The nth allocation fails: no claim then, and nothing changed. */
static void test_no_memory(void **state)
{
    for (uint64_t nth = 1;; nth++) {
        struct directory *d = directory_create(SEED);
        assert_non_null(d);
        (void)memory_fail_at(nth);
        struct directory_entry *e = directory_claim(d, BYTES("a"), 3);
        bool was_reached = memory_fail_at(0) >= nth;
        assert_true((e == NULL) == was_reached);
        assert_int_equal(directory_count(d), was_reached ? 0 : 1);
        if (!was_reached)
            directory_release(d, e);
        directory_destroy(d);
        if (!was_reached)
            return;
    }
}

/* Two workers want the same Clients at the same time: both are told the same owner. */
struct contender {
    struct directory *directory;
    unsigned index;
    struct directory_entry *entries[IDS];
};

static void *contend(void *argument)
{
    struct contender *c = argument;
    char text[32];
    for (unsigned n = 0; n < IDS; n++) {
        c->entries[n] = directory_claim(c->directory, id_of(n, text, sizeof text), c->index);
        if (c->entries[n] == NULL)
            return c;
    }
    return NULL;
}

static void test_threads_agree(void **state)
{
    struct directory *d = directory_create(SEED);
    static struct contender contenders[2];
    pthread_t threads[2];
    void *failed;
    for (unsigned i = 0; i < 2; i++) {
        contenders[i] = (struct contender){ .directory = d, .index = i };
        assert_int_equal(pthread_create(&threads[i], NULL, contend, &contenders[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    for (unsigned n = 0; n < IDS; n++) {
        struct directory_entry *e = contenders[0].entries[n];
        assert_ptr_equal(e, contenders[1].entries[n]);
        directory_release(d, e);
        directory_release(d, e);
    }
    directory_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_claim_decides),
        cmocka_unit_test(test_random_claims),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_threads_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
