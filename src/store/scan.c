/* store/scan.c: segment after segment, batch after batch, as long as the sequence goes on.
 *
 *     segment N                                          segment N + 1
 *     [ header | batch 7 | batch 8 | ?????????? ]        [ header: first 9 | batch 9 | ...
 *                                    ^ nothing valid
 *
 * What decides at ? is docs/formats/store.md, "Reading it back": the next segment goes on where
 * this one stopped, or something later proves damage, or it is the end.
 *
 * The file is seen through a window that moves forward and is as large as the largest batch.
 * Looking for later batches never looks into the room that a valid header claims: so every byte is
 * summed once, whatever somebody has put there. */
#include "store/scan.h"
#include "base/memory.h"
#include "store/segment.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { WINDOW_SIZE = 1024 * 1024, PATH_SIZE = 4096 };

/* ------------------------------------------------------------------------------- window ------- */

struct window {
    struct file *file;
    uint64_t file_size;
    uint64_t start; /* in the file */
    uint8_t *data;
    size_t size, capacity;
};

static void window_close(struct window *w)
{
    if (w->file != NULL)
        w->file->ops->close(w->file);
    w->file = NULL;
}

static int window_open(struct window *w, const struct files *files, const char *path)
{
    int result = files->open(files, path, FILE_READ, &w->file);
    if (result < 0) {
        w->file = NULL;
        return result;
    }
    int64_t size = w->file->ops->size(w->file);
    if (size < 0) {
        window_close(w);
        return (int)size;
    }
    w->file_size = (uint64_t)size;
    w->start = 0;
    w->size = 0;
    return 0;
}

/* What has been seen is looked up again: somebody may have written it meanwhile. */
static void window_forget(struct window *w)
{
    w->size = 0;
}

static bool window_has(const struct window *w, uint64_t offset, uint64_t size)
{
    return offset >= w->start && offset - w->start <= w->size &&
           size <= w->size - (offset - w->start);
}

/* Moves its start to the offset, keeping what it has of what is behind. */
static void window_move(struct window *w, uint64_t offset)
{
    size_t kept = 0;
    if (window_has(w, offset, 0)) {
        kept = w->size - (size_t)(offset - w->start);
        memmove(w->data, w->data + (w->size - kept), kept);
    }
    w->start = offset;
    w->size = kept;
}

static int window_grow(struct window *w, size_t size)
{
    if (w->data != NULL && size <= w->capacity)
        return 0;
    size_t capacity = size > WINDOW_SIZE ? size : WINDOW_SIZE;
    uint8_t *data = memory_resize(w->data, capacity);
    if (data == NULL)
        return -ENOMEM;
    w->data = data;
    w->capacity = capacity;
    return 0;
}

/* Bytes of the file, which must be there by its size; good until the next call. */
static int window_show(struct window *w, uint64_t offset, uint64_t size, struct bytes *out)
{
    assert(offset <= w->file_size && size <= w->file_size - offset);
    if (!window_has(w, offset, size)) {
        if (size > SIZE_MAX || window_grow(w, (size_t)size) < 0)
            return -ENOMEM;
        window_move(w, offset);
        ssize_t got = w->file->ops->read_at(w->file, w->data + w->size, w->capacity - w->size,
                                            offset + w->size);
        if (got < 0)
            return (int)got;
        w->size += (size_t)got;
        if (w->size < size)
            return -EIO; /* it has become shorter */
    }
    *out = bytes_of(w->data + (offset - w->start), (size_t)size);
    return 0;
}

/* ------------------------------------------------------------------------------- reports ------ */

enum header_state { HEADER_BAD, HEADER_GOOD, HEADER_UNKNOWN_VERSION };

/* A segment at first sight. */
struct look {
    uint64_t number;
    enum header_state state;
    struct segment_header header; /* if it is good */
    uint64_t raw_store_id;        /* what stands in the field, good or bad; 0: no field */
};

