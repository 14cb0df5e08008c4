#include "store/naive_store.h"
#include "store/segment.h"

#include <xxhash.h>

enum { SMALL = 16 * 1024 };

struct world {
    struct fake_disk disk;
    struct store_options options;
    struct store *store;
    struct store_fault fault;
    struct buffer records;
};

static int open_store(struct world *w)
{
    int result = store_open(&w->options, &w->store, &w->fault);
    if (result < 0)
        w->store = NULL;
    return result;
}

static void start(struct world *w)
{
    *w = (struct world){ 0 };
    fake_disk_init(&w->disk, 1);
    w->options = (struct store_options){
        .files = &w->disk.files, .folder = "store", .id = 0x5555, .segment_size = SMALL
    };
    assert_int_equal(open_store(w), 0);
}

static void stop(struct world *w)
{
    store_close(w->store);
    buffer_fini(&w->records);
    fake_disk_fini(&w->disk);
}

static void open_again(struct world *w)
{
    store_close(w->store);
    assert_int_equal(open_store(w), 0);
}

static void power_loss(struct world *w)
{
    fake_disk_power_loss(&w->disk, 1);
    open_again(w);
}

static int add(struct world *w)
{
    int result = store_add(w->store, w->records.data, w->records.size);
    w->records.size = 0;
    return result;
}

static int add_entry(struct world *w, uint64_t queue, uint64_t seq, size_t size)
{
    static const uint8_t body[300000];
    struct bytes part = bytes_of(body, size);
    struct record_entry e = { queue, seq, BYTES("data") };
    assert_int_equal(record_append(&w->records, &e, 1, &part, 1), 0);
    return add(w);
}

static void append(struct world *w, uint64_t queue, uint64_t seq, size_t size)
{
    assert_int_equal(add_entry(w, queue, seq, size), 0);
}

static void finish(struct world *w, uint64_t queue, uint64_t seq)
{
    assert_int_equal(record_finish(&w->records, queue, seq), 0);
    assert_int_equal(add(w), 0);
}

static void commit(struct world *w)
{
    assert_int_equal(store_commit(w->store), 0);
}

static void clean_all(struct world *w)
{
    int result;
    while ((result = store_clean(w->store, 4096, false)) == 1)
        commit(w);
    assert_int_equal(result, 0);
    commit(w);
    assert_int_equal(store_clean(w->store, 4096, false), 0); /* what was copied goes */
    store_check(w->store);
}

/* The names in the folder, as one string, sorted. */
static struct buffer list_folder(const struct world *w)
{
    struct buffer names = { 0 }, text = { 0 };
    assert_int_equal(w->disk.files.list(&w->disk.files, "store", &names), 0);
    for (;;) {
        const char *least = NULL, *last = text.size == 0 ? "" : (char *)text.data;
        last = strrchr(last, ' ') == NULL ? last : strrchr(last, ' ') + 1;
        for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
            const char *name = (char *)names.data + at;
            if (strcmp(name, last) > 0 && (least == NULL || strcmp(name, least) < 0))
                least = name;
        }
        if (least == NULL)
            break;
        assert_int_equal(buffer_printf(&text, "%s%s", text.size == 0 ? "" : " ", least), 0);
        assert_int_equal(buffer_append(&text, bytes_of("", 1)), 0);
        text.size--;
    }
    buffer_fini(&names);
    return text;
}

static void expect_folder(const struct world *w, const char *expected)
{
    struct buffer names = list_folder(w);
    assert_string_equal((char *)names.data, expected);
    buffer_fini(&names);
}

/* ------------------------------------------------------------------------------- opening ------ */

