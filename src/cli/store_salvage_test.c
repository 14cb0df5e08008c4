/* Stores on a disk in memory: copied, damaged, and put together again. */
#include "base/fake_disk.h"
#include "broker/durable_records.h"
#include "cli/store_copy.h"
#include "cli/store_folder.h"
#include "cli/store_names.h"
#include "cli/store_salvage.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { SEGMENT_SIZE = 8192, FIRST_BATCH = 4096, BATCH_HEADER = 40 };

/* ----------------------------------------------------------------------------- one store ------ */

static struct store *open_store(struct fake_disk *d, const char *folder, bool is_read_only)
{
    struct store_options o = { .files = &d->files,
                               .folder = folder,
                               .id = 42,
                               .segment_size = SEGMENT_SIZE,
                               .is_read_only = is_read_only };
    struct store_fault fault;
    struct store *s = NULL;
    if (store_open(&o, &s, &fault) != 0)
        fail_msg("%s: %s", fault.path, fault.text);
    return s;
}

static void put(struct store *s, uint8_t kind, uint64_t session, const char *filter,
                struct bytes value)
{
    struct buffer key = { 0 }, record = { 0 };
    struct durable_key k = { .kind = kind, .session = session, .filter = bytes_of_string(filter) };
    assert_int_equal(durable_key_write(&key, &k), 0);
    assert_int_equal(record_put(&record, buffer_bytes(&key), value), 0);
    assert_int_equal(store_add(s, record.data, record.size), 0);
    buffer_fini(&key);
    buffer_fini(&record);
}

static void put_session(struct store *s, uint64_t number, const char *client_id)
{
    struct buffer value = { 0 };
    struct stored_session session = { .client_id = bytes_of_string(client_id),
                                      .expiry_s = UINT32_MAX,
                                      .will_lifetime_ns = MESSAGE_NEVER };
    assert_int_equal(stored_session_write(&value, &session), 0);
    put(s, KEY_SESSION, number, "", buffer_bytes(&value));
    buffer_fini(&value);
}

static void put_retained(struct store *s, const char *topic, size_t size)
{
    static const uint8_t payload[SEGMENT_SIZE];
    struct buffer value = { 0 };
    struct message m = { .topic = bytes_of_string(topic),
                         .payload = bytes_of(payload, size),
                         .expires_ns = MESSAGE_NEVER };
    assert_int_equal(stored_message_write(&value, &m, 0), 0);
    put(s, KEY_RETAINED, 0, topic, buffer_bytes(&value));
    buffer_fini(&value);
}

/* A batch each, of 1000 bytes: three fit into a segment. */
static void fill(struct store *s, int from, int to)
{
    for (int i = from; i < to; i++) {
        char topic[16];
        (void)snprintf(topic, sizeof topic, "t/%d", i);
        put_retained(s, topic, 1000);
        assert_int_equal(store_commit(s), 0);
    }
}

struct topics {
    struct store_sink sink;
    char text[256];
};

static bool on_topic(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct topics *t = (struct topics *)sink;
    size_t used = strlen(t->text);
    (void)snprintf(t->text + used, sizeof t->text - used, "%.*s ", (int)key.size - 1,
                   (const char *)key.data + 1);
    return true;
}

/* The Retained Messages in a store, in the order of the log. */
static void check_topics(struct fake_disk *d, const char *folder, const char *wanted)
{
    struct store *s = open_store(d, folder, true);
    struct topics t = { { on_topic }, "" };
    struct store_fault fault;
    assert_int_equal(store_walk(s, KEY_RETAINED, &t.sink, &fault), 0);
    assert_string_equal(t.text, wanted);
    store_close(s);
}

static void make(struct fake_disk *d, int count)
{
    fake_disk_init(d, 1);
    assert_int_equal(d->files.make_folder(&d->files, "new"), 0);
    struct store *s = open_store(d, "old", false);
    fill(s, 0, count);
    store_close(s);
}

/* --------------------------------------------------------------------------------- copy ------- */

static int copy(struct fake_disk *d, struct store_copied *out, struct store_fault *fault)
{
    struct store_copy c = { .files = &d->files, .from = "old", .to = "new" };
    return store_copy(&c, out, fault);
}

static void a_copy_has_all_that_was_committed(void **state)
{
    struct fake_disk d;
    struct store_copied copied;
    struct store_fault fault;
    make(&d, 7);
    struct store *s = open_store(&d, "old", false);
    put_retained(s, "not/yet", 10);
    assert_int_equal(copy(&d, &copied, &fault), 0);
    assert_int_equal(copied.segments, 3);
    assert_int_equal(copied.batches, 7);
    assert_int_equal(copied.sequence, 7);
    store_close(s);
    fake_disk_power_loss(&d, 3); /* it was synced */
    check_topics(&d, "new", "t/0 t/1 t/2 t/3 t/4 t/5 t/6 ");
    s = open_store(&d, "new", false); /* goes on */
    fill(s, 7, 8);
    store_close(s);
    check_topics(&d, "new", "t/0 t/1 t/2 t/3 t/4 t/5 t/6 t/7 ");
    fake_disk_fini(&d);
}