struct scan {
    const struct files *files;
    const char *folder;
    struct scan_sink *sink;
    struct store_fault *fault;

    struct look *looks;
    size_t count;
    uint64_t store_id;
    bool is_id_sure; /* a valid header said it */

    uint64_t expected; /* the sequence that comes next; 0: whichever stands there */
    bool is_damaged;   /* and who is told wants to go on */

    struct window window;
    uint64_t number; /* of the segment in the window */
    char path[PATH_SIZE];
};

__attribute__((format(printf, 3, 4))) static void fill_fault(struct scan *s, uint64_t offset,
                                                             const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(s->fault->text, sizeof(s->fault->text), format, arguments); /* cut is fine */
    va_end(arguments);
    size_t path_size = strnlen(s->path, sizeof(s->fault->path) - 1);
    memcpy(s->fault->path, s->path, path_size);
    s->fault->path[path_size] = '\0';
    s->fault->offset = offset;
}

static struct scan_place place_at(const struct scan *s, uint64_t offset, uint64_t sequence)
{
    return (struct scan_place){
        .path = s->path,
        .store_id = s->store_id,
        .segment = s->number,
        .offset = offset,
        .sequence = sequence,
    };
}

static int fail(struct scan *s, int error, uint64_t offset)
{
    fill_fault(s, offset, "cannot be read: %s", strerror(-error));
    return error;
}

/* The fault has been filled in. */
static int report_damage(struct scan *s)
{
    s->is_damaged = true;
    if (s->sink->on_damage == NULL)
        return -EBADMSG;
    struct scan_place at = place_at(s, s->fault->offset, s->expected);
    return s->sink->on_damage(s->sink, &at, s->fault->text);
}

static int report_segment(struct scan *s)
{
    struct scan_place at = place_at(s, 0, s->expected);
    return s->sink->on_segment == NULL ? 0 : s->sink->on_segment(s->sink, &at, s->window.file_size);
}

static int report_end(struct scan *s, uint64_t offset, bool is_torn)
{
    struct scan_place at = place_at(s, offset, s->expected);
    return s->sink->on_end == NULL ? 0 : s->sink->on_end(s->sink, &at, is_torn);
}

/* ------------------------------------------------------------------------- headers first ------ */

static int select_segment(struct scan *s, uint64_t number)
{
    s->number = number;
    int result = segment_path(s->folder, number, SEGMENT_LOG, s->path, sizeof(s->path));
    return result < 0 ? fail(s, result, 0) : 0;
}

static int read_header(struct scan *s, struct look *look)
{
    look->state = HEADER_BAD;
    look->raw_store_id = 0;
    if (s->window.file_size < SEGMENT_HEADER_SIZE)
        return 0;
    struct bytes bytes;
    int result = window_show(&s->window, 0, SEGMENT_HEADER_SIZE, &bytes);
    if (result < 0)
        return fail(s, result, 0);
    look->raw_store_id = segment_header_raw_id(bytes);
    result = segment_header_decode(bytes, &look->header);
    if (result == -EPROTONOSUPPORT)
        look->state = HEADER_UNKNOWN_VERSION;
    else if (result == 0 && look->header.number == look->number)
        look->state = HEADER_GOOD;
    return 0;
}

/* Opens a segment and reads its header.  -ENOENT: it is not there any more. */
static int open_segment(struct scan *s, struct look *look)
{
    window_close(&s->window);
    int result = select_segment(s, look->number);
    if (result < 0)
        return result;
    result = window_open(&s->window, s->files, s->path);
    if (result < 0)
        return fail(s, result, 0);
    result = read_header(s, look);
    if (result == 0 && look->state == HEADER_UNKNOWN_VERSION) {
        fill_fault(s, 0, "was written by another version of Chappe, or in another byte order");
        return -EPROTONOSUPPORT;
    }
    return result;
}

