/* store/store_bench.c: what a message costs the store without the disk: added, committed to a door
 * that keeps nothing, and finished; and the memory of one that waits. */
#include "base/memory.h"
#include "store/store.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

enum { BODY = 200, DATA = 12, BATCH = 200, SEGMENT = 16 * 1024 * 1024 };

/* ------------------------------------------------------------------ a disk that forgets ------- */

static ssize_t read_nothing(struct file *f, void *out, size_t size, uint64_t offset)
{
    return 0;
}

static int write_nowhere(struct file *f, struct bytes bytes, uint64_t offset)
{
    return 0;
}

static int sync_nothing(struct file *f)
{
    return 0;
}

static int reserve_nothing(struct file *f, uint64_t size)
{
    return 0;
}

static int64_t size_of_segment(struct file *f)
{
    return SEGMENT;
}

static int lock_nothing(struct file *f, enum file_lock lock)
{
    return 0;
}

static void close_nothing(struct file *f) {}

static int list_nothing(const struct files *f, const char *path, struct buffer *out)
{
    return 0;
}

static int open_nothing(const struct files *f, const char *path, enum file_open how,
                        struct file **out)
{
    static const struct file_ops ops = { read_nothing,    write_nowhere,   sync_nothing,
                                         reserve_nothing, size_of_segment, lock_nothing,
                                         close_nothing };
    static struct file file = { &ops };
    *out = &file;
    return 0;
}

static int rename_nothing(const struct files *f, const char *from, const char *to)
{
    return 0;
}

static int at_path_nothing(const struct files *f, const char *path)
{
    return 0;
}

static const struct files nowhere = {
    /* the rest is not called */
    .list = list_nothing,      .open = open_nothing,           .rename = rename_nothing,
    .remove = at_path_nothing, .sync_folder = at_path_nothing,
};

/* ---------------------------------------------------------------------------- messages -------- */

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void append(struct buffer *out, uint64_t queue, uint64_t seq)
{
    static const uint8_t body[BODY], data[DATA];
    struct record_entry e = { queue, seq, bytes_of(data, DATA) };
    struct bytes part = bytes_of(body, BODY);
    int result = record_append(out, &e, 1, &part, 1);
    assert(result == 0);
}

static void finish(struct buffer *out, uint64_t queue, uint64_t seq)
{
    int result = record_finish(out, queue, seq);
    assert(result == 0);
}

/* Each message is finished when `depth` later ones have come, all to so many queues in turn. */
static void bench(struct store *s, uint64_t queues, uint64_t depth, uint64_t messages)
{
    struct buffer records = { 0 };
    double encoding = 0, adding = 0, committing = 0;
    size_t used = memory_used(), queued = 0;
    for (uint64_t n = 0; n < messages + depth; n += BATCH) {
        records.size = 0;
        double start = now_ns();
        for (uint64_t i = n; i < n + BATCH; i++) {
            if (i < messages)
                append(&records, i % queues, i / queues + 1);
            if (i >= depth)
                finish(&records, (i - depth) % queues, (i - depth) / queues + 1);
        }
        double encoded = now_ns();
        int result = store_add(s, records.data, records.size);
        double added = now_ns();
        result |= store_commit(s);
        assert(result == 0);
        result = store_clean(s, 0, false); /* copies nothing: it could not be read */
        assert(result >= 0);
        encoding += encoded - start;
        adding += added - encoded;
        committing += now_ns() - added;
        if (n + BATCH == depth)
            queued = memory_used() - used;
    }
    double m = (double)messages;
    printf("%8llu queues %9llu deep   encode %5.1f   add %6.1f   commit, clean %5.1f   ns per "
           "message",
           (unsigned long long)queues, (unsigned long long)depth, encoding / m, adding / m,
           committing / m);
    if (depth > 0)
        printf("   %5.1f bytes per queued entry", (double)queued / (double)depth);
    printf("\n");
    buffer_fini(&records);
}

int main(void)
{
    static const uint64_t rows[][3] = {
        { 1, 0, 4000000 },         { 1000, 0, 4000000 },         { 1, 100000, 4000000 },
        { 1000, 100000, 4000000 }, { 100000, 1000000, 4000000 }, { 100, 10000000, 10000000 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct store_options o = { .files = &nowhere, .folder = "nowhere", .id = 12345 };
        struct store_fault fault;
        struct store *s;
        int result = store_open(&o, &s, &fault);
        assert(result == 0);
        bench(s, rows[i][0], rows[i][1], rows[i][2]);
        store_close(s);
    }
    return 0;
}