static void a_damaged_store_is_not_copied(void **state)
{
    struct fake_disk d;
    struct store_copied copied;
    struct store_fault fault;
    make(&d, 7);
    assert_int_equal(fake_disk_damage(&d, "old/0000000000000002.log", FIRST_BATCH + 100, 10, 1), 0);
    assert_int_equal(copy(&d, &copied, &fault), -EBADMSG);
    assert_string_equal(fault.path, "old/0000000000000002.log");
    assert_int_equal(fault.offset, FIRST_BATCH);
    fake_disk_fini(&d);
}

/* Whatever fails while it is copied, it is told. */
static void a_copy_succeeds_or_says_why(void **state)
{
    uint64_t nth = 1;
    for (bool was_hit = true; was_hit; nth++) {
        struct fake_disk d;
        struct store_copied copied;
        struct store_fault fault = { 0 };
        make(&d, 4);
        uint64_t before = fake_disk_calls(&d);
        fake_disk_fail_at(&d, nth, EIO);
        int result = copy(&d, &copied, &fault);
        was_hit = fake_disk_calls(&d) - before >= nth;
        fake_disk_fail_at(&d, 0, 0);
        if (result != 0)
            assert_true(fault.text[0] != '\0');
        else
            check_topics(&d, "new", "t/0 t/1 t/2 t/3 ");
        fake_disk_fini(&d);
    }
    assert_true(nth > 20);
}

/* ------------------------------------------------------------------------------- salvage ------ */

struct losses {
    char text[2048];
};

static void on_loss(void *context, const struct salvage_loss *loss)
{
    struct losses *l = context;
    size_t used = strlen(l->text);
    (void)snprintf(l->text + used, sizeof l->text - used, "%s:%d+%d %s\n", loss->path,
                   (int)loss->offset, (int)loss->size,
                   loss->saved_as == NULL ? "-" : loss->saved_as);
}

static int salvage(struct fake_disk *d, struct losses *l, struct salvage_report *report,
                   struct store_fault *fault)
{
    struct salvage s = {
        .files = &d->files, .from = "old", .to = "new", .id = 43, .on_loss = on_loss, .context = l
    };
    *l = (struct losses){ "" };
    return store_salvage(&s, report, fault);
}

static void check_salvage(struct fake_disk *d, const char *topics, const char *losses)
{
    struct losses l;
    struct salvage_report report;
    struct store_fault fault;
    if (salvage(d, &l, &report, &fault) != 0)
        fail_msg("%s: %s", fault.path, fault.text);
    assert_string_equal(l.text, losses);
    check_topics(d, "new", topics);
    fake_disk_fini(d);
}

static void what_is_good_is_all_kept(void **state)
{
    struct fake_disk d;
    make(&d, 7);
    check_salvage(&d, "t/0 t/1 t/2 t/3 t/4 t/5 t/6 ", "");
}

#define FIRST  "old/0000000000000001.log"
#define SECOND "old/0000000000000002.log"

enum { BATCH = BATCH_HEADER + 24 + 4 + 16 + 3 + 1000 + 1 /* padding */ };

static void a_gap_between_batches(void **state)
{
    struct fake_disk d;
    make(&d, 7);
    assert_int_equal(fake_disk_damage(&d, FIRST, FIRST_BATCH + BATCH + 100, 10, 1), 0);
    check_salvage(&d, "t/0 t/2 t/3 t/4 t/5 t/6 ",
                  FIRST ":5184+1088 new/lost/0000000000000001-5184.bin\n");
}

/* Found out only when the next segment begins with another batch than the one that is expected. */
static void a_gap_at_the_end_of_a_segment(void **state)
{
    struct fake_disk d;
    struct bytes bytes, lost;
    make(&d, 7);
    assert_int_equal(fake_disk_damage(&d, FIRST, FIRST_BATCH + 2 * BATCH + 2, 10, 1), 0);
    struct losses l;
    struct salvage_report report;
    struct store_fault fault;
    assert_int_equal(salvage(&d, &l, &report, &fault), 0);
    assert_int_equal(report.losses, 1);
    assert_int_equal(fake_disk_file(&d, FIRST, &bytes), 0);
    assert_int_equal(fake_disk_file(&d, "new/lost/0000000000000001-6272.bin", &lost), 0);
    assert_true(lost.size >= 80 && lost.size <= BATCH);
    assert_memory_equal(lost.data, bytes.data + 6272, lost.size);
    check_topics(&d, "new", "t/0 t/1 t/3 t/4 t/5 t/6 ");
    fake_disk_fini(&d);
}

