/* base/fake_disk_test.c: a disk that keeps what was synced and may lose the rest. */
#include "base/fake_disk.h"
#include "base/memory.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SECTOR = FAKE_DISK_SECTOR, SEEDS = 500 };

static uint32_t next_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

static const struct files *door(struct fake_disk *d)
{
    return &d->files;
}

static struct file *open_file(struct fake_disk *d, const char *path, enum file_open how)
{
    struct file *f;
    assert_int_equal(door(d)->open(door(d), path, how, &f), 0);
    return f;
}

static void write_text(struct file *f, const char *text, uint64_t offset)
{
    assert_int_equal(f->ops->write_at(f, bytes_of_string(text), offset), 0);
}

static void sync_file(struct file *f)
{
    assert_int_equal(f->ops->sync(f), 0);
}

static void sync_folder(struct fake_disk *d, const char *path)
{
    assert_int_equal(door(d)->sync_folder(door(d), path), 0);
}

static void assert_file(const struct fake_disk *d, const char *path, const char *text)
{
    struct bytes bytes;
    assert_int_equal(fake_disk_file(d, path, &bytes), 0);
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.size);
}

static bool is_there(const struct fake_disk *d, const char *path)
{
    struct bytes bytes;
    return fake_disk_file(d, path, &bytes) == 0;
}

/* A disk with the folder "s", for certain. */
static void disk_init(struct fake_disk *d, uint64_t seed)
{
    fake_disk_init(d, seed);
    assert_int_equal(door(d)->make_folder(door(d), "s"), 0);
    sync_folder(d, ".");
}

/* ------------------------------------------------------------------------------ the door ------ */

static void test_reads_what_was_written(void **state)
{
    struct fake_disk d;
    disk_init(&d, 1);
    struct file *f = open_file(&d, "s/a", FILE_CREATE);
    char out[16] = { 0 };
    assert_int_equal(f->ops->read_at(f, out, sizeof out, 0), 0);
    write_text(f, "hello", 2);
    assert_int_equal(f->ops->size(f), 7);
    assert_int_equal(f->ops->read_at(f, out, 4, 0), 4);
    assert_memory_equal(out, "\0\0he", 4);
    assert_int_equal(f->ops->read_at(f, out, sizeof out, 4), 3);
    assert_memory_equal(out, "llo", 3);
    assert_int_equal(f->ops->read_at(f, out, sizeof out, 7), 0);
    assert_int_equal(f->ops->read_at(f, out, sizeof out, UINT64_MAX), 0);

    assert_int_equal(f->ops->reserve(f, 3), 0); /* it is longer already */
    assert_int_equal(f->ops->reserve(f, 9), 0);
    assert_int_equal(f->ops->size(f), 9);
    struct buffer whole;
    buffer_init(&whole);
    assert_int_equal(door(&d)->read(door(&d), "s/a", &whole), 0);
    assert_int_equal(whole.size, 9);
    assert_memory_equal(whole.data, "\0\0hello\0\0", 9);
    buffer_fini(&whole);

    assert_int_equal(f->ops->write_at(f, BYTES("x"), FAKE_DISK_FILE_MAX), -EFBIG);
    assert_int_equal(f->ops->write_at(f, BYTES("x"), UINT64_MAX), -EFBIG);
    assert_int_equal(f->ops->reserve(f, FAKE_DISK_FILE_MAX + UINT64_C(1)), -EFBIG);
    f->ops->close(f);
    f = open_file(&d, "s/a", FILE_READ);
    assert_int_equal(f->ops->write_at(f, BYTES("x"), 0), -EBADF);
    assert_int_equal(f->ops->reserve(f, 100), -EBADF);
    f->ops->close(f);
    fake_disk_check(&d);
    fake_disk_fini(&d);
}

enum action { READ, LIST, OPEN_READ, OPEN_WRITE, OPEN_CREATE, FOLDER, RENAME, REMOVE, SYNC, SPACE };

