/* cli/store_salvage.c: see store_salvage.h.
 *
 *     segment 5                                     segment 6
 *     [ batch 7 | batch 8 | ????? | batch 11 | .. ] [ batch 12 | ...
 *         |          |        |        |
 *         v          v        v        v              many batches become one: they are older than
 *     [ 7, 8, 11, 12 ...             ]                any promise that is still to be given
 *                             `-> lost/0000000000000005-8232.bin
 *
 * A gap is what is between two valid batches of a segment.  Behind the last one there is usually
 * nothing; it is a gap if something was missed when the next segment began, or if the end is torn.
 */
#include "cli/store_salvage.h"
#include "base/list.h"
#include "base/memory.h"
#include "broker/durable_records.h"
#include "cli/store_flaw.h"
#include "cli/store_names.h"
#include "store/scan.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    PATH_SIZE = 4096,
    HEADER_SIZE = 4096, /* of a segment, with the zeros behind it: docs/formats/store.md */
    BATCH_HEADER = 40,
    STEP = 256 * 1024,
    COMMIT_SIZE = 1024 * 1024,
};

struct work {
    struct scan_sink sink;
    const struct salvage *job;
    struct salvage_report *report;
    struct store_fault *fault;
    struct store *store;
    struct buffer records; /* of the batch that is read */
    uint64_t bytes_read;

    char path[PATH_SIZE]; /* of the segment that is read; empty: none */
    uint64_t segment, size;
    uint64_t next; /* the first byte that nothing valid was found in */

    char what[400]; /* the damage that was reported last */

    /* Damage was reported for a whole segment, and what becomes of it is not known yet. */
    char whole_path[PATH_SIZE]; /* empty: none */
    uint64_t whole_segment, whole_sequence;
    bool is_told; /* with the segment before it */
};

static struct work *work_of(struct scan_sink *sink)
{
    return container_of(sink, struct work, sink);
}

__attribute__((format(printf, 4, 5))) static int fail(struct work *w, int error, const char *path,
                                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(w->fault->text, sizeof w->fault->text, format, arguments); /* cut is fine */
    va_end(arguments);
    (void)snprintf(w->fault->path, sizeof w->fault->path, "%s", path);
    w->fault->offset = 0;
    return error;
}

static void tell(struct work *w, const struct salvage_loss *loss)
{
    w->report->losses++;
    w->report->lost_bytes += loss->size;
    w->job->on_loss(w->job->context, loss);
}

/* ------------------------------------------------------------------------ what is lost -------- */

static int open_lost(struct work *w, uint64_t segment, uint64_t offset, char *path, size_t size,
                     struct file **out)
{
    const struct files *files = w->job->files;
    int length = snprintf(path, size, "%s/lost", w->job->to);
    int result = length >= (int)size ? -ENAMETOOLONG : files->make_folder(files, path);
    if (result < 0 && result != -EEXIST)
        return result;
    length = snprintf(path, size, "%s/lost/%016llx-%llu.bin", w->job->to,
                      (unsigned long long)segment, (unsigned long long)offset);
    return length >= (int)size ? -ENAMETOOLONG : files->open(files, path, FILE_CREATE, out);
}

static int save_bytes(struct work *w, struct bytes bytes, uint64_t segment, uint64_t offset,
                      char *path, size_t size)
{
    struct file *file;
    int result = open_lost(w, segment, offset, path, size, &file);
    if (result < 0)
        return fail(w, result, path, "cannot be made: %s", strerror(-result));
    result = file->ops->write_at(file, bytes, 0);
    if (result == 0)
        result = file->ops->sync(file);
    file->ops->close(file);
    return result < 0 ? fail(w, result, path, "cannot be written: %s", strerror(-result)) : 0;
}

/* Bytes from..to of a segment; the caller frees out. */
static int read_gap(struct work *w, const char *path, uint64_t from, uint64_t to,
                    struct buffer *out)
{
    const struct files *files = w->job->files;
    struct file *file;
    int result = files->open(files, path, FILE_READ, &file);
    if (result < 0)
        return fail(w, result, path, "cannot be read: %s", strerror(-result));
    while (result == 0 && from < to) {
        size_t step = to - from < STEP ? (size_t)(to - from) : STEP;
        uint8_t *room = buffer_reserve(out, step);
        ssize_t got = room == NULL ? -ENOMEM : file->ops->read_at(file, room, step, from);
        if (got > 0)
            buffer_commit(out, (size_t)got);
        from = got > 0 ? from + (uint64_t)got : to; /* the file may be shorter by now */
        result = got < 0 ? (int)got : 0;
    }
    file->ops->close(file);
    return result < 0 ? fail(w, result, path, "cannot be read: %s", strerror(-result)) : 0;
}

/* Zeros are what was never written. */
static struct bytes without_zeros_behind(struct bytes bytes)
{
    while (bytes.size > 0 && bytes.data[bytes.size - 1] == 0)
        bytes.size--;
    return bytes;
}