static void a_new_store_is_made(void **state)
{
    struct world w;
    start(&w);
    expect_folder(&w, "0000000000000001.log 0000000000000002.spare 0000000000000003.spare lock");
    struct store_stats stats = store_stats(w.store);
    assert_int_equal(stats.segments, 1);
    assert_int_equal(stats.sequence, 0);
    assert_int_equal(store_batch_size(w.store), 0);
    commit(&w); /* nothing is fine */
    assert_int_equal(store_stats(w.store).batches_written, 0);
    power_loss(&w);
    assert_int_equal(store_stats(w.store).segments, 1);
    stop(&w);
}

static void only_one_may_write(void **state)
{
    struct world w;
    start(&w);
    append(&w, 1, 1, 10);
    commit(&w);
    struct store *second;
    struct store_fault fault;
    assert_int_equal(store_open(&w.options, &second, &fault), -EAGAIN);
    assert_string_equal(fault.text, "another broker uses it");
    assert_string_equal(fault.path, "store/lock");

    w.options.is_read_only = true; /* but others may look */
    assert_int_equal(store_open(&w.options, &second, &fault), 0);
    assert_int_equal(store_queue(second, 1).count, 1);
    store_check(second);
    store_close(second);
    w.options.is_read_only = false;
    open_again(&w);
    stop(&w);
}

static void who_only_reads_changes_nothing(void **state)
{
    struct world w = { 0 };
    fake_disk_init(&w.disk, 1);
    w.options = (struct store_options){ .files = &w.disk.files, .folder = "store" };
    w.options.is_read_only = true;
    assert_int_equal(open_store(&w), -ENOENT);
    struct buffer names = { 0 };
    assert_int_equal(w.disk.files.list(&w.disk.files, "store", &names), -ENOENT);

    assert_int_equal(w.disk.files.make_folder(&w.disk.files, "store"), 0);
    assert_int_equal(open_store(&w), -ENOENT);
    assert_int_equal(w.disk.files.list(&w.disk.files, "store", &names), 0);
    assert_int_equal(names.size, 0);
    buffer_fini(&names);
    stop(&w);
}

static void what_cannot_be_opened_is_left_alone(void **state)
{
    static const struct {
        uint64_t offset;
        int error;
    } rows[] = {
        { 8, -EPROTONOSUPPORT },                /* the version: the sum is made right below */
        { SEGMENT_FIRST_BATCH + 60, -EBADMSG }, /* the first of three batches */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world w;
        start(&w);
        for (uint64_t seq = 1; seq <= 3; seq++) {
            append(&w, 1, seq, 100);
            commit(&w);
        }
        store_close(w.store);
        const char *path = "store/0000000000000001.log";
        if (rows[i].error == -EPROTONOSUPPORT) {
            struct bytes file;
            assert_int_equal(fake_disk_file(&w.disk, path, &file), 0);
            struct buffer copy = { 0 };
            assert_int_equal(buffer_append(&copy, file), 0);
            copy.data[8] = 2;
            uint64_t sum = XXH3_64bits(copy.data, 40);
            memcpy(copy.data + 40, &sum, 8);
            assert_int_equal(fake_disk_put(&w.disk, path, buffer_bytes(&copy)), 0);
            buffer_fini(&copy);
        } else {
            fake_disk_flip_bit(&w.disk, path, rows[i].offset * 8);
        }
        struct buffer before = list_folder(&w);
        struct bytes file;
        assert_int_equal(fake_disk_file(&w.disk, path, &file), 0);
        uint64_t sum = XXH3_64bits(file.data, file.size);
        assert_int_equal(open_store(&w), rows[i].error);
        assert_string_equal(w.fault.path, path);
        expect_folder(&w, (char *)before.data);
        assert_int_equal(fake_disk_file(&w.disk, path, &file), 0);
        assert_int_equal(XXH3_64bits(file.data, file.size), sum);
        buffer_fini(&before);
        stop(&w);
    }
}