static int act(struct fake_disk *d, enum action action, const char *path, const char *to)
{
    struct buffer out;
    struct file *f = NULL;
    uint64_t bytes;
    bool is_network;
    int error = 0;
    buffer_init(&out);
    switch (action) {
    case READ:
        error = door(d)->read(door(d), path, &out);
        break;
    case LIST:
        error = door(d)->list(door(d), path, &out);
        break;
    case OPEN_READ:
    case OPEN_WRITE:
    case OPEN_CREATE:
        error = door(d)->open(door(d), path, (enum file_open)(action - OPEN_READ), &f);
        break;
    case FOLDER:
        error = door(d)->make_folder(door(d), path);
        break;
    case RENAME:
        error = door(d)->rename(door(d), path, to);
        break;
    case REMOVE:
        error = door(d)->remove(door(d), path);
        break;
    case SYNC:
        error = door(d)->sync_folder(door(d), path);
        break;
    case SPACE:
        error = door(d)->space(door(d), path, &bytes, &is_network);
        break;
    }
    if (f != NULL)
        f->ops->close(f);
    buffer_fini(&out);
    return error;
}

static void test_names(void **state)
{
    static const struct {
        enum action action;
        const char *path, *to;
        int result;
    } rows[] = {
        /* on a disk with s/a, s/b and the folder t */
        { READ, "s/a", NULL, 0 },
        { READ, "s/none", NULL, -ENOENT },
        { READ, "s", NULL, -EISDIR },
        { LIST, "s/", NULL, 0 },
        { LIST, ".", NULL, 0 },
        { LIST, "/", NULL, 0 },
        { LIST, "none", NULL, -ENOENT },
        { LIST, "s/a", NULL, -ENOTDIR },
        { OPEN_READ, "s/none", NULL, -ENOENT },
        { OPEN_WRITE, "s/none", NULL, -ENOENT },
        { OPEN_CREATE, "s/none", NULL, 0 },
        { OPEN_CREATE, "s/a", NULL, 0 },
        { OPEN_CREATE, "none/a", NULL, -ENOENT },
        { OPEN_CREATE, "s/a/b", NULL, -ENOENT },
        { OPEN_CREATE, "", NULL, -ENOENT },
        { OPEN_CREATE, "s", NULL, -EISDIR },
        { FOLDER, "s/", NULL, -EEXIST },
        { FOLDER, "s/a", NULL, -EEXIST },
        { FOLDER, "/", NULL, -EEXIST },
        { FOLDER, "none/x", NULL, -ENOENT },
        { FOLDER, "s/x", NULL, 0 },
        { FOLDER, "/x", NULL, 0 },
        { RENAME, "s/a", "s/c", 0 },
        { RENAME, "s/a", "s/a", 0 },
        { RENAME, "s/a", "s/b", 0 },
        { RENAME, "s/none", "s/b", -ENOENT },
        { RENAME, "s/a", "t/a", -EXDEV },
        { RENAME, "s/a", "none/a", -ENOENT },
        { RENAME, "s/a", "t", -EISDIR },
        { RENAME, "t", "u", -EISDIR },
        { REMOVE, "s/a", NULL, 0 },
        { REMOVE, "s/none", NULL, -ENOENT },
        { REMOVE, "t", NULL, -EISDIR },
        { SYNC, "s", NULL, 0 },
        { SYNC, "s/a", NULL, -ENOTDIR },
        { SYNC, "none", NULL, -ENOENT },
        { SPACE, "s/a", NULL, 0 },
        { SPACE, "none", NULL, -ENOENT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake_disk d;
        disk_init(&d, i);
        assert_int_equal(door(&d)->make_folder(door(&d), "t"), 0);
        assert_int_equal(fake_disk_put(&d, "s/a", BYTES("A")), 0);
        assert_int_equal(fake_disk_put(&d, "s/b", BYTES("B")), 0);
        assert_int_equal(act(&d, rows[i].action, rows[i].path, rows[i].to), rows[i].result);
        fake_disk_check(&d);
        fake_disk_fini(&d);
    }
}

static void test_rename_replaces(void **state)
{
    struct fake_disk d;
    disk_init(&d, 1);
    assert_int_equal(fake_disk_put(&d, "s/a", BYTES("A")), 0);
    assert_int_equal(fake_disk_put(&d, "s/b", BYTES("B")), 0);
    struct file *f = open_file(&d, "s/b", FILE_WRITE);
    assert_int_equal(door(&d)->rename(door(&d), "s/a", "s/b"), 0);
    assert_file(&d, "s/b", "A");
    assert_false(is_there(&d, "s/a"));
    char c;
    assert_int_equal(f->ops->read_at(f, &c, 1, 0), 1); /* who has it open still has it */
    assert_int_equal(c, 'B');
    f->ops->close(f);

    struct buffer names;
    buffer_init(&names);
    assert_int_equal(door(&d)->list(door(&d), "s", &names), 0);
    assert_int_equal(names.size, 2);
    assert_memory_equal(names.data, "b", 2);
    buffer_fini(&names);
    fake_disk_check(&d);
    fake_disk_fini(&d);
}

static void test_locks(void **state)
{
    const enum file_lock EX = FILE_LOCK_EXCLUSIVE;
    static const struct {
        enum file_lock first, second;
        int result;
    } rows[] = {
        { FILE_LOCK_SHARED, FILE_LOCK_SHARED, 0 },
        { FILE_LOCK_SHARED, FILE_LOCK_EXCLUSIVE, -EAGAIN },
        { FILE_LOCK_EXCLUSIVE, FILE_LOCK_SHARED, -EAGAIN },
        { FILE_LOCK_EXCLUSIVE, FILE_LOCK_EXCLUSIVE, -EAGAIN },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake_disk d;
        disk_init(&d, 1);
        struct file *a = open_file(&d, "s/lock", FILE_CREATE);
        struct file *b = open_file(&d, "s/lock", FILE_WRITE);
        struct file *other = open_file(&d, "s/other", FILE_CREATE);
        assert_int_equal(a->ops->lock(a, rows[i].first), 0);
        assert_int_equal(a->ops->lock(a, rows[i].first), 0); /* its own is not in the way */
        assert_int_equal(b->ops->lock(b, rows[i].second), rows[i].result);
        assert_int_equal(other->ops->lock(other, EX), 0);
        a->ops->close(a);
        assert_int_equal(b->ops->lock(b, EX), 0);

        struct file *reader = open_file(&d, "s/other", FILE_READ);
        assert_int_equal(reader->ops->lock(reader, EX), -EBADF); /* as with Linux */
        fake_disk_crash(&d);
        a = open_file(&d, "s/lock", FILE_WRITE);
        assert_int_equal(a->ops->lock(a, EX), 0);
        a->ops->close(a);
        b->ops->close(b);
        other->ops->close(other);
        reader->ops->close(reader);
        fake_disk_fini(&d);
    }
}

/* ------------------------------------------------------------------------------- losing ------- */

static void test_crash_keeps_what_was_written(void **state)
{
    struct fake_disk d;
    char c;
    disk_init(&d, 1);
    struct file *f = open_file(&d, "s/a", FILE_CREATE);
    write_text(f, "hello", 0);
    fake_disk_crash(&d);
    assert_file(&d, "s/a", "hello");
    assert_int_equal(f->ops->read_at(f, &c, 1, 0), -EBADF);
    assert_int_equal(f->ops->write_at(f, BYTES("x"), 0), -EBADF);
    assert_int_equal(f->ops->sync(f), -EBADF);
    assert_int_equal(f->ops->reserve(f, 9), -EBADF);
    assert_int_equal(f->ops->size(f), -EBADF);
    assert_int_equal(f->ops->lock(f, FILE_LOCK_SHARED), -EBADF);
    fake_disk_crash(&d); /* once more, with a dead file */
    f->ops->close(f);
    fake_disk_check(&d);
    fake_disk_fini(&d);
}

/* What is in a file of three sectors that were 'a' and were overwritten with 'b' and then 'c':
 * every sector is whole, and everything that may happen does. */
static void test_unsynced_sectors(void **state)
{
    static uint8_t a[3 * SECTOR], b[3 * SECTOR], c[3 * SECTOR];
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    memset(c, 'c', sizeof c);
    int seen[27] = { 0 };
    for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
        struct fake_disk d;
        struct bytes bytes;
        disk_init(&d, seed);
        assert_int_equal(fake_disk_put(&d, "s/f", bytes_of(a, sizeof a)), 0);
        struct file *f = open_file(&d, "s/f", FILE_WRITE);
        assert_int_equal(f->ops->write_at(f, bytes_of(b, sizeof b), 0), 0);
        assert_int_equal(f->ops->write_at(f, bytes_of(c, sizeof c), 0), 0);
        fake_disk_power_loss(&d, seed);
        fake_disk_check(&d);
        f->ops->close(f);
        assert_int_equal(fake_disk_file(&d, "s/f", &bytes), 0);
        assert_int_equal(bytes.size, sizeof a);
        int outcome = 0;
        for (size_t i = 0; i < sizeof a; i++)
            assert_int_equal(bytes.data[i], bytes.data[i / SECTOR * SECTOR]);
        for (size_t i = 0; i < 3; i++)
            outcome = outcome * 3 + bytes.data[i * SECTOR] - 'a';
        assert_in_range(outcome, 0, 26);
        seen[outcome]++;
        fake_disk_fini(&d);
    }
    for (int i = 0; i < 27; i++)
        assert_true(seen[i] > 0);
}

