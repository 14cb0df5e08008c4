/* store/store.c: ties the ledger, which knows, to the journal and the reader, which do.
 *
 *     store_add    records --> validated --> [ batch ]      the ledger applies them: they count
 *                                               |
 *     store_commit                              |  one write, one sync
 *                                               v
 *     store_read_queue   ledger: positions   segments --> reader --> records, by their positions
 *
 * A batch stays in one segment.  When records have no room there any more, what was added before is
 * committed, and they become the first of a new batch in a new segment: what one store_add adds is
 * never parted, what several add may be, and nobody was promised anything in between.
 *
 * Opening: store_open.c.  Emptying old segments: store_clean.c. */
#include "base/memory.h"
#include "store/store_state.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------- common ------- */

int store_break(struct store *s, int error)
{
    assert(error < 0);
    if (s->broken == 0)
        s->broken = error;
    return s->broken;
}

void store_fault_say(struct store_fault *f, const char *path, uint64_t offset, const char *format,
                     ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(f->text, sizeof(f->text), format, arguments); /* what is too long is cut */
    va_end(arguments);
    (void)snprintf(f->path, sizeof(f->path), "%s", path);
    f->offset = offset;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    ledger_fini(&s->ledger);
    journal_fini(&s->journal);
    reader_fini(&s->reader);
    buffer_fini(&s->records);
    buffer_fini(&s->copied);
    if (s->lock != NULL)
        s->lock->ops->close(s->lock);
    memory_free(s->folder);
    memory_free(s);
}

/* ------------------------------------------------------------------------------- adding ------- */

struct contents {
    uint32_t records;
    size_t puts, appends;
};

static int count_contents(struct bytes records, struct contents *out)
{
    struct contents c = { 0 };
    while (records.size > 0) {
        struct record r;
        if (record_read(records, &r) < 0 || c.records == UINT32_MAX)
            return -EBADMSG;
        c.records++;
        c.puts += r.type == RECORD_PUT;
        c.appends += r.type == RECORD_APPEND ? r.count : 0;
        records = bytes_after(records, r.size);
    }
    *out = c;
    return 0;
}

int store_roll(struct store *s, size_t size)
{
    int result = journal_roll(&s->journal, size);
    if (result < 0)
        return result;
    ledger_begin_segment(&s->ledger, s->journal.segment, s->journal.capacity);
    (void)journal_make_spares(&s->journal); /* store_room tells that there are not enough */
    return 0;
}

/* Records must have their room in one segment. */
static int make_room(struct store *s, size_t size)
{
    if (journal_fits(&s->journal, size))
        return 0;
    int result = store_commit(s);
    if (result == 0)
        result = store_roll(s, size);
    return result < 0 ? store_break(s, result) : 0;
}

/* Sums them where they are in the batch, and lets them count. */
static void apply(struct store *s, uint8_t *records, size_t size, uint64_t offset)
{
    uint64_t segment = s->journal.segment, seed = segment_seed(s->id, segment);
    for (size_t at = 0; at < size;) {
        struct record r;
        int result = record_read(bytes_of(records + at, size - at), &r);
        assert(result == 0); /* it was looked at */
        record_set_sum(records + at, seed);
        ledger_apply(&s->ledger, &r, position_make(segment, offset + at));
        at += r.size;
    }
}

int store_place(struct store *s, struct bytes records)
{
    struct contents c;
    if (count_contents(records, &c) < 0)
        return -EBADMSG;
    if (c.records == 0)
        return 0;
    if (ledger_reserve(&s->ledger, c.puts, c.appends) < 0)
        return -ENOMEM;
    if (make_room(s, records.size) < 0)
        return -EIO;
    uint64_t offset = journal_end(&s->journal);
    bool is_first = s->journal.batch.size == 0;
    uint8_t *copies = journal_add(&s->journal, records, c.records);
    if (copies == NULL)
        return -ENOMEM;
    ledger_use(&s->ledger, records.size + (is_first ? BATCH_HEADER_SIZE : 0));
    apply(s, copies, records.size, offset);
    return 0;
}

int store_add(struct store *s, uint8_t *records, size_t size)
{
    assert(!s->is_read_only);
    return s->broken < 0 ? -EIO : store_place(s, bytes_of(records, size));
}

int store_finish_first(struct store *s, uint64_t queue, uint64_t from)
{
    assert(!s->is_read_only);
    if (s->broken < 0)
        return -EIO;
    uint64_t seq, position;
    if (!ledger_next_entry(&s->ledger, queue, from, &seq, &position))
        return -ENOENT;
    s->records.size = 0;
    int result = record_finish(&s->records, queue, seq);
    return result < 0 ? result : store_place(s, buffer_bytes(&s->records));
}

/* --------------------------------------------------------------------------- committing ------- */

int store_write(struct store *s)
{
    assert(!s->is_read_only);
    if (s->broken < 0 || s->journal.batch.size == 0)
        return s->broken;
    int result = journal_write(&s->journal);
    if (result < 0)
        return store_break(s, result);
    s->copied.size = 0;
    s->dead_written = s->ledger.first_segment + s->ledger.dead_count;
    return 0;
}

