/* store/store_clean.c: old segments go.
 *
 *     segment 3      4      5      6
 *        [ .x.. ]   [    ] [    ] [    |batch
 *            `----------------------------^
 *
 * What is live in 3 is added to the batch, and counts there from then on.  When that batch is on
 * the disk, 3 goes.
 *
 * A segment in which nothing is live needs no copying.  Either way it goes only after a sync of
 * what made it dead: else a power failure could take the new place of a thing, when the old one is
 * gone.
 *
 * The rule: copy when the log has more than twice what is live and four segments.  With n bytes
 * live, it takes n + 4 segments of new bytes to get there, and copying at most n bytes to halve the
 * log again: whoever writes a byte pays for copying about one at most. */
#include "base/memory.h"
#include "store/store_state.h"

#include <assert.h>
#include <errno.h>

enum {
    SEGMENTS_FREE = 4,   /* so large a log may be, whatever is live */
    SEGMENTS_SHORT = 1,  /* the same where there is no room */
    READ_PER_COPIED = 4, /* bytes that may be looked at for each that may be copied */
    SPARES_LEFT = 1,     /* copying leaves that many for finishing, which makes room without it */
};

static bool is_too_large(const struct store *s, bool is_short)
{
    uint64_t live = ledger_live_bytes(&s->ledger);
    if (is_short)
        return ledger_log_bytes(&s->ledger) > live + live / 4 + SEGMENTS_SHORT * s->segment_size;
    return ledger_log_bytes(&s->ledger) > 2 * live + SEGMENTS_FREE * s->segment_size;
}

/* -------------------------------------------------------------------------- giving back ------- */

static int give_back_dead(struct store *s)
{
    struct ledger *l = &s->ledger;
    while (l->first_segment < s->dead_synced) {
        uint64_t segment = l->first_segment;
        reader_forget(&s->reader, segment);
        int result = journal_give_back(&s->journal, segment,
                                       SEGMENT_FIRST_BATCH + ledger_segment(l, segment)->used);
        if (result == -EAGAIN)
            return 0; /* another time */
        if (result < 0)
            return store_break(s, result);
        ledger_forget_segment(l);
    }
    return 0;
}

/* ------------------------------------------------------------------------------ copying ------- */

/* Notes that from here to the end of the batch there are only copies. */
static void note_copied(struct store *s, uint64_t from, uint64_t to)
{
    uint64_t *range = (uint64_t *)(void *)s->copied.data;
    size_t count = s->copied.size / sizeof(*range);
    if (count > 0 && range[count - 1] == from) {
        range[count - 1] = to;
        return;
    }
    range[count] = from; /* was reserved */
    range[count + 1] = to;
    buffer_commit(&s->copied, 2 * sizeof(*range));
}

static int copy_record(struct store *s, struct bytes record)
{
    if (!journal_fits(&s->journal, record.size) && s->journal.spare_count <= SPARES_LEFT &&
        (journal_make_spares(&s->journal) < 0 || s->journal.spare_count <= SPARES_LEFT))
        return -ENOSPC;
    if (buffer_reserve(&s->copied, 2 * sizeof(uint64_t)) == NULL)
        return -ENOMEM;
    int result = store_place(s, record);
    if (result < 0)
        return result;
    uint64_t end = journal_end(&s->journal);
    note_copied(s, position_make(s->journal.segment, end - record.size),
                position_make(s->journal.segment, end));
    s->bytes_copied += record.size;
    return 0;
}

static bool is_live_entry(const struct store *s, const struct record_entry *e, uint64_t position)
{
    return ledger_entry(&s->ledger, e->queue, e->seq) == position;
}

/* The live entries of an append, into s->records; how many, or -ENOMEM. */
static int64_t collect_live(struct store *s, const struct record *r, uint64_t position)
{
    struct buffer *out = &s->records;
    out->size = 0;
    struct bytes list = r->list;
    struct record_entry e;
    int64_t live = 0;
    while (record_next(RECORD_APPEND, &list, &e)) {
        if (!is_live_entry(s, &e, position))
            continue;
        if (buffer_append(out, bytes_of(&e, sizeof(e))) < 0)
            return -ENOMEM;
        live++;
    }
    return live;
}