static void test_unsynced_size(void **state)
{
    int seen_old = 0, seen_new = 0, seen_between = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fake_disk d;
        struct bytes bytes;
        disk_init(&d, seed);
        assert_int_equal(fake_disk_put(&d, "s/f", BYTES("old")), 0);
        struct file *f = open_file(&d, "s/f", FILE_WRITE);
        assert_int_equal(f->ops->reserve(f, 5 * SECTOR), 0);
        write_text(f, "new", 3);
        fake_disk_power_loss(&d, seed);
        fake_disk_check(&d);
        f->ops->close(f);
        assert_int_equal(fake_disk_file(&d, "s/f", &bytes), 0);
        assert_in_range(bytes.size, 3, 5 * SECTOR);
        assert_memory_equal(bytes.data, "old", 3);
        seen_old += bytes.size == 3;
        seen_new += bytes.size == 5 * SECTOR;
        seen_between += bytes.size > 3 && bytes.size < 5 * SECTOR;

        f = open_file(&d, "s/f", FILE_WRITE); /* what was beyond the end does not come back */
        assert_int_equal(f->ops->reserve(f, 5 * SECTOR), 0);
        f->ops->close(f);
        assert_int_equal(fake_disk_file(&d, "s/f", &bytes), 0);
        for (size_t i = 6; i < bytes.size; i++)
            assert_int_equal(bytes.data[i], 0);
        fake_disk_fini(&d);
    }
    assert_true(seen_old > 0 && seen_new > 0 && seen_between > 0);
}