static void spares_that_were_left_are_used_or_removed(void **state)
{
    struct world w;
    start(&w);
    store_close(w.store);
    uint8_t zeros[100] = { 0 };
    assert_int_equal(fake_disk_put(&w.disk, "store/0000000000000009.spare", bytes_of(zeros, 100)),
                     0);
    assert_int_equal(fake_disk_put(&w.disk, "store/0000000000000002.spare", bytes_of(zeros, 100)),
                     0);
    assert_int_equal(open_store(&w), 0);
    expect_folder(&w, "0000000000000001.log 0000000000000002.spare 0000000000000003.spare lock");
    struct bytes file;
    assert_int_equal(fake_disk_file(&w.disk, "store/0000000000000002.spare", &file), 0);
    assert_int_equal(file.size, SMALL);
    stop(&w);
}

static void a_last_segment_without_a_header_is_made_anew(void **state)
{
    for (int is_only_one = 0; is_only_one < 2; is_only_one++) {
        struct world w;
        start(&w);
        append(&w, 1, 1, 100);
        commit(&w);
        store_close(w.store);
        uint8_t zeros[8192] = { 0 };
        if (is_only_one)
            assert_int_equal(w.disk.files.remove(&w.disk.files, "store/0000000000000001.log"), 0);
        assert_int_equal(
            fake_disk_put(&w.disk, "store/0000000000000002.log", bytes_of(zeros, 8192)), 0);
        assert_int_equal(open_store(&w), 0);
        assert_int_equal(store_queue(w.store, 1).count, !is_only_one);
        append(&w, 1, 2, 100);
        commit(&w);
        power_loss(&w);
        assert_int_equal(store_queue(w.store, 1).last, 2);
        assert_int_equal(store_stats(w.store).segments, is_only_one ? 1 : 2);
        stop(&w);
    }
}

/* Two batches are written and not synced, and only the second one reaches the disk.  A new one of
 * the size of the first in its place would bring it to life.  (It begins where zeros written ahead
 * of the first end: else they would have buried it.) */
static void what_nobody_promised_stays_away(void **state)
{
    enum { LARGE = 1024 * 1024, ZEROS_STEP = 256 * 1024 };
    struct world w;
    start(&w);
    store_close(w.store);
    w.options.folder = "large";
    w.options.segment_size = LARGE;
    assert_int_equal(open_store(&w), 0);
    size_t first = SEGMENT_FIRST_BATCH;
    size_t body =
        ZEROS_STEP - first - BATCH_HEADER_SIZE - RECORD_HEADER_SIZE - RECORD_ENTRY_SIZE - 4;
    append(&w, 1, 2, body);
    assert_int_equal(store_write(w.store), 0);
    append(&w, 1, 3, 100);
    assert_int_equal(store_write(w.store), 0);
    fake_disk_crash(&w.disk);
    store_close(w.store);
    const char *path = "large/0000000000000001.log";
    assert_int_equal(fake_disk_damage(&w.disk, path, first, ZEROS_STEP - first, 1), 0);
    assert_int_equal(open_store(&w), 0);
    assert_int_equal(store_queue(w.store, 1).count, 0);
    append(&w, 1, 9, body);
    commit(&w);
    open_again(&w);
    assert_int_equal(store_queue(w.store, 1).count, 1);
    assert_int_equal(store_queue(w.store, 1).last, 9);
    stop(&w);
}

static void note_progress(void *context, uint64_t bytes_read, uint64_t bytes_in_all)
{
    uint64_t *calls = context;
    assert_int_equal(bytes_read, *calls * SMALL);
    assert_int_equal(bytes_in_all, 4 * SMALL);
    ++*calls;
}

static void reading_tells_how_far_it_is(void **state)
{
    struct world w;
    start(&w);
    for (uint64_t seq = 1; store_stats(w.store).segments < 4; seq++)
        append(&w, 1, seq, 1000);
    commit(&w);
    uint64_t calls = 0;
    w.options.on_progress = note_progress;
    w.options.context = &calls;
    open_again(&w);
    assert_int_equal(calls, 4);
    stop(&w);
}