enum gap { GAP_BETWEEN, GAP_BEFORE_ZEROS };

/* A gap that holds anything is saved and told. */
static int lose(struct work *w, const char *path, uint64_t segment, uint64_t from, uint64_t to,
                enum gap gap, const char *what)
{
    struct buffer buffer = { 0 };
    char saved[PATH_SIZE] = "";
    int result = from < to ? read_gap(w, path, from, to, &buffer) : 0;
    struct bytes bytes = buffer_bytes(&buffer);
    if (gap == GAP_BEFORE_ZEROS)
        bytes = without_zeros_behind(bytes);
    if (result == 0 && bytes.size > 0)
        result = save_bytes(w, bytes, segment, from, saved, sizeof saved);
    if (result == 0 && bytes.size > 0)
        tell(w, &(struct salvage_loss){ path, from, bytes.size, what, saved });
    buffer_fini(&buffer);
    return result;
}

/* Behind the last valid batch of the segment. */
static int lose_tail(struct work *w, const char *what)
{
    int result = w->path[0] == '\0'
                     ? 0
                     : lose(w, w->path, w->segment, w->next, w->size, GAP_BEFORE_ZEROS, what);
    w->path[0] = '\0';
    return result;
}

static int64_t size_of(struct work *w, const char *path)
{
    struct file *file;
    int64_t size = w->job->files->open(w->job->files, path, FILE_READ, &file);
    if (size < 0)
        return size;
    size = file->ops->size(file);
    file->ops->close(file);
    return size;
}

/* The segment that damage was reported for has been passed over: it is of another store, or not
 * there at all. */
static int lose_whole(struct work *w)
{
    if (w->whole_path[0] == '\0')
        return 0;
    int64_t size = size_of(w, w->whole_path);
    int result = 0;
    if (size == -ENOENT)
        tell(w, &(struct salvage_loss){ .path = w->whole_path, .what = w->what });
    else if (size < 0)
        result = fail(w, (int)size, w->whole_path, "cannot be read: %s", strerror((int)-size));
    else
        result =
            lose(w, w->whole_path, w->whole_segment, 0, (uint64_t)size, GAP_BEFORE_ZEROS, w->what);
    w->whole_path[0] = '\0';
    return result;
}

/* -------------------------------------------------------------------------- what is kept ------ */

static int commit(struct work *w)
{
    int result = store_commit(w->store);
    return result < 0 ? fail(w, result, w->job->to, "cannot be written: %s", strerror(-result)) : 0;
}

/* The batch that was read becomes a part of one that is written. */
static int keep_batch(struct work *w)
{
    if (w->records.size == 0)
        return 0;
    int result = store_add(w->store, w->records.data, w->records.size);
    if (result < 0)
        return fail(w, result, w->job->to, "cannot be written: %s", strerror(-result));
    w->report->batches++;
    w->records.size = 0;
    return store_batch_size(w->store) >= COMMIT_SIZE ? commit(w) : 0;
}

/* Damage was reported, and the segment is read all the same: either its header is not valid, and so
 * nobody knows what comes first; or it is, and what should have come first is missing. */
static int begin_damaged(struct work *w, const struct scan_place *at)
{
    bool is_header_valid = at->sequence != w->whole_sequence;
    w->whole_path[0] = '\0';
    if (!is_header_valid)
        return lose(w, w->path, w->segment, 0, HEADER_SIZE < w->size ? HEADER_SIZE : w->size,
                    GAP_BEFORE_ZEROS, w->what);
    if (!w->is_told)
        tell(w, &(struct salvage_loss){ .path = w->path, .what = w->what });
    return 0;
}

static int on_segment(struct scan_sink *sink, const struct scan_place *at, uint64_t file_size)
{
    struct work *w = work_of(sink);
    bool is_damaged = w->whole_path[0] != '\0' && w->whole_segment == at->segment;
    int result = keep_batch(w);
    if (result == 0 && !is_damaged)
        result = lose_whole(w);
    (void)snprintf(w->path, sizeof w->path, "%s", at->path); /* as long as scan's own */
    w->segment = at->segment;
    w->size = file_size;
    w->next = HEADER_SIZE;
    return result == 0 && is_damaged ? begin_damaged(w, at) : result;
}

static int on_batch(struct scan_sink *sink, const struct scan_place *at, uint32_t records,
                    uint64_t size)
{
    struct work *w = work_of(sink);
    int result = keep_batch(w);
    if (result == 0 && at->offset > w->next)
        result = lose(w, w->path, w->segment, w->next, at->offset, GAP_BETWEEN, w->what);
    w->next = at->offset + BATCH_HEADER + size;
    w->bytes_read += size;
    if (w->job->on_progress != NULL)
        w->job->on_progress(w->job->context, w->bytes_read);
    return result;
}

