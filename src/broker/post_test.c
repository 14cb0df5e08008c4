/* broker/post_test.c: letters between two workers. */
#include "base/memory.h"
#include "broker/client.h"
#include "broker/post.h"
#include "broker/test_client.h"

static struct test_client subscriber;

static struct message *make_message(const char *topic, size_t size)
{
    static uint8_t payload[1024 * 1024];
    struct publish p = { .qos = 1, .payload = bytes_of(payload, size) };
    assert_true(size <= sizeof payload);
    struct message *m = message_create(bytes_of_string(topic), &p, 0, MESSAGE_NEVER);
    assert_non_null(m);
    return m;
}

/* A message for a session of worker 1, from worker 0; drops the caller's reference. */
static void post(struct fuzz_world *w, uint64_t handle, struct message *m)
{
    struct publication p = { .message = m, .is_counted = true };
    struct subscriber who = { handle, 0, 0 };
    uint64_t in_letter = 0;
    assert_int_equal(post_message(w->server->workers[0], &p, who, NULL, &in_letter), 0);
    publication_fini(&p);
}

static int64_t unread(const struct fuzz_world *w)
{
    return atomic_load(&w->server->workers[1]->unread_bytes[0]);
}

static uint64_t handle_of(struct fuzz_world *w, const char *id)
{
    const struct directory_entry *e = directory_find(w->server->directory, bytes_of_string(id));
    return e == NULL || e->client == NULL ? 0 : e->client->handle;
}

/* Notes are read in the order of writing, over as many letters as it takes, and only after they
 * were posted. */
static void test_order(void **state)
{
    enum { NOTES = 2 * LETTER_SIZE / sizeof(struct note) };
    struct fuzz_world *w = test_world(TEST_CONFIG, 2);
    test_connect(&subscriber, w, 1, VERSION_3_1_1, "subscriber");
    uint64_t handle = handle_of(w, "subscriber");
    assert_int_equal(handle_worker(handle), 1);
    for (int i = 0; i < NOTES; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "%03d", i);
        post(w, handle, make_message(topic, 0));
    }
    fuzz_world_turn(w, 1);
    assert_int_equal(unread(w), 0); /* still in the outbox */
    post_letters(w->server->workers[0]);
    assert_int_equal(unread(w), 3 * NOTES);
    fuzz_world_turn(w, 1);
    assert_int_equal(unread(w), 0);
    for (int i = 0; i < NOTES; i++) {
        char text[32];
        snprintf(text, sizeof text, "30 { s'%03d' }", i);
        test_hear(&subscriber, text);
    }
    test_hear_nothing(&subscriber);
    test_world_end(w);
}

/* One message and many targets; a large one is referred to once. */
static void test_shared_message(void **state)
{
    enum { TARGETS = 3 };
    struct fuzz_world *w = test_world(TEST_CONFIG, 2);
    struct worker *from = w->server->workers[0];
    test_connect(&subscriber, w, 1, VERSION_3_1_1, "subscriber");
    struct subscriber who = { handle_of(w, "subscriber"), 0, 0 };
    struct message *m = make_message("a", 5000);
    struct publication p = { .message = message_ref(m), .is_counted = true };
    uint64_t in_letter = 0;
    for (int i = 0; i < TARGETS; i++)
        assert_int_equal(post_message(from, &p, who, NULL, &in_letter), 0);
    publication_fini(&p);
    assert_int_equal(atomic_load(&m->block.refs), 2);
    post(w, who.handle, make_message("b", 0));
    fuzz_world_settle(w);
    assert_int_equal(server_metric(w->server, METRIC_publish_sent), TARGETS + 1);
    test_listen(&subscriber);
    assert_int_equal(atomic_load(&m->block.refs), 1);
    subscriber.size = 0;
    message_unref(m);
    test_world_end(w);
}

/* Whom it was for has gone, or never was: the message is dropped, nobody minds. */
static void test_nobody_there(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 2);
    test_connect(&subscriber, w, 1, VERSION_3_1_1, "subscriber");
    uint64_t handle = handle_of(w, "subscriber");
    struct message *m = make_message("a", 5000);
    test_close(&subscriber);
    test_connect(&subscriber, w, 1, VERSION_3_1_1, "successor"); /* in the same slot */
    assert_int_equal(handle_slot(handle_of(w, "successor")), handle_slot(handle));
    post(w, handle, message_ref(m));
    fuzz_world_settle(w);
    assert_int_equal(atomic_load(&m->block.refs), 1);
    test_hear_nothing(&subscriber);
    message_unref(m);
    test_world_end(w);
}

/* What is posted and not read has a budget: 8 MiB for each pair of workers. */
static void test_budget(void **state)
{
    enum { MIB = 1024 * 1024 };
    static const struct {
        int mib;
        bool is_over, is_within_half;
    } rows[] = { { 0, false, true },
                 { 4, false, true },
                 { 5, false, false },
                 { 8, false, false },
                 { 9, true, false } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fuzz_world *w = test_world(TEST_CONFIG, 2);
        struct worker *from = w->server->workers[0];
        for (int n = 0; n < rows[i].mib; n++)
            post(w, handle_make(1, 1, 1), make_message("a", MIB - 1));
        assert_int_equal(post_is_over_budget(from), rows[i].is_over);
        assert_int_equal(post_is_within_half_budget(from), rows[i].is_within_half);
        assert_false(post_is_over_budget(w->server->workers[1])); /* the other way is empty */
        fuzz_world_settle(w);
        assert_false(post_is_over_budget(from));
        assert_true(post_is_within_half_budget(from));
        test_world_end(w);
    }
}