/* ------------------------------------------------------------------------------- writing ------ */

static void records_that_are_none_are_refused(void **state)
{
    struct world w;
    start(&w);
    assert_int_equal(record_finish(&w.records, 1, 1), 0);
    uint64_t zeros[3] = { 0 };
    assert_int_equal(buffer_append(&w.records, bytes_of(zeros, sizeof(zeros))), 0);
    assert_int_equal(add(&w), -EBADMSG);
    assert_int_equal(store_batch_size(w.store), 0);
    assert_int_equal(store_finish_first(w.store, 1, 0), -ENOENT);
    stop(&w);
}

static void a_large_batch_has_a_segment_of_its_size(void **state)
{
    struct world w;
    start(&w);
    append(&w, 1, 1, 100);
    append(&w, 1, 2, 50000);
    append(&w, 1, 3, 100);
    commit(&w);
    assert_int_equal(store_stats(w.store).segments, 3);
    struct bytes file;
    assert_int_equal(fake_disk_file(&w.disk, "store/0000000000000002.log", &file), 0);
    assert_true(file.size >= 50000 && file.size < 60000);
    power_loss(&w);
    assert_int_equal(store_queue(w.store, 1).count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_finish_first(w.store, 1, 0), 0);
    clean_all(&w); /* it goes; the other one is used again */
    expect_folder(&w, "0000000000000003.log 0000000000000004.spare 0000000000000005.spare "
                      "0000000000000006.spare keep lock");
    stop(&w);
}

static void after_a_failed_sync_nothing_more_is_written(void **state)
{
    struct world w;
    start(&w);
    append(&w, 1, 1, 100);
    assert_int_equal(store_write(w.store), 0);
    fake_disk_fail_at(&w.disk, 1, EIO);
    assert_int_equal(store_sync(w.store), -EIO);
    uint64_t calls = fake_disk_calls(&w.disk);
    assert_int_equal(add_entry(&w, 1, 2, 10), -EIO);
    assert_int_equal(store_finish_first(w.store, 1, 0), -EIO);
    assert_int_equal(store_commit(w.store), -EIO);
    assert_int_equal(store_clean(w.store, 1000, false), -EIO);
    assert_int_equal(store_room(w.store), 0);
    assert_int_equal(fake_disk_calls(&w.disk), calls);
    stop(&w);
}

/* Where the sync failed, the machine shows what is not on the disk.  It is written again. */
static void what_is_read_is_on_the_disk(void **state)
{
    struct world w;
    start(&w);
    append(&w, 1, 1, 100);
    assert_int_equal(store_write(w.store), 0);
    fake_disk_fail_at(&w.disk, 1, EIO);
    assert_int_equal(store_sync(w.store), -EIO);
    fake_disk_crash(&w.disk);
    open_again(&w);
    uint64_t count = store_queue(w.store, 1).count;
    power_loss(&w);
    assert_int_equal(store_queue(w.store, 1).count, count);
    stop(&w);
}

/* -------------------------------------------------------------------- room and cleaning ------- */

static uint64_t bytes_of_segments(const struct world *w)
{
    uint64_t sum = 0;
    struct buffer names = { 0 };
    assert_int_equal(w->disk.files.list(&w->disk.files, "store", &names), 0);
    for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
        uint64_t number;
        struct bytes file;
        char path[64];
        if (!segment_name_parse((char *)names.data + at, SEGMENT_LOG, &number))
            continue;
        assert_int_equal(segment_path("store", number, SEGMENT_LOG, path, sizeof(path)), 0);
        assert_int_equal(fake_disk_file(&w->disk, path, &file), 0);
        sum += file.size;
    }
    buffer_fini(&names);
    return sum;
}

/* A queue that is always about as long, one entry that stays in every hundred, and a key that is
 * put again and again. */
