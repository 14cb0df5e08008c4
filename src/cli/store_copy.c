/* cli/store_copy.c: see store_copy.h.
 *
 *     [ segment 5 ] [ segment 6 ] [ segment 7: batches | here something is being written
 *       `- scan -------------------------------------^ the end, at one moment
 *       `- copied up to there, whatever has been added meanwhile
 *
 * A log up to the end of any batch is a state that the store once had.  What is before that end
 * does not change any more, and so it does not matter when it is copied. */
#include "cli/store_copy.h"
#include "base/list.h"
#include "base/memory.h"
#include "store/scan.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

enum { PATH_SIZE = 4096, STEP = 1024 * 1024 };

struct segment {
    uint64_t number, size; /* how much of it is copied */
};

/* What a scan found. */
struct survey {
    struct scan_sink sink;
    const struct store_copy *copy;
    const char *what; /* it does, for the progress */
    struct buffer segments;
    struct store_copied found;
    int error;
};

__attribute__((format(printf, 3, 4))) static void say(struct store_fault *f, const char *path,
                                                      const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(f->text, sizeof f->text, format, arguments); /* what is too long is cut */
    va_end(arguments);
    (void)snprintf(f->path, sizeof f->path, "%s", path);
    f->offset = 0;
}

static void progress(const struct store_copy *c, const char *what, uint64_t bytes, uint64_t all)
{
    if (c->on_progress != NULL)
        c->on_progress(c->context, what, bytes, all);
}

/* ------------------------------------------------------------------------------- scanning ----- */

static struct survey *survey_of(struct scan_sink *sink)
{
    return container_of(sink, struct survey, sink);
}

static int on_segment(struct scan_sink *sink, const struct scan_place *at, uint64_t file_size)
{
    struct survey *s = survey_of(sink);
    struct segment row = { at->segment, file_size };
    s->found.segments++;
    s->found.bytes += file_size;
    progress(s->copy, s->what, s->found.bytes, 0);
    return buffer_append(&s->segments, bytes_of(&row, sizeof row));
}

static int on_batch(struct scan_sink *sink, const struct scan_place *at, uint32_t records,
                    uint64_t size)
{
    struct survey *s = survey_of(sink);
    s->found.batches++;
    s->found.records += records;
    s->found.sequence = at->sequence;
    return 0;
}

/* Offset 0: that segment has nothing in it, and on_segment was not called for it. */
static int on_end(struct scan_sink *sink, const struct scan_place *at, bool is_torn)
{
    struct survey *s = survey_of(sink);
    if (at->offset == 0)
        return 0;
    struct segment *last = (struct segment *)(void *)(s->segments.data + s->segments.size) - 1;
    s->found.bytes -= last->size - at->offset;
    last->size = at->offset;
    return 0;
}

static int survey(struct survey *s, const struct store_copy *c, const char *folder,
                  const char *what, struct store_fault *fault)
{
    *s = (struct survey){ .sink = { on_segment, on_batch, NULL, on_end, NULL },
                          .copy = c,
                          .what = what };
    return scan_folder(c->files, folder, &s->sink, fault);
}

/* -------------------------------------------------------------------------------- copying ----- */

static int copy_bytes(const struct store_copy *c, struct file *from, struct file *to, uint64_t size,
                      const struct store_copied *all, uint64_t *done)
{
    uint8_t *bytes = memory_alloc(STEP);
    int result = bytes == NULL ? -ENOMEM : 0;
    for (uint64_t at = 0; result == 0 && at < size;) {
        size_t step = size - at < STEP ? (size_t)(size - at) : STEP;
        ssize_t got = from->ops->read_at(from, bytes, step, at);
        if (got != (ssize_t)step)
            result = got < 0 ? (int)got : -EIO; /* it has become shorter */
        else
            result = to->ops->write_at(to, bytes_of(bytes, step), at);
        at += step;
        *done += step;
        progress(c, "copying", *done, all->bytes);
    }
    memory_free(bytes);
    return result;
}

static int copy_file(const struct store_copy *c, const char *from, const char *to, uint64_t size,
                     const struct store_copied *all, uint64_t *done, struct store_fault *fault)
{
    struct file *source, *target;
    int result = c->files->open(c->files, from, FILE_READ, &source);
    if (result < 0) {
        say(fault, from, "cannot be read: %s", strerror(-result));
        return result;
    }
    result = c->files->open(c->files, to, FILE_CREATE, &target);
    if (result == 0) {
        result = copy_bytes(c, source, target, size, all, done);
        if (result == 0)
            result = target->ops->sync(target);
        target->ops->close(target);
    }
    source->ops->close(source);
    if (result < 0)
        say(fault, to, "cannot be copied from %s: %s", from, strerror(-result));
    return result;
}

static int copy_segment(const struct store_copy *c, const struct segment *segment,
                        const struct store_copied *all, uint64_t *done, struct store_fault *fault)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    unsigned long long number = segment->number;
    if (snprintf(from, sizeof from, "%s/%016llx.log", c->from, number) >= (int)sizeof from ||
        snprintf(to, sizeof to, "%s/%016llx.log", c->to, number) >= (int)sizeof to) {
        say(fault, c->to, "the name is too long");
        return -ENAMETOOLONG;
    }
    return copy_file(c, from, to, segment->size, all, done, fault);
}

static int copy_segments(const struct store_copy *c, const struct survey *s,
                         struct store_fault *fault)
{
    const struct segment *rows = (const struct segment *)(void *)s->segments.data;
    uint64_t done = 0;
    int result = 0;
    for (size_t i = 0; result == 0 && i < s->segments.size / sizeof *rows; i++)
        result = copy_segment(c, &rows[i], &s->found, &done, fault);
    if (result == 0) {
        result = c->files->sync_folder(c->files, c->to);
        if (result < 0)
            say(fault, c->to, "cannot be written: %s", strerror(-result));
    }
    return result;
}

static int compare(const struct store_copy *c, const struct survey *of, struct store_fault *fault)
{
    struct survey copy;
    int result = survey(&copy, c, c->to, "reading the copy", fault);
    buffer_fini(&copy.segments);
    if (result < 0)
        return result;
    if (copy.found.segments == of->found.segments && copy.found.batches == of->found.batches &&
        copy.found.records == of->found.records && copy.found.sequence == of->found.sequence)
        return 0;
    say(fault, c->to, "the copy is not what was copied; is the disk good?");
    return -EBADMSG;
}

int store_copy(const struct store_copy *c, struct store_copied *out, struct store_fault *fault)
{
    struct survey s;
    int result = survey(&s, c, c->from, "reading", fault);
    if (result == 0 && s.found.segments == 0) {
        say(fault, c->from, "nothing has been stored yet");
        result = -ENOENT;
    }
    if (result == 0)
        result = copy_segments(c, &s, fault);
    if (result == 0)
        result = compare(c, &s, fault);
    if (result == 0)
        *out = s.found;
    buffer_fini(&s.segments);
    return result;
}