static int list_segments(struct scan *s)
{
    uint64_t *numbers;
    int result = segment_list(s->files, s->folder, SEGMENT_LOG, &numbers, &s->count);
    if (result < 0)
        return fail(s, result, 0);
    if (s->count == 0) {
        fill_fault(s, 0, "there is no store here");
        return -ENOENT;
    }
    s->looks = memory_alloc_zero(s->count * sizeof(s->looks[0]));
    for (size_t i = 0; s->looks != NULL && i < s->count; i++)
        s->looks[i].number = numbers[i];
    memory_free(numbers);
    return s->looks == NULL ? fail(s, -ENOMEM, 0) : 0;
}

/* Which store it is: as the first valid header says; for want of one, as the first one seems to
 * say. */
static void decide_store_id(struct scan *s)
{
    for (size_t i = 0; i < s->count && !s->is_id_sure; i++) {
        const struct look *look = &s->looks[i];
        s->is_id_sure = look->state == HEADER_GOOD;
        if (s->is_id_sure || s->store_id == 0)
            s->store_id = look->raw_store_id;
    }
}

static int look_at_segments(struct scan *s)
{
    (void)snprintf(s->path, sizeof(s->path), "%s", s->folder); /* for faults; cut is fine */
    int result = list_segments(s);
    for (size_t i = 0; result == 0 && i < s->count; i++) {
        result = open_segment(s, &s->looks[i]);
        if (result == -ENOENT && i + 1 < s->count) /* given back since we have the list */
            result = 0;
    }
    if (result == 0)
        decide_store_id(s);
    return result;
}

/* ------------------------------------------------------------------------------- batches ------ */

enum batch_state {
    BATCH_NONE,
    BATCH_TORN, /* a valid header, and not all of its records */
    BATCH_WHOLE,
};

struct batch {
    enum batch_state state;
    struct batch_header header;
    struct bytes records; /* if it is whole; good until something else is read */
    uint64_t end;         /* the offset behind it, or behind what its header claims */
};

static uint64_t seed_of(const struct scan *s)
{
    return segment_seed(s->store_id, s->number);
}

/* What stands at this offset.  0 or a negative errno. */
static int read_batch(struct scan *s, uint64_t offset, struct batch *out)
{
    struct window *w = &s->window;
    *out = (struct batch){ .state = BATCH_NONE };
    if (offset > w->file_size || w->file_size - offset < BATCH_HEADER_SIZE)
        return 0;
    struct bytes bytes;
    int result = window_show(w, offset, BATCH_HEADER_SIZE, &bytes);
    if (result < 0)
        return fail(s, result, offset);
    if (batch_header_decode(bytes, seed_of(s), &out->header) < 0)
        return 0;

    offset += BATCH_HEADER_SIZE;
    out->state = BATCH_TORN;
    out->end = w->file_size;
    if (out->header.size > w->file_size - offset)
        return 0; /* the rest of it was cut off with the end of the file */
    out->end = offset + out->header.size;
    result = window_show(w, offset, out->header.size, &out->records);
    if (result < 0)
        return fail(s, result, offset);
    if (batch_check(&out->header, out->records, seed_of(s)) == 0)
        out->state = BATCH_WHOLE;
    return 0;
}

static int report_batch(struct scan *s, uint64_t offset, const struct batch *b)
{
    struct scan_sink *sink = s->sink;
    struct scan_place at = place_at(s, offset, b->header.sequence);
    int result =
        sink->on_batch == NULL ? 0 : sink->on_batch(sink, &at, b->header.records, b->header.size);
    at.offset += BATCH_HEADER_SIZE;
    struct bytes rest = b->records;
    while (result == 0 && sink->on_record != NULL && rest.size > 0) {
        struct record record;
        int read = record_read(rest, &record);
        assert(read == 0); /* batch_check has read it */
        result = sink->on_record(sink, &at, &record, bytes_of(rest.data, record.size));
        at.offset += record.size;
        rest = bytes_after(rest, record.size);
    }
    return result;
}

/* ------------------------------------------------------------- where nothing goes on ------- */