/* A publisher that is too fast for the other worker is not read until that has caught up. */
static void test_publisher_waits(void **state)
{
    enum { SIZE = 10 * 1000, MANY = 1000 };
    static struct test_client publisher;
    static uint8_t packet[SIZE + 6] = { 0x30 };
    struct fuzz_world *w = test_world(TEST_CONFIG, 2);
    test_connect(&subscriber, w, 1, VERSION_3_1_1, "subscriber");
    test_connect(&publisher, w, 0, VERSION_3_1_1, "publisher");
    test_say(&subscriber, "82 { 0001 s'a' 00 }");
    test_hear(&subscriber, "90 { 0001 00 }");
    size_t size = (size_t)(write_varint(packet + 1, SIZE + 3) - packet);
    packet[size + 1] = 1;
    packet[size + 2] = 'a';
    size += 3 + SIZE;

    size_t taken = 0, sent = 0;
    for (int i = 0; i < 3 * MANY; i++) { /* worker 1 does not run */
        struct bytes rest = { packet + taken, size - taken };
        taken += fuzz_link_write(publisher.link, rest);
        fuzz_world_turn(w, 0);
        sent += taken == size;
        taken %= size;
    }
    assert_true(unread(w) > 8 * 1024 * 1024);
    assert_true(unread(w) < 9 * 1024 * 1024);
    assert_true(sent < MANY);
    assert_int_equal(server_metric(w->server, METRIC_reads_paused), 1);
    while (taken > 0 && taken < size) { /* the other worker runs again, and so everything goes on */
        struct bytes rest = { packet + taken, size - taken };
        fuzz_world_pass(w, SECOND_NS / 10);
        taken += fuzz_link_write(publisher.link, rest);
        test_listen(&subscriber);
        subscriber.size = 0;
    }
    fuzz_world_settle(w);
    assert_int_equal(unread(w), 0);
    test_world_end(w);
}

/* Small messages travel in the letter, large ones by reference, and in both ways once for all their
 * targets in the letter; letters that were read are written again. */
static void test_messages_in_letters(void **state)
{
    enum { LARGE = 5000, TARGETS = 1500 };
    static const size_t sizes[] = { 0, 1, 1000, LARGE };
    static uint8_t payload[LARGE];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct fuzz_world *w = test_world(TEST_CONFIG, 2);
        struct worker *from = w->server->workers[0];
        struct subscriber who = { handle_make(1, 1, 1), 0, 0 };
        struct message view = { .expires_ns = MESSAGE_NEVER,
                                .topic = BYTES("a"),
                                .payload = { payload, sizes[i] } };
        for (int round = 0; round < 3; round++) {
            struct publication p = { .message = &view };
            uint64_t in_letter = 0;
            for (int n = 0; n < TARGETS; n++) {
                uint32_t *ids = n % 100 == 0 ? memory_alloc_zero(sizeof *ids) : NULL;
                assert_int_equal(post_message(from, &p, who, ids, &in_letter), 0);
            }
            size_t targets = 0;
            for (struct letter *l = from->outboxes[1].first; l != NULL; l = l->next)
                for (struct note *n = NULL; (n = letter_next(l, n)) != NULL;) {
                    size_t count;
                    assert_int_equal(note_targets(n, &count)->handle, who.handle);
                    assert_int_equal(n->deliver.message->payload.size, sizes[i]);
                    assert_true(n->deliver.many_ids == NULL || count == 1);
                    targets += count;
                }
            assert_int_equal(targets, TARGETS);
            assert_int_equal(p.is_counted, sizes[i] == LARGE);
            publication_fini(&p);
            fuzz_world_settle(w);
        }
        assert_true(from->letters_begun <= 3 * 6);
        test_world_end(w); /* nothing leaks */
    }
}

static void test_no_memory(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 2);
    (void)memory_fail_at(1);
    assert_null(post_note(w->server->workers[0], 1, NOTE_HANDOFF, 1, 100));
    (void)memory_fail_at(0);
    assert_int_equal(unread(w), 0);
    test_world_end(w);
}

/* What groups and their members tell each other has a letter in reserve, and soon another one. */
static void test_spare_letter(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 3);
    for (int round = 0; round < 3; round++) {
        fuzz_world_settle(w);
        (void)memory_fail_at(1);
        assert_non_null(post_note(w->server->workers[0], 1, NOTE_SHARE_FINISH, 1, 0));
        (void)memory_fail_at(1);
        if (round == 0) /* later, letters that were read have come back */
            assert_null(post_note(w->server->workers[0], 2, NOTE_SHARE_FINISH, 1, 0));
        (void)memory_fail_at(0);
    }
    test_world_end(w);
}

/* Letters that nobody will read give back what they refer to. */
static void test_end_with_letters(void **state)
{
    struct fuzz_world *w = test_world(TEST_CONFIG, 2);
    struct message *m = make_message("a", 5000);
    post(w, handle_make(1, 1, 1), message_ref(m)); /* in the outbox */
    server_destroy(w->server);
    w->server = NULL;
    assert_int_equal(atomic_load(&m->block.refs), 1);
    message_unref(m);
    fuzz_world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_shared_message),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_publisher_waits),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_spare_letter),
        cmocka_unit_test(test_end_with_letters),
        cmocka_unit_test(test_messages_in_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