static void test_synced_is_kept(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fake_disk d;
        disk_init(&d, seed);
        struct file *f = open_file(&d, "s/f", FILE_CREATE);
        write_text(f, "hello", 0);
        sync_file(f);
        f->ops->close(f);
        sync_folder(&d, "s");
        fake_disk_power_loss(&d, seed);
        assert_file(&d, "s/f", "hello");
        fake_disk_check(&d);
        fake_disk_fini(&d);
    }
}

/* A new file replaces an old one, in the order of the book: old or new, nothing else; and both are
 * seen.  Without the sync before the rename the new name may have nothing in it. */
static void test_rename_is_whole(void **state)
{
    static const bool is_synced[] = { false, true };
    for (size_t row = 0; row < 2; row++) {
        int seen_old = 0, seen_new = 0, seen_empty = 0, seen_leftover = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct fake_disk d;
            struct bytes bytes;
            disk_init(&d, seed);
            assert_int_equal(fake_disk_put(&d, "s/f", BYTES("old")), 0);
            struct file *f = open_file(&d, "s/f.new", FILE_CREATE);
            write_text(f, "new", 0);
            if (is_synced[row])
                sync_file(f);
            f->ops->close(f);
            assert_int_equal(door(&d)->rename(door(&d), "s/f.new", "s/f"), 0);
            fake_disk_power_loss(&d, seed);
            fake_disk_check(&d);
            assert_int_equal(fake_disk_file(&d, "s/f", &bytes), 0);
            bool is_old = bytes_equal(bytes, BYTES("old"));
            seen_old += is_old;
            seen_new += bytes_equal(bytes, BYTES("new"));
            seen_empty += bytes.size == 0;
            seen_leftover += is_there(&d, "s/f.new");
            assert_true(is_old || !is_there(&d, "s/f.new"));
            fake_disk_fini(&d);
        }
        assert_true(seen_old > 0 && seen_new > 0 && seen_leftover > 0);
        assert_int_equal(seen_empty > 0, !is_synced[row]);
        assert_int_equal(seen_old + seen_new == SEEDS, is_synced[row]);
    }
}