int store_sync(struct store *s)
{
    assert(!s->is_read_only);
    if (s->broken < 0 || s->journal.unsynced == 0)
        return s->broken;
    int result = journal_sync(&s->journal);
    if (result < 0)
        return store_break(s, result);
    s->dead_synced = s->dead_written;
    return 0;
}

int store_commit(struct store *s)
{
    int result = store_write(s);
    return result < 0 ? result : store_sync(s);
}

size_t store_batch_size(const struct store *s)
{
    return s->journal.batch.size;
}

uint64_t store_room(struct store *s)
{
    assert(!s->is_read_only);
    return s->broken < 0 ? 0 : journal_room(&s->journal);
}

/* ------------------------------------------------------------------------------ reading ------- */

static bool is_pending(const struct store *s, uint64_t position)
{
    return !s->is_read_only && position > position_make(s->journal.segment, s->journal.batch_at);
}

uint64_t store_written_end(const struct store *s, uint64_t segment)
{
    if (!s->is_read_only && segment == s->journal.segment)
        return s->journal.batch_at;
    return SEGMENT_FIRST_BATCH + ledger_segment(&s->ledger, segment)->used;
}

int store_record_at(struct store *s, uint64_t position, size_t ahead, struct record *out,
                    struct bytes *raw)
{
    uint64_t segment = position_segment(position), offset = position_offset(position);
    if (!is_pending(s, position))
        return reader_record(&s->reader, segment, offset, ahead, store_written_end(s, segment), out,
                             raw);
    struct bytes bytes = journal_pending(&s->journal, offset);
    int result = record_read(bytes, out);
    assert(result == 0); /* it was looked at when it was added */
    *raw = bytes_of(bytes.data, out->size);
    return 0;
}

/* A stretch of a segment that is worth one call of the disk: the next things that are wanted are
 * never a page apart. */
enum { STRETCH_GAP = 4096 };

struct stretch {
    uint64_t segment, from, to;
};

static struct stretch stretch_begin(uint64_t position)
{
    uint64_t offset = position_offset(position);
    return (struct stretch){ position_segment(position), offset, offset + STRETCH_GAP };
}

static bool stretch_extend(struct stretch *t, uint64_t position)
{
    uint64_t offset = position_offset(position);
    if (position_segment(position) != t->segment || offset < t->from || offset > t->to ||
        offset + STRETCH_GAP > t->from + READ_AHEAD)
        return false;
    t->to = offset + STRETCH_GAP;
    return true;
}

static bool is_at_hand(const struct store *s, uint64_t position)
{
    return is_pending(s, position) ||
           reader_has(&s->reader, position_segment(position), position_offset(position));
}

static int record_fault(struct store *s, uint64_t position, int error, struct store_fault *fault)
{
    char path[sizeof(fault->path)];
    if (segment_path(s->folder, position_segment(position), SEGMENT_LOG, path, sizeof(path)) < 0)
        path[0] = '\0';
    store_fault_say(fault, path, position_offset(position), "a record cannot be read: %s",
                    error == -EBADMSG ? "its bytes are not those that were written"
                                      : strerror(-error));
    return error;
}

/* -------------------------------------------------------------------------------- keys -------- */

static int compare_positions(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static int sorted_positions(const struct store *s, uint8_t first, struct buffer *out)
{
    uint64_t cursor = 0, position;
    while (ledger_next_key(&s->ledger, &cursor, first, &position))
        if (buffer_append(out, bytes_of(&position, sizeof(position))) < 0)
            return -ENOMEM;
    if (out->size > 0)
        qsort(out->data, out->size / sizeof(uint64_t), sizeof(uint64_t), compare_positions);
    return 0;
}

static size_t keys_ahead(const struct store *s, const uint64_t *positions, size_t count)
{
    if (is_at_hand(s, positions[0]))
        return 0;
    struct stretch t = stretch_begin(positions[0]);
    for (size_t i = 1; i < count && stretch_extend(&t, positions[i]); i++) {
    }
    return (size_t)(t.to - t.from);
}

static int walk_positions(struct store *s, const uint64_t *positions, size_t count, uint8_t first,
                          struct store_sink *sink, struct store_fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        struct record r;
        struct bytes raw;
        size_t ahead = keys_ahead(s, positions + i, count - i);
        int result = store_record_at(s, positions[i], ahead, &r, &raw);
        if (result == 0 && r.type != RECORD_PUT)
            result = -EBADMSG;
        if (result < 0)
            return record_fault(s, positions[i], result, fault);
        bool is_wanted =
            r.key.size > 0 && r.key.data[0] == first; /* an empty one begins with none */
        if (is_wanted && !sink->on_key(sink, r.key, r.value))
            return 0;
    }
    return 0;
}