static void the_log_stays_as_large_as_what_is_live(void **state)
{
    enum { LENGTH = 200, SIZE = 300, ROUNDS = 6000 };
    struct world w;
    start(&w);
    uint64_t live = 0, stay = 0;
    for (uint64_t seq = 1; seq <= ROUNDS; seq++) {
        append(&w, 1, seq, SIZE);
        assert_int_equal(record_put(&w.records, BYTES("skey"), bytes_of(&seq, sizeof(seq))), 0);
        assert_int_equal(add(&w), 0);
        if (seq > LENGTH && (seq - LENGTH) % 100 != 0)
            finish(&w, 1, seq - LENGTH);
        else if (seq > LENGTH)
            stay++;
        if (seq % 10 == 0) {
            commit(&w);
            while (store_clean(w.store, 2000, false) == 1)
                commit(&w);
        }
        live = (stay + (seq < LENGTH ? seq : LENGTH)) * (24 + 24 + SIZE + 4);
        assert_true(bytes_of_segments(&w) <= 2 * live + 4 * SMALL + 3 * SMALL);
    }
    struct store_stats stats = store_stats(w.store);
    assert_true(stats.segments_recycled > 50);
    assert_true(stats.bytes_copied < stats.bytes_written / 2);
    commit(&w);
    power_loss(&w);
    assert_int_equal(store_queue(w.store, 1).count, LENGTH + stay);
    assert_int_equal(store_queue(w.store, 1).first, 100);
    stop(&w);
}

static void a_backup_keeps_segments(void **state)
{
    struct world w;
    start(&w);
    uint64_t seq = 1;
    for (; store_stats(w.store).segments < 12; seq++) {
        append(&w, 1, seq, 1000);
        finish(&w, 1, seq);
    }
    commit(&w);
    struct file *keep;
    assert_int_equal(w.disk.files.open(&w.disk.files, "store/keep", FILE_CREATE, &keep), 0);
    assert_int_equal(keep->ops->lock(keep, FILE_LOCK_SHARED), 0);
    clean_all(&w);
    assert_int_equal(store_stats(w.store).segments, 12);
    keep->ops->close(keep);
    clean_all(&w);
    assert_int_equal(store_stats(w.store).segments, 1);
    stop(&w);
}

static void a_full_disk_is_drained(void **state)
{
    struct world w;
    start(&w);
    w.options.reserve = 3 * SMALL;
    open_again(&w);
    fake_disk_set_capacity(&w.disk, 40 * SMALL);
    uint64_t seq = 1;
    for (; store_room(w.store) > 2000; seq++) {
        append(&w, 1, seq, 1000);
        commit(&w);
    }
    assert_true(seq > 30 * 8);                   /* most of it was used */
    fake_disk_set_capacity(&w.disk, 20 * SMALL); /* somebody else takes what is left, and more */
    while (store_finish_first(w.store, 1, 0) == 0) {
        commit(&w);
        assert_true(store_clean(w.store, 4000, false) >= 0);
    }
    assert_int_equal(store_queue(w.store, 1).count, 0);
    clean_all(&w);
    assert_true(store_room(w.store) > 10 * SMALL); /* back by itself */
    append(&w, 1, seq, 1000);
    commit(&w);
    power_loss(&w);
    assert_int_equal(store_queue(w.store, 1).first, seq);
    stop(&w);
}

static void copying_leaves_a_spare_for_finishing(void **state)
{
    struct world w;
    start(&w);
    for (uint64_t seq = 1; seq <= 300; seq++) {
        append(&w, 1 + seq % 2, seq, 1000);
        if (seq % 2 == 1 && seq > 2)
            finish(&w, 2, seq); /* half of everything is dead */
        if (seq % 20 == 5)
            append(&w, 1, seq + 1000, 10);
    }
    for (uint64_t seq = 2; seq <= 300; seq += 4)
        finish(&w, 1, seq);
    commit(&w);
    fake_disk_set_capacity(&w.disk, 0);
    struct file *keep; /* nothing comes back, so copying must end at some time */
    assert_int_equal(w.disk.files.open(&w.disk.files, "store/keep", FILE_CREATE, &keep), 0);
    assert_int_equal(keep->ops->lock(keep, FILE_LOCK_SHARED), 0);
    clean_all(&w);
    assert_int_equal(store_finish_first(w.store, 1, 0), 0);
    commit(&w);
    keep->ops->close(keep);
    fake_disk_set_capacity(&w.disk, UINT64_MAX);
    clean_all(&w);
    stop(&w);
}