/* Changes of different names get through in any order, those of one name in theirs. */
static void test_unsynced_names(void **state)
{
    int seen[2][2] = { { 0 } }, back = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fake_disk d;
        disk_init(&d, seed);
        assert_int_equal(fake_disk_put(&d, "s/gone", BYTES("x")), 0);
        assert_int_equal(act(&d, OPEN_CREATE, "s/a", NULL), 0);
        assert_int_equal(act(&d, OPEN_CREATE, "s/b", NULL), 0);
        assert_int_equal(act(&d, REMOVE, "s/gone", NULL), 0);
        assert_false(is_there(&d, "s/gone"));
        fake_disk_power_loss(&d, seed);
        fake_disk_check(&d);
        seen[is_there(&d, "s/a")][is_there(&d, "s/b")]++;
        back += is_there(&d, "s/gone");
        if (is_there(&d, "s/gone"))
            assert_file(&d, "s/gone", "x");
        fake_disk_fini(&d);
    }
    assert_true(seen[0][0] > 0 && seen[0][1] > 0 && seen[1][0] > 0 && seen[1][1] > 0);
    assert_in_range(back, 1, SEEDS - 1);
}

/* A file in a folder that did not get through is not there, whatever was synced in it. */
static void test_unsynced_folder(void **state)
{
    int there = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fake_disk d;
        fake_disk_init(&d, seed);
        assert_int_equal(act(&d, FOLDER, "/s", NULL), 0);
        assert_int_equal(act(&d, FOLDER, "/s/t", NULL), 0);
        sync_folder(&d, "/s");
        assert_int_equal(fake_disk_put(&d, "/s/t/f", BYTES("x")), 0);
        fake_disk_power_loss(&d, seed);
        fake_disk_check(&d);
        there += is_there(&d, "/s/t/f");
        assert_int_equal(act(&d, LIST, "/s/t", NULL), is_there(&d, "/s/t/f") ? 0 : -ENOENT);
        fake_disk_fini(&d);
    }
    assert_in_range(there, 1, SEEDS - 1);
}

/* ------------------------------------------------------------------------------ failing ------- */

static void test_failing_write(void **state)
{
    int seen_nothing = 0, seen_part = 0, seen_all = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct fake_disk d;
        struct bytes bytes;
        disk_init(&d, seed);
        struct file *f = open_file(&d, "s/f", FILE_CREATE);
        fake_disk_fail_at(&d, 2, EIO);
        write_text(f, "one ", 0);
        assert_int_equal(f->ops->write_at(f, BYTES("two"), 4), -EIO);
        assert_int_equal(fake_disk_file(&d, "s/f", &bytes), 0);
        assert_true(bytes_start_with(BYTES("one two"), bytes));
        seen_nothing += bytes.size == 4;
        seen_part += bytes.size == 5 || bytes.size == 6;
        seen_all += bytes.size == 7;
        write_text(f, "two", 4); /* only that one fails */
        f->ops->close(f);
        fake_disk_fini(&d);
    }
    assert_true(seen_nothing > 0 && seen_part > 0 && seen_all > 0);
}

/* After a failed sync a later one proves nothing; writing again does. */
static void test_failing_sync(void **state)
{
    enum { LATER_SYNC, WRITE_AGAIN, CRASH, WAYS };
    int kept[WAYS] = { 0 };
    for (uint64_t seed = 0; seed < WAYS * SEEDS; seed++) {
        int way = (int)(seed % WAYS);
        struct fake_disk d;
        disk_init(&d, seed);
        assert_int_equal(fake_disk_put(&d, "s/f", BYTES("old")), 0);
        struct file *f = open_file(&d, "s/f", FILE_WRITE);
        write_text(f, "new", 0);
        fake_disk_fail_at(&d, 1, EIO);
        assert_int_equal(f->ops->sync(f), -EIO);
        assert_file(&d, "s/f", "new"); /* it looks fine */
        if (way == WRITE_AGAIN)
            write_text(f, "new", 0);
        sync_file(f);
        fake_disk_check(&d);
        if (way == CRASH)
            fake_disk_crash(&d);
        else
            fake_disk_power_loss(&d, seed);
        fake_disk_check(&d);
        struct bytes bytes;
        assert_int_equal(fake_disk_file(&d, "s/f", &bytes), 0);
        bool is_new = bytes_equal(bytes, BYTES("new"));
        assert_true(is_new || bytes_equal(bytes, BYTES("old")));
        kept[way] += is_new;
        f->ops->close(f);
        fake_disk_fini(&d);
    }
    assert_in_range(kept[LATER_SYNC], 1, SEEDS - 1);
    assert_int_equal(kept[WRITE_AGAIN], SEEDS);
    assert_in_range(kept[CRASH], 1, SEEDS - 1);
}