static void a_segment_without_its_header(void **state)
{
    struct fake_disk d;
    make(&d, 7);
    assert_int_equal(fake_disk_damage(&d, SECOND, 20, 1, 1), 0);
    check_salvage(&d, "t/0 t/1 t/2 t/3 t/4 t/5 t/6 ",
                  SECOND ":0+48 new/lost/0000000000000002-0.bin\n");
}

static void a_segment_that_is_missing(void **state)
{
    struct fake_disk d;
    make(&d, 7);
    assert_int_equal(d.files.remove(&d.files, SECOND), 0);
    check_salvage(&d, "t/0 t/1 t/2 t/6 ", SECOND ":0+0 -\n");
}

static void a_segment_of_another_store(void **state)
{
    struct fake_disk d;
    struct bytes bytes;
    make(&d, 7);
    struct store_options o = {
        .files = &d.files, .folder = "other", .id = 77, .segment_size = SEGMENT_SIZE
    };
    struct store_fault fault;
    struct store *s;
    assert_int_equal(store_open(&o, &s, &fault), 0);
    fill(s, 10, 14);
    store_close(s);
    struct buffer copied = { 0 };
    assert_int_equal(fake_disk_file(&d, "other/0000000000000002.log", &bytes), 0);
    assert_int_equal(buffer_append(&copied, bytes), 0);
    assert_int_equal(fake_disk_put(&d, SECOND, buffer_bytes(&copied)), 0);
    buffer_fini(&copied);
    struct losses l;
    struct salvage_report report;
    assert_int_equal(salvage(&d, &l, &report, &fault), 0);
    assert_non_null(strstr(l.text, "new/lost/0000000000000002-0.bin"));
    check_topics(&d, "new", "t/0 t/1 t/2 t/6 ");
    fake_disk_fini(&d);
}

static void records_that_make_no_sense(void **state)
{
    struct fake_disk d;
    make(&d, 1);
    struct store *s = open_store(&d, "old", false);
    put(s, KEY_SESSION, 1, "", BYTES("nonsense"));
    fill(s, 1, 2);
    store_close(s);
    check_salvage(&d, "t/0 t/1 ", FIRST ":5224+48 new/lost/0000000000000001-5224.bin\n");
}

/* The end of the first is in a gap; the later one is the one that is. */
static void a_client_with_two_sessions(void **state)
{
    struct fake_disk d;
    make(&d, 1);
    struct store *s = open_store(&d, "old", false);
    put_session(s, 5, "c");
    put_session(s, 6, "other");
    put_session(s, 9, "c");
    assert_int_equal(store_commit(s), 0);
    store_close(s);
    struct losses l;
    struct salvage_report report;
    struct store_fault fault;
    assert_int_equal(salvage(&d, &l, &report, &fault), 0);
    assert_int_equal(report.sessions, 1);
    assert_int_equal(report.losses, 0);
    s = open_store(&d, "new", true);
    assert_int_equal(store_stats(s).keys, 3); /* a message, and two of them */
    store_close(s);
    fake_disk_fini(&d);
}

static void append(struct store *s, uint64_t queue, uint64_t seq)
{
    static const uint8_t qos_1[STORED_DELIVERY_HEAD] = { 1 };
    struct message m = { .topic = BYTES("a"), .qos = 1, .expires_ns = MESSAGE_NEVER };
    struct record_entry entry = { queue, seq, bytes_of(qos_1, sizeof qos_1) };
    struct buffer body = { 0 }, record = { 0 };
    assert_int_equal(stored_message_write(&body, &m, 0), 0);
    struct bytes part = buffer_bytes(&body);
    assert_int_equal(record_append(&record, &entry, 1, &part, 1), 0);
    assert_int_equal(store_add(s, record.data, record.size), 0);
    buffer_fini(&body);
    buffer_fini(&record);
}

static void check_owner(const struct store_names *n, uint64_t queue, uint8_t kind, const char *name)
{
    struct store_owner owner = store_names_find(n, queue);
    assert_int_equal(owner.kind, kind);
    assert_true(bytes_equal(owner.name, bytes_of_string(name)));
}

/* A Client may have the name of a group; and two groups of one name are no reason to leave anything
 * out: the broker takes the one, and ends the other. */