struct later {
    uint64_t offset, sequence; /* of the first whole batch that may follow; 0: none */
    bool is_proof;             /* that the one expected had been on the disk */
    bool is_any_header;        /* a valid batch header is there, whatever it is worth */
};

/* Had the batch that is expected been on the disk when this one was written?  Or is it that one? */
static bool proves_damage(const struct scan *s, const struct batch_header *h)
{
    return s->is_damaged || s->expected == 0 || h->sequence == s->expected ||
           h->sequence - h->unsynced > s->expected;
}

/* Looks for batches from this offset on, until one is a proof. */
static int search(struct scan *s, uint64_t offset, struct later *out)
{
    *out = (struct later){ 0 };
    while (!out->is_proof && offset < s->window.file_size) {
        struct batch b;
        int result = read_batch(s, offset, &b);
        if (result < 0)
            return result;
        if (b.state == BATCH_NONE) {
            offset += BATCH_ALIGNMENT;
            continue;
        }
        out->is_any_header = true;
        if (b.state == BATCH_WHOLE && b.header.sequence >= s->expected) {
            if (out->offset == 0) {
                out->offset = offset;
                out->sequence = b.header.sequence;
            }
            out->is_proof = proves_damage(s, &b.header);
        }
        offset = b.end;
    }
    return 0;
}

static bool is_store_of(const struct scan *s, const struct look *look)
{
    return look->state == HEADER_GOOD && look->header.store_id == s->store_id;
}

/* The next segment begins exactly here. */
static bool next_goes_on(const struct scan *s, size_t index)
{
    if (index + 1 >= s->count)
        return false;
    const struct look *next = &s->looks[index + 1];
    return next->number == s->number + 1 && is_store_of(s, next) &&
           next->header.first_sequence == s->expected;
}

/* The batches that follow each other from *offset on; then it is where none does. */
static int scan_run(struct scan *s, uint64_t *offset)
{
    for (;;) {
        struct batch b;
        int result = read_batch(s, *offset, &b);
        if (result < 0)
            return result;
        if (b.state != BATCH_WHOLE || (s->expected != 0 && b.header.sequence != s->expected))
            return 0;
        result = report_batch(s, *offset, &b);
        if (result < 0)
            return result;
        s->expected = b.header.sequence + 1;
        *offset = b.end;
    }
}

static int report_bad_batch(struct scan *s, uint64_t offset, const struct later *later)
{
    if (later->offset == offset)
        fill_fault(s, offset, "batch %" PRIu64 " is missing: batch %" PRIu64 " stands here",
                   s->expected, later->sequence);
    else if (s->expected == 0)
        fill_fault(s, offset, "no valid batch, but there are valid ones from offset %" PRIu64 " on",
                   later->offset);
    else
        fill_fault(s, offset,
                   "batch %" PRIu64 " is not valid, but there are later ones from offset %" PRIu64
                   " on",
                   s->expected, later->offset);
    return report_damage(s);
}

static int scan_batches(struct scan *s, size_t index)
{
    uint64_t offset = SEGMENT_FIRST_BATCH, looked_again_at = 0;
    struct later later;
    for (;;) {
        int result = scan_run(s, &offset);
        if (result < 0 || next_goes_on(s, index))
            return result;
        result = search(s, offset, &later);
        if (result < 0)
            return result;
        if (!later.is_proof)
            break;
        if (!s->is_damaged && looked_again_at != offset) { /* may have been written since */
            looked_again_at = offset;
            window_forget(&s->window);
            continue;
        }
        result = report_bad_batch(s, offset, &later);
        if (result < 0)
            return result;
        offset = later.offset;
        s->expected = later.sequence;
    }
    bool is_last = index + 1 == s->count;
    return is_last ? report_end(s, offset, later.is_any_header) : 0;
}

/* ------------------------------------------------------------------------------ segments ------ */