int store_walk(struct store *s, uint8_t first, struct store_sink *sink, struct store_fault *fault)
{
    struct buffer positions;
    buffer_init(&positions);
    int result = sorted_positions(s, first, &positions);
    if (result == 0)
        result = walk_positions(s, (const uint64_t *)(const void *)positions.data,
                                positions.size / sizeof(uint64_t), first, sink, fault);
    else
        store_fault_say(fault, s->folder, 0, "not enough memory");
    buffer_fini(&positions);
    return result;
}

/* ------------------------------------------------------------------------------- queues ------- */

struct store_queue store_queue(const struct store *s, uint64_t queue)
{
    return ledger_queue(&s->ledger, queue);
}

bool store_next_queue(const struct store *s, uint64_t *cursor, uint64_t *queue)
{
    return ledger_next_queue(&s->ledger, cursor, queue);
}

static size_t entries_ahead(const struct store *s, uint64_t queue, uint64_t seq, uint64_t position)
{
    if (is_at_hand(s, position))
        return 0;
    struct stretch t = stretch_begin(position);
    while (seq < UINT64_MAX && ledger_next_entry(&s->ledger, queue, seq + 1, &seq, &position) &&
           stretch_extend(&t, position)) {
    }
    return (size_t)(t.to - t.from);
}

/* Has this entry been written?  A copy that has not is of one that was. */
static bool is_written(const struct store *s, uint64_t position)
{
    if (!is_pending(s, position))
        return true;
    const uint64_t *range = (const uint64_t *)(const void *)s->copied.data;
    for (size_t i = 0; i < s->copied.size / sizeof(uint64_t); i += 2)
        if (position >= range[i] && position < range[i + 1])
            return true;
    return false;
}

static int find_entry(const struct record *r, uint64_t queue, uint64_t seq, struct bytes *data)
{
    struct bytes list = r->list;
    struct record_entry e;
    if (r->type == RECORD_APPEND)
        while (record_next(RECORD_APPEND, &list, &e))
            if (e.queue == queue && e.seq == seq) {
                *data = e.data;
                return 0;
            }
    return -EBADMSG;
}

/* False: the reader wants no more. */
static int read_entry(struct store *s, uint64_t queue, uint64_t seq, uint64_t position,
                      struct store_reader *reader, bool *wants_more)
{
    struct record r;
    struct bytes raw, data;
    int result = store_record_at(s, position, entries_ahead(s, queue, seq, position), &r, &raw);
    if (result == -ENOMEM)
        return result;
    if (result == 0)
        result = find_entry(&r, queue, seq, &data);
    if (result == 0) {
        *wants_more = reader->on_entry(reader, seq, data, r.value);
        return 0;
    }
    struct store_fault fault;
    (void)record_fault(s, position, result, &fault);
    reader->on_damaged(reader, seq, result, &fault);
    return 0;
}

int store_read_queue(struct store *s, uint64_t queue, uint64_t from, struct store_reader *reader)
{
    uint64_t seq, position;
    bool wants_more = true;
    while (wants_more && ledger_next_entry(&s->ledger, queue, from, &seq, &position)) {
        int result = 0;
        if (is_written(s, position))
            result = read_entry(s, queue, seq, position, reader, &wants_more);
        if (result < 0)
            return result;
        if (seq == UINT64_MAX)
            return 0;
        from = seq + 1;
    }
    return 0;
}

/* ------------------------------------------------------------------------------- common ------- */

struct store_stats store_stats(const struct store *s)
{
    return (struct store_stats){
        .segments = s->ledger.segment_count,
        .bytes = s->ledger.used,
        .live_bytes = ledger_live_bytes(&s->ledger),
        .keys = s->ledger.keys.count,
        .queues = s->ledger.queues.count,
        .entries = s->ledger.entries,
        .sequence = s->journal.sequence,
        .batches_written = s->journal.counts.batches_written,
        .bytes_written = s->journal.counts.bytes_written,
        .bytes_copied = s->bytes_copied,
        .segments_recycled = s->journal.counts.segments_recycled,
    };
}

void store_check(const struct store *s)
{
    ledger_check(&s->ledger);
    if (s->is_read_only)
        return;
    journal_check(&s->journal);
    if (s->broken < 0)
        return;
    const uint64_t *copied = (const uint64_t *)(const void *)s->copied.data;
    for (size_t i = 0; i < s->copied.size / sizeof(*copied); i++)
        assert(is_pending(s, copied[i]) &&
               copied[i] <= position_make(s->journal.segment, journal_end(&s->journal)));
    uint64_t last = ledger_last_segment(&s->ledger);
    assert(last == s->journal.segment);
    assert(SEGMENT_FIRST_BATCH + ledger_segment(&s->ledger, last)->used ==
           s->journal.batch_at + s->journal.batch.size);
    assert(s->dead_synced <= s->dead_written);
    assert(s->dead_written <= s->ledger.first_segment + s->ledger.dead_count);
    assert(s->dead_synced >= s->ledger.first_segment);
}