/* One that is whole, and makes no sense: a broker would refuse all for its sake. */
static int set_aside(struct work *w, const struct scan_place *at, struct bytes raw,
                     const char *flaw)
{
    char saved[PATH_SIZE] = "";
    int result = save_bytes(w, raw, at->segment, at->offset, saved, sizeof saved);
    if (result == 0)
        tell(w, &(struct salvage_loss){ at->path, at->offset, raw.size, flaw, saved });
    return result;
}

static int on_record(struct scan_sink *sink, const struct scan_place *at, const struct record *r,
                     struct bytes raw)
{
    struct work *w = work_of(sink);
    const char *flaw = record_flaw(r);
    if (flaw != NULL)
        return set_aside(w, at, raw, flaw);
    if (buffer_append(&w->records, raw) < 0)
        return fail(w, -ENOMEM, at->path, "not enough memory");
    w->report->records++;
    return 0;
}

static int on_damage(struct scan_sink *sink, const struct scan_place *at, const char *what)
{
    struct work *w = work_of(sink);
    uint64_t before = w->report->losses;
    int result = lose_whole(w);
    if (result == 0 && at->offset == 0)
        result = lose_tail(w, what);
    (void)snprintf(w->what, sizeof w->what, "%s", what); /* a fault's text: it fits */
    if (at->offset == 0) {
        (void)snprintf(w->whole_path, sizeof w->whole_path, "%s", at->path);
        w->whole_segment = at->segment;
        w->whole_sequence = at->sequence;
        w->is_told = w->report->losses != before;
    }
    return result;
}

static int on_end(struct scan_sink *sink, const struct scan_place *at, bool is_torn)
{
    struct work *w = work_of(sink);
    if (!is_torn || at->offset == 0)
        return 0;
    return lose_tail(w, "the end is torn: what was being written had been promised to nobody");
}

/* ------------------------------------------------------------------------------- Sessions ----- */

struct duplicates {
    struct work *work;
    struct buffer records;
    int error;
};

/* The one that ended and whose end is in a gap. */
static void on_twice(void *context, struct bytes client_id, uint64_t older, uint64_t newer)
{
    struct duplicates *d = context;
    struct buffer key = { 0 };
    char what[200];
    if (durable_key_write(&key, &(struct durable_key){ .kind = KEY_SESSION, .session = older }) !=
            0 ||
        record_remove(&d->records, buffer_bytes(&key)) != 0 || record_drop(&d->records, older) != 0)
        d->error = -ENOMEM;
    buffer_fini(&key);
    (void)snprintf(what, sizeof what,
                   "session %" PRIu64 " is left out, with what is queued for it: its client has "
                   "session %" PRIu64 " since",
                   older, newer);
    d->work->report->sessions++;
    d->work->job->on_loss(d->work->job->context,
                          &(struct salvage_loss){ .path = d->work->job->from, .what = what });
}

/* A broker does not start if a Client has two Sessions. */
static int part_sessions(struct work *w)
{
    struct store_names names = { 0 };
    struct duplicates d = { .work = w };
    int result = store_names_read(&names, w->store, w->fault);
    if (result == 0) {
        store_names_twice(&names, on_twice, &d);
        result = d.error;
    }
    if (result == 0 && d.records.size > 0)
        result = store_add(w->store, d.records.data, d.records.size);
    if (result < 0 && w->fault->text[0] == '\0')
        (void)fail(w, result, w->job->to, "cannot be written: %s", strerror(-result));
    buffer_fini(&d.records);
    store_names_fini(&names);
    return result == 0 ? commit(w) : result;
}

/* -------------------------------------------------------------------------------- together ---- */

static int read_all(struct work *w)
{
    int result = scan_folder(w->job->files, w->job->from, &w->sink, w->fault);
    if (result == 0)
        result = lose_whole(w);
    if (result == 0)
        result = keep_batch(w);
    return result == 0 ? commit(w) : result;
}

static int sync_lost(struct work *w)
{
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s/lost", w->job->to);
    assert(length < (int)sizeof path); /* it was made under this name, or something failed */
    int result = w->job->files->sync_folder(w->job->files, path);
    return result == -ENOENT ? 0 : result;
}

int store_salvage(const struct salvage *s, struct salvage_report *out, struct store_fault *fault)
{
    struct work w = { .sink = { on_segment, on_batch, on_record, on_end, on_damage },
                      .job = s,
                      .report = out,
                      .fault = fault };
    struct store_options o = { .files = s->files, .folder = s->to, .id = s->id };
    *out = (struct salvage_report){ 0 };
    *fault = (struct store_fault){ 0 };
    int result = store_open(&o, &w.store, fault);
    if (result == 0)
        result = read_all(&w);
    if (result == 0)
        result = part_sessions(&w);
    if (result == 0)
        result = sync_lost(&w);
    store_close(w.store);
    buffer_fini(&w.records);
    return result;
}