/* Zeros, from where batches would stand. */
static int is_blank(struct scan *s, bool *out)
{
    struct window *w = &s->window;
    for (uint64_t offset = SEGMENT_FIRST_BATCH; offset < w->file_size;) {
        uint64_t rest = w->file_size - offset, size = rest < WINDOW_SIZE ? rest : WINDOW_SIZE;
        struct bytes bytes;
        int result = window_show(w, offset, size, &bytes);
        if (result < 0)
            return fail(s, result, offset);
        for (size_t i = 0; i < bytes.size; i++)
            if (bytes.data[i] != 0) {
                *out = false;
                return 0;
            }
        offset += size;
    }
    *out = true;
    return 0;
}

/* Was it being made when the power went?  Then nothing valid is in it. */
static int is_unfinished(struct scan *s, size_t index, bool *out)
{
    *out = false;
    if (index + 1 < s->count || s->is_damaged)
        return 0;
    if (!s->is_id_sure)
        return is_blank(s, out);
    for (uint64_t offset = SEGMENT_FIRST_BATCH; offset < s->window.file_size;) {
        struct batch b;
        int result = read_batch(s, offset, &b);
        if (result < 0 || b.state == BATCH_WHOLE)
            return result;
        offset = b.state == BATCH_NONE ? offset + BATCH_ALIGNMENT : b.end;
    }
    *out = true;
    return 0;
}

static int scan_without_header(struct scan *s, size_t index)
{
    bool is_new;
    int result = is_unfinished(s, index, &is_new);
    if (result < 0)
        return result;
    if (is_new)
        return report_end(s, 0, true);
    fill_fault(s, 0, "the segment's header is not valid");
    result = report_damage(s);
    if (result == 0)
        result = report_segment(s);
    return result == 0 ? scan_batches(s, index) : result;
}

/* Nothing of it is ours. */
static int skip_foreign(struct scan *s)
{
    fill_fault(s, 0, "the segment is of another store");
    int result = report_damage(s);
    s->expected = 0;
    return result;
}

static int scan_good(struct scan *s, size_t index)
{
    uint64_t first = s->looks[index].header.first_sequence;
    if (s->expected != 0 && first != s->expected) {
        fill_fault(s, 0, "the segment begins with batch %" PRIu64 ", but %" PRIu64 " comes next",
                   first, s->expected);
        int result = report_damage(s);
        if (result < 0)
            return result;
    }
    s->expected = first;
    int result = report_segment(s);
    return result == 0 ? scan_batches(s, index) : result;
}

/* A number is missing before this one. */
static int report_gap(struct scan *s, size_t index)
{
    uint64_t missing = s->looks[index - 1].number + 1;
    int result = select_segment(s, missing);
    if (result < 0)
        return result;
    fill_fault(s, 0, "the segment is missing, but there are later ones");
    result = report_damage(s);
    s->expected = 0;
    return result;
}

static int scan_segment(struct scan *s, size_t index)
{
    struct look *look = &s->looks[index];
    int result = 0;
    if (index > 0 && look->number != s->looks[index - 1].number + 1)
        result = report_gap(s, index);
    if (result < 0)
        return result;
    bool is_first = s->expected == 0 && !s->is_damaged;
    result = open_segment(s, look);
    if (result == -ENOENT && is_first && index + 1 < s->count)
        return 0; /* given back meanwhile: what was live in it is in later ones */
    if (result < 0)
        return result;
    if (look->state == HEADER_BAD)
        return scan_without_header(s, index);
    return is_store_of(s, look) ? scan_good(s, index) : skip_foreign(s);
}

int scan_folder(const struct files *files, const char *folder, struct scan_sink *sink,
                struct store_fault *fault)
{
    struct scan s = { .files = files, .folder = folder, .sink = sink, .fault = fault };
    int result = look_at_segments(&s);
    for (size_t i = 0; result == 0 && i < s.count; i++)
        result = scan_segment(&s, i);
    window_close(&s.window);
    memory_free(s.window.data);
    memory_free(s.looks);
    return result;
}