/* A scene with every call in it; the first failure ends it. */
static int scene(struct fake_disk *d)
{
    struct file *f = NULL;
    char out[8];
    uint64_t bytes;
    bool is_network;
    struct buffer text;
    buffer_init(&text);
    int error = door(d)->make_folder(door(d), "s");
    if (error == 0)
        error = door(d)->open(door(d), "s/f.new", FILE_CREATE, &f);
    if (error == 0)
        error = f->ops->lock(f, FILE_LOCK_EXCLUSIVE);
    if (error == 0)
        error = f->ops->reserve(f, 10000);
    if (error == 0)
        error = f->ops->write_at(f, BYTES("hello"), 9998);
    if (error == 0)
        error = f->ops->sync(f);
    if (error == 0)
        error = (int)f->ops->read_at(f, out, sizeof out, 9998) == 5 ? 0 : -EIO;
    if (error == 0)
        error = f->ops->size(f) == 10003 ? 0 : -EIO;
    if (error == 0)
        error = door(d)->rename(door(d), "s/f.new", "s/f");
    if (error == 0)
        error = door(d)->sync_folder(door(d), "s");
    if (error == 0)
        error = door(d)->read(door(d), "s/f", &text);
    if (error == 0)
        error = door(d)->list(door(d), "s", &text);
    if (error == 0)
        error = door(d)->space(door(d), "s", &bytes, &is_network);
    if (error == 0)
        error = door(d)->remove(door(d), "s/f");
    if (f != NULL)
        f->ops->close(f);
    buffer_fini(&text);
    return error;
}

static void test_every_call_fails(void **state)
{
    struct fake_disk d;
    fake_disk_init(&d, 1);
    assert_int_equal(scene(&d), 0);
    uint64_t calls = fake_disk_calls(&d);
    assert_int_equal(calls, 14);
    fake_disk_fini(&d);
    for (uint64_t n = 1; n <= calls + 1; n++) {
        fake_disk_init(&d, n);
        fake_disk_fail_at(&d, n, EIO);
        assert_int_equal(scene(&d), n <= calls ? -EIO : 0);
        assert_int_equal(fake_disk_calls(&d), n <= calls ? n : calls);
        fake_disk_check(&d);
        fake_disk_fini(&d);
    }
}

static void test_every_allocation_fails(void **state)
{
    for (uint64_t n = 1;; n++) {
        struct fake_disk d, copy;
        fake_disk_init(&d, n);
        (void)memory_fail_at(n);
        int error = scene(&d);
        if (error == 0)
            error = fake_disk_put(&d, "s/g", BYTES("x"));
        if (error == 0)
            error = fake_disk_copy(&copy, &d);
        if (error == 0)
            fake_disk_fini(&copy);
        bool is_over = memory_fail_at(0) < n;
        fake_disk_check(&d);
        assert_int_equal(error, is_over ? 0 : -ENOMEM);
        int again = scene(&d); /* nothing was half made */
        assert_true(again == 0 || again == -EEXIST);
        fake_disk_check(&d);
        fake_disk_fini(&d);
        if (is_over)
            break;
    }
}