/* ------------------------------------------------------------------------------- reading ------ */

static void a_bad_record_is_told_and_passed(void **state)
{
    struct world w;
    start(&w);
    uint32_t thing = 7;
    struct bytes body = naive_body(thing);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct record_entry e = { 2, seq, bytes_of(&thing, sizeof(thing)) };
        assert_int_equal(record_append(&w.records, &e, 1, &body, 1), 0);
        assert_int_equal(add(&w), 0);
    }
    free((void *)(uintptr_t)body.data);
    commit(&w);
    struct naive found;
    assert_int_equal(naive_read(w.store, &found), 0);
    open_again(&w);               /* nothing of it is at hand */
    size_t record = 24 + 24 + 12; /* and 4 of padding */
    fake_disk_flip_bit(&w.disk, "store/0000000000000001.log",
                       (SEGMENT_FIRST_BATCH + BATCH_HEADER_SIZE + record / 8 * 8 + 8 + 50) * 8);
    assert_int_equal(naive_read(w.store, &found), 1);
    assert_int_equal(found.entries[2][1], thing);
    assert_int_equal(found.entries[2][2], 0);
    assert_int_equal(found.entries[2][3], thing);
    stop(&w);
}

static bool stop_at_once(struct store_reader *reader, uint64_t seq, struct bytes data,
                         struct bytes body)
{
    struct naive_reading *r = container_of(reader, struct naive_reading, reader);
    r->next = seq;
    return false;
}

static void reading_starts_and_stops_where_it_is_told(void **state)
{
    struct world w;
    start(&w);
    for (uint64_t seq = 10; seq <= 50; seq += 10)
        append(&w, 3, seq, 100);
    commit(&w);
    append(&w, 3, 60, 100);
    struct naive_reading r = { .reader = { stop_at_once, naive_on_damaged } };
    static const uint64_t rows[][2] = { { 0, 10 }, { 10, 10 }, { 11, 20 }, { 50, 50 }, { 51, 0 } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        r.next = 0;
        assert_int_equal(store_read_queue(w.store, 3, rows[i][0], &r.reader), 0);
        assert_int_equal(r.next, rows[i][1]);
    }
    stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_store_is_made),
        cmocka_unit_test(only_one_may_write),
        cmocka_unit_test(who_only_reads_changes_nothing),
        cmocka_unit_test(what_cannot_be_opened_is_left_alone),
        cmocka_unit_test(spares_that_were_left_are_used_or_removed),
        cmocka_unit_test(a_last_segment_without_a_header_is_made_anew),
        cmocka_unit_test(what_nobody_promised_stays_away),
        cmocka_unit_test(reading_tells_how_far_it_is),
        cmocka_unit_test(records_that_are_none_are_refused),
        cmocka_unit_test(a_large_batch_has_a_segment_of_its_size),
        cmocka_unit_test(after_a_failed_sync_nothing_more_is_written),
        cmocka_unit_test(what_is_read_is_on_the_disk),
        cmocka_unit_test(the_log_stays_as_large_as_what_is_live),
        cmocka_unit_test(a_backup_keeps_segments),
        cmocka_unit_test(a_full_disk_is_drained),
        cmocka_unit_test(copying_leaves_a_spare_for_finishing),
        cmocka_unit_test(a_bad_record_is_told_and_passed),
        cmocka_unit_test(reading_starts_and_stops_where_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