static void groups_are_kept_with_their_queues(void **state)
{
    struct fake_disk d;
    make(&d, 1);
    struct store *s = open_store(&d, "old", false);
    put(s, KEY_GROUP, 5, "", BYTES("$share/g/a"));
    put_session(s, 6, "$share/g/a");
    put(s, KEY_GROUP, 7, "", BYTES("$share/g/a"));
    append(s, 5, 1);
    append(s, 5, 2);
    append(s, 7, 1);
    assert_int_equal(store_commit(s), 0);
    store_close(s);
    struct losses l;
    struct salvage_report report;
    struct store_fault fault;
    assert_int_equal(salvage(&d, &l, &report, &fault), 0);
    assert_string_equal(l.text, "");
    assert_int_equal(report.sessions, 0);
    struct store_names names;
    s = open_store(&d, "new", true);
    assert_int_equal(store_queue(s, 5).count, 2);
    assert_int_equal(store_queue(s, 7).count, 1);
    assert_int_equal(store_names_read(&names, s, &fault), 0);
    check_owner(&names, 5, KEY_GROUP, "$share/g/a");
    check_owner(&names, 6, KEY_SESSION, "$share/g/a");
    check_owner(&names, 7, KEY_GROUP, "$share/g/a");
    check_owner(&names, 8, 0, "");
    assert_true(store_names_has_client(&names, BYTES("$share/g/a")));
    assert_false(store_names_has_client(&names, BYTES("$share/g/b")));
    store_names_fini(&names);
    store_close(s);
    fake_disk_fini(&d);
}

static void salvage_succeeds_or_says_why(void **state)
{
    uint64_t nth = 1;
    for (bool was_hit = true; was_hit; nth++) {
        struct fake_disk d;
        struct losses l;
        struct salvage_report report;
        struct store_fault fault = { 0 };
        make(&d, 7);
        assert_int_equal(fake_disk_damage(&d, FIRST, FIRST_BATCH + BATCH + 100, 10, 1), 0);
        uint64_t before = fake_disk_calls(&d);
        fake_disk_fail_at(&d, nth, EIO);
        int result = salvage(&d, &l, &report, &fault);
        was_hit = fake_disk_calls(&d) - before >= nth;
        fake_disk_fail_at(&d, 0, 0);
        if (result != 0)
            assert_true(fault.text[0] != '\0');
        else
            check_topics(&d, "new", "t/0 t/2 t/3 t/4 t/5 t/6 ");
        fake_disk_fini(&d);
    }
    assert_true(nth > 20);
}

/* -------------------------------------------------------------------------------- folders ----- */

static void folders_are_found(void **state)
{
    static const struct {
        const char *given;
        int result;
        const char *found;
    } rows[] = {
        { "place/chappe", 0, "place/chappe" },
        { "place/chappe/", 0, "place/chappe" },
        { "place", 0, "place/chappe" },
        { "place//", 0, "place/chappe" },
        { "empty", -ENOENT, "" },
        { "nowhere", -ENOENT, "" },
    };
    struct fake_disk d;
    char found[64];
    fake_disk_init(&d, 1);
    assert_int_equal(d.files.make_folder(&d.files, "place"), 0);
    assert_int_equal(d.files.make_folder(&d.files, "empty"), 0);
    assert_int_equal(fake_disk_put(&d, "empty/mosquitto.log", BYTES("x")), 0);
    store_close(open_store(&d, "place/chappe", false));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(store_folder_find(&d.files, rows[i].given, found, sizeof found),
                         rows[i].result);
        if (rows[i].result == 0)
            assert_string_equal(found, rows[i].found);
    }
    assert_int_equal(store_folder_find(&d.files, "place/chappe", found, 5), -ENAMETOOLONG);
    fake_disk_fini(&d);
}

static void folders_are_measured(void **state)
{
    struct fake_disk d;
    struct store_folder_sizes sizes;
    make(&d, 7);
    assert_int_equal(store_folder_measure(&d.files, "old", &sizes), 0);
    assert_int_equal(sizes.segments, 3);
    assert_int_equal(sizes.segment_bytes, 3 * SEGMENT_SIZE);
    assert_true(sizes.spares > 0);
    assert_int_equal(sizes.spare_bytes, sizes.spares * SEGMENT_SIZE);
    fake_disk_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_has_all_that_was_committed),
        cmocka_unit_test(a_damaged_store_is_not_copied),
        cmocka_unit_test(a_copy_succeeds_or_says_why),
        cmocka_unit_test(what_is_good_is_all_kept),
        cmocka_unit_test(a_gap_between_batches),
        cmocka_unit_test(a_gap_at_the_end_of_a_segment),
        cmocka_unit_test(a_segment_without_its_header),
        cmocka_unit_test(a_segment_that_is_missing),
        cmocka_unit_test(a_segment_of_another_store),
        cmocka_unit_test(records_that_make_no_sense),
        cmocka_unit_test(a_client_with_two_sessions),
        cmocka_unit_test(groups_are_kept_with_their_queues),
        cmocka_unit_test(salvage_succeeds_or_says_why),
        cmocka_unit_test(folders_are_found),
        cmocka_unit_test(folders_are_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