static void test_capacity(void **state)
{
    struct fake_disk d;
    uint64_t bytes;
    bool is_network;
    disk_init(&d, 1);
    assert_int_equal(door(&d)->space(door(&d), "s", &bytes, &is_network), 0);
    assert_int_equal(bytes, FAKE_DISK_CAPACITY);
    fake_disk_set_capacity(&d, 1000);
    struct file *f = open_file(&d, "s/f", FILE_CREATE);
    assert_int_equal(f->ops->reserve(f, 1001), -ENOSPC);
    assert_int_equal(f->ops->size(f), 0);
    assert_int_equal(f->ops->reserve(f, 998), 0);
    write_text(f, "in it", 990);
    assert_int_equal(f->ops->write_at(f, BYTES("hello"), 997), -ENOSPC);
    assert_int_equal(f->ops->size(f), 1000); /* what had room */
    assert_int_equal(f->ops->write_at(f, BYTES("x"), 5000), -ENOSPC);
    assert_int_equal(f->ops->size(f), 1000);
    write_text(f, "over it", 990);

    d.is_network = true;
    assert_int_equal(door(&d)->space(door(&d), "s", &bytes, &is_network), 0);
    assert_int_equal(bytes, 0);
    assert_true(is_network);
    assert_int_equal(act(&d, REMOVE, "s/f", NULL), 0);
    struct file *g = open_file(&d, "s/g", FILE_CREATE);
    assert_int_equal(g->ops->reserve(g, 1), -ENOSPC); /* the other is still open */
    f->ops->close(f);
    assert_int_equal(g->ops->reserve(g, 1000), 0);
    fake_disk_set_capacity(&d, 10);
    assert_int_equal(door(&d)->space(door(&d), "s", &bytes, &is_network), 0);
    assert_int_equal(bytes, 0);
    g->ops->close(g);
    fake_disk_fini(&d);
}

static void test_damage(void **state)
{
    struct fake_disk d;
    struct bytes bytes;
    disk_init(&d, 1);
    assert_int_equal(fake_disk_put(&d, "s/f", BYTES("abcdef")), 0);
    assert_int_equal(fake_disk_flip_bit(&d, "s/f", 8 + 5), 0);
    assert_file(&d, "s/f", "aBcdef");
    assert_int_equal(fake_disk_damage(&d, "s/f", 2, 3, 7), 0);
    assert_int_equal(fake_disk_file(&d, "s/f", &bytes), 0);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(bytes.data[i] == (uint8_t) "aBcdef"[i], i < 2 || i == 5);
    assert_int_equal(fake_disk_cut(&d, "s/f", 2), 0);
    fake_disk_power_loss(&d, 1);
    assert_file(&d, "s/f", "aB");
    assert_int_equal(fake_disk_flip_bit(&d, "s/f", 16), -EINVAL);
    assert_int_equal(fake_disk_damage(&d, "s/f", 1, 2, 7), -EINVAL);
    assert_int_equal(fake_disk_damage(&d, "s/f", UINT64_MAX, 1, 7), -EINVAL);
    assert_int_equal(fake_disk_cut(&d, "s/f", 3), -EINVAL);
    assert_int_equal(fake_disk_flip_bit(&d, "s/none", 0), -ENOENT);
    assert_int_equal(fake_disk_put(&d, "s/f", BYTES("x")), 0);
    assert_file(&d, "s/f", "x");
    assert_int_equal(fake_disk_put(&d, "none/f", BYTES("x")), -ENOENT);
    assert_int_equal(fake_disk_put(&d, "s", BYTES("x")), -EISDIR);
    fake_disk_check(&d);
    fake_disk_fini(&d);
}

/* ----------------------------------------------------------------------------- any story ------ */

enum { FILES = 6, STORY = 400, SIZE_MAX_HERE = 8 * SECTOR };

/* What the disk owes us: the bytes and the name as of the last syncs. */
struct promise {
    bool has_name; /* it was there at the last sync of the folder, and has not been touched since */
    bool has_content; /* synced, and not written since */
    uint8_t bytes[SIZE_MAX_HERE];
    size_t size;
};

static void story_step(struct fake_disk *d, struct promise *promises, uint64_t *random)
{
    char path[16];
    uint32_t number = next_random(random) % FILES;
    struct promise *p = &promises[number];
    snprintf(path, sizeof path, "s/%u", number);
    struct file *f = open_file(d, path, FILE_CREATE);
    switch (next_random(random) % 8) {
    default: {
        uint8_t bytes[2 * SECTOR];
        size_t size = next_random(random) % sizeof bytes;
        memset(bytes, (int)next_random(random), sizeof bytes);
        uint64_t offset = next_random(random) % (SIZE_MAX_HERE - sizeof bytes);
        assert_int_equal(f->ops->write_at(f, bytes_of(bytes, size), offset), 0);
        p->has_content = false;
        break;
    }
    case 0:
        assert_int_equal(f->ops->reserve(f, next_random(random) % SIZE_MAX_HERE), 0);
        p->has_content = false;
        break;
    case 1:
    case 2:
        sync_file(f);
        p->size = (size_t)f->ops->read_at(f, p->bytes, sizeof p->bytes, 0);
        p->has_content = true;
        break;
    case 3:
        assert_int_equal(act(d, REMOVE, path, NULL), 0);
        p->has_name = p->has_content = false;
        break;
    case 4:
        sync_folder(d, "s");
        for (int i = 0; i < FILES; i++) {
            snprintf(path, sizeof path, "s/%d", i);
            promises[i].has_name = is_there(d, path);
        }
        break;
    }
    f->ops->close(f);
}