static int copy_some_entries(struct store *s, const struct record *r, size_t live)
{
    struct buffer record;
    buffer_init(&record);
    const void *entries = s->records.data;
    int result = record_append(&record, entries, live, &r->value, 1);
    if (result == 0)
        result = copy_record(s, buffer_bytes(&record));
    buffer_fini(&record);
    return result;
}

static int copy_append(struct store *s, const struct record *r, struct bytes raw, uint64_t position)
{
    int64_t live = collect_live(s, r, position);
    if (live <= 0)
        return (int)live;
    return live == r->count ? copy_record(s, raw) : copy_some_entries(s, r, (size_t)live);
}

/* What is live of a record gets a new place. */
static int copy_live(struct store *s, const struct record *r, struct bytes raw, uint64_t position)
{
    if (r->type == RECORD_APPEND)
        return copy_append(s, r, raw, position);
    if (r->type == RECORD_PUT && ledger_key(&s->ledger, r->key) == position)
        return copy_record(s, raw);
    return 0; /* what says that something is done with does so of what is gone already */
}

/* ------------------------------------------------------------------- walking a segment -------- */

static int enter_batch(struct store *s, uint64_t end)
{
    struct bytes bytes;
    uint64_t segment = s->cleaning.segment, offset = s->cleaning.offset;
    int result =
        reader_bytes(&s->reader, segment, offset, BATCH_HEADER_SIZE, READ_AHEAD, end, &bytes);
    if (result < 0)
        return result;
    struct batch_header h;
    if (batch_header_decode(bytes, segment_seed(s->id, segment), &h) < 0 ||
        h.size > end - offset - BATCH_HEADER_SIZE)
        return -EBADMSG;
    s->cleaning.offset += BATCH_HEADER_SIZE;
    s->cleaning.batch_end = s->cleaning.offset + h.size;
    return 0;
}

/* The next record of the segment.  How many bytes were looked at, or a negative errno. */
static int64_t clean_record(struct store *s)
{
    uint64_t segment = s->cleaning.segment, end = store_written_end(s, segment);
    if (s->cleaning.offset == end)
        return -EBADMSG; /* something in it is live, but it was not found */
    if (s->cleaning.offset == s->cleaning.batch_end) {
        int result = enter_batch(s, end);
        if (result < 0)
            return result;
    }
    struct record r;
    struct bytes raw;
    uint64_t offset = s->cleaning.offset;
    int result = reader_record(&s->reader, segment, offset, READ_AHEAD, end, &r, &raw);
    if (result == 0)
        result = copy_live(s, &r, raw, position_make(segment, offset));
    if (result < 0)
        return result;
    s->cleaning.offset += r.size;
    return (int64_t)r.size;
}

/* The first segment in which something is live; false: that is the one that is written to. */
static bool choose_segment(struct store *s)
{
    uint64_t segment = s->ledger.first_segment + s->ledger.dead_count;
    if (segment == s->journal.segment)
        return false;
    if (segment != s->cleaning.segment) {
        s->cleaning.segment = segment;
        s->cleaning.offset = s->cleaning.batch_end = SEGMENT_FIRST_BATCH;
    }
    return true;
}

static int clean_some(struct store *s, size_t bytes_max, bool is_short)
{
    uint64_t copied_before = s->bytes_copied, looked_at = 0;
    while (is_too_large(s, is_short) && choose_segment(s)) {
        if (s->bytes_copied - copied_before >= bytes_max ||
            looked_at / READ_PER_COPIED >= bytes_max)
            return 1;
        int64_t size = clean_record(s);
        if (size < 0)
            return (int)size;
        looked_at += (uint64_t)size;
    }
    return 0;
}

int store_clean(struct store *s, size_t bytes_max, bool is_short)
{
    assert(!s->is_read_only);
    if (s->broken < 0)
        return s->broken;
    int result = give_back_dead(s);
    if (result == 0)
        result = clean_some(s, bytes_max, is_short);
    if (s->broken < 0)
        return s->broken;
    return result == -ENOSPC ? 0 : result; /* when there is room again */
}