static void assert_kept(const struct fake_disk *d, const struct promise *promises)
{
    for (int i = 0; i < FILES; i++) {
        char path[16];
        struct bytes bytes;
        snprintf(path, sizeof path, "s/%d", i);
        if (!promises[i].has_name)
            continue;
        assert_int_equal(fake_disk_file(d, path, &bytes), 0);
        if (promises[i].has_content)
            assert_true(bytes_equal(bytes, bytes_of(promises[i].bytes, promises[i].size)));
    }
}

/* Whatever has happened, what was promised is there; and a copy of a disk has the same future. */
static void test_any_story(void **state)
{
    static struct promise promises[FILES];
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct fake_disk d, copy;
        uint64_t random = seed;
        memset(promises, 0, sizeof promises);
        disk_init(&d, seed);
        for (int step = 0; step < STORY; step++)
            story_step(&d, promises, &random);
        fake_disk_check(&d);
        assert_int_equal(fake_disk_copy(&copy, &d), 0);
        fake_disk_check(&copy);
        fake_disk_power_loss(&d, seed);
        fake_disk_power_loss(&copy, seed);
        fake_disk_check(&d);
        assert_kept(&d, promises);
        for (int i = 0; i < FILES; i++) {
            char path[16];
            struct bytes a = { 0 }, b = { 0 };
            snprintf(path, sizeof path, "s/%d", i);
            assert_int_equal(fake_disk_file(&d, path, &a), fake_disk_file(&copy, path, &b));
            assert_true(bytes_equal(a, b));
        }
        fake_disk_fini(&copy);
        fake_disk_fini(&d);
    }
}

/* Many more changes of names than are remembered, with the folder never synced. */
static void test_changes_are_bounded(void **state)
{
    struct fake_disk d;
    disk_init(&d, 1);
    for (int i = 0; i < 5 * FAKE_DISK_CHANGES; i++) {
        char path[16], to[16];
        snprintf(path, sizeof path, "s/%d", i % 7);
        snprintf(to, sizeof to, "s/%d", i % 5);
        assert_int_equal(act(&d, OPEN_CREATE, path, NULL), 0);
        assert_int_equal(act(&d, i % 3 == 0 ? REMOVE : RENAME, path, to), 0);
        fake_disk_check(&d);
    }
    fake_disk_power_loss(&d, 1);
    fake_disk_check(&d);
    fake_disk_fini(&d);
}

/* Tests make millions of calls. */
static void test_is_quick(void **state)
{
    enum { CALLS = 300000, LENGTH = 200 };
    static const uint8_t bytes[LENGTH] = { 1 };
    struct fake_disk d;
    disk_init(&d, 1);
    struct file *f = open_file(&d, "s/f", FILE_CREATE);
    assert_int_equal(f->ops->reserve(f, 16 << 20), 0);
    for (uint64_t i = 0; i < CALLS; i++) {
        uint64_t offset = i % 80000 * LENGTH;
        assert_int_equal(f->ops->write_at(f, bytes_of(bytes, LENGTH), offset), 0);
        sync_file(f);
    }
    f->ops->close(f);
    fake_disk_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_rename_replaces),
        cmocka_unit_test(test_locks),
        cmocka_unit_test(test_crash_keeps_what_was_written),
        cmocka_unit_test(test_unsynced_sectors),
        cmocka_unit_test(test_unsynced_size),
        cmocka_unit_test(test_synced_is_kept),
        cmocka_unit_test(test_rename_is_whole),
        cmocka_unit_test(test_unsynced_names),
        cmocka_unit_test(test_unsynced_folder),
        cmocka_unit_test(test_failing_write),
        cmocka_unit_test(test_failing_sync),
        cmocka_unit_test(test_every_call_fails),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_any_story),
        cmocka_unit_test(test_changes_are_bounded),
        cmocka_unit_test(test_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
