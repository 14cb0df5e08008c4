/* store/store_fuzz.c: whatever stands in the files, the scan says the same of it twice, reports
 * only what is whole, and calls something damage if and only if it refuses to go on without being
 * asked.
 *
 * Input: one byte of flags; two bytes, how large the first segment is; then the bytes of two
 * segments, without the gap between a segment's header and its first batch.  One flag sets the sums
 * that a fuzzer would not find, and the number in the header. */
#include "base/fake_disk.h"
#include "base/memory.h"
#include "base/little_endian.h"
#include "store/scan.h"
#include "store/segment.h"

#include <assert.h>
#include <errno.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FLAG_SUMS = 1, FLAG_SECOND = 2 };

/* ---------------------------------------------------------------------------- the files ------- */

static void set_segment_sums(uint8_t *header, uint64_t number)
{
    save_u64(header + 16, number);
    save_u64(header + 40, XXH3_64bits_withSeed(header, 40, 0));
}

/* Sums of batch headers, and of the records behind each as far as they are records. */
static void set_batch_sums(uint8_t *data, size_t size, uint64_t seed)
{
    for (size_t at = 0; size - at >= BATCH_HEADER_SIZE; at += 8) {
        if (memcmp(data + at + 8, "btch", 4) != 0)
            continue;
        save_u64(data + at, XXH3_64bits_withSeed(data + at + 8, BATCH_HEADER_SIZE - 8, seed));
        struct record r;
        struct bytes rest = bytes_of(data + at, size - at);
        for (rest = bytes_after(rest, BATCH_HEADER_SIZE); record_read(rest, &r) == 0;
             rest = bytes_after(rest, r.size))
            record_set_sum(data + (size - rest.size), seed);
    }
}

static void put_segment(struct fake_disk *disk, struct bytes input, uint64_t number, bool set_sums)
{
    struct buffer file = { 0 };
    size_t header_size = input.size < SEGMENT_HEADER_SIZE ? input.size : SEGMENT_HEADER_SIZE;
    size_t rest_size = input.size - header_size;
    size_t size = rest_size == 0 ? header_size : SEGMENT_FIRST_BATCH + rest_size;
    uint8_t *out = buffer_reserve(&file, size);
    assert(out != NULL);
    memset(out, 0, size);
    buffer_commit(&file, size);
    if (header_size > 0)
        memcpy(out, input.data, header_size);
    if (rest_size > 0)
        memcpy(out + SEGMENT_FIRST_BATCH, input.data + header_size, rest_size);
    if (set_sums && header_size == SEGMENT_HEADER_SIZE) {
        set_segment_sums(out, number);
        if (rest_size > 0)
            set_batch_sums(out + SEGMENT_FIRST_BATCH, rest_size,
                           segment_seed(load_u64(out + 24), number));
    }
    char path[64];
    int result = segment_path("s", number, SEGMENT_LOG, path, sizeof(path));
    assert(result == 0);
    result = fake_disk_put(disk, path, buffer_bytes(&file));
    assert(result == 0);
    buffer_fini(&file);
}

static void put_store(struct fake_disk *disk, const uint8_t *data, size_t size)
{
    fake_disk_init(disk, 1);
    int result = disk->files.make_folder(&disk->files, "s");
    assert(result == 0);
    if (size < 3)
        return;
    struct bytes rest = bytes_of(data + 3, size - 3);
    size_t first = data[1] | (size_t)data[2] << 8;
    first = first > rest.size ? rest.size : first;
    put_segment(disk, bytes_of(rest.data, first), 1, data[0] & FLAG_SUMS);
    if (data[0] & FLAG_SECOND)
        put_segment(disk, bytes_after(rest, first), 2, data[0] & FLAG_SUMS);
}

/* ---------------------------------------------------------------------------- the scan -------- */

struct witness {
    struct scan_sink sink;
    XXH64_hash_t heard;                 /* all that was said, in order */
    uint64_t segment, sequence, offset; /* the last batch; no damage since */
    uint64_t record_at, damages;
    uint32_t records; /* of the batch, still to come */
    bool is_over;
};

static void note(struct witness *w, const void *data, size_t size)
{
    w->heard = XXH3_64bits_withSeed(data, size, w->heard);
}

static int on_batch(struct scan_sink *sink, const struct scan_place *at, uint32_t records,
                    uint64_t size)
{
    struct witness *w = (struct witness *)sink;
    assert(!w->is_over && w->records == 0 && records > 0 && size >= RECORD_HEADER_SIZE);
    assert(w->sequence == 0 || at->sequence == w->sequence + 1);
    assert(at->segment > w->segment || (at->segment == w->segment && at->offset > w->offset));
    w->segment = at->segment;
    w->offset = at->offset;
    w->sequence = at->sequence;
    w->records = records;
    w->record_at = at->offset + BATCH_HEADER_SIZE;
    note(w, &at->sequence, sizeof(at->sequence));
    return 0;
}

static int on_record(struct scan_sink *sink, const struct scan_place *at,
                     const struct record *record, struct bytes raw)
{
    struct witness *w = (struct witness *)sink;
    assert(w->records > 0 && at->offset == w->record_at && record->size == raw.size);
    assert(load_u64(raw.data) == record_sum(raw, segment_seed(at->store_id, at->segment)));
    w->records--;
    w->record_at += raw.size;

    struct bytes list = record->list;
    struct record_entry entry;
    uint32_t entries = 0;
    while (record_next(record->type, &list, &entry)) {
        note(w, entry.data.data, entry.data.size);
        entries++;
    }
    bool has_list = record->type != RECORD_PUT && record->type != RECORD_REMOVE;
    assert(list.size == 0 && entries == (has_list ? record->count : 0));
    note(w, record->key.data, record->key.size);
    note(w, record->value.data, record->value.size);
    return 0;
}

static int on_end(struct scan_sink *sink, const struct scan_place *at, bool is_torn)
{
    struct witness *w = (struct witness *)sink;
    assert(!w->is_over && w->records == 0);
    w->is_over = true;
    note(w, &at->offset, sizeof(at->offset));
    return 0;
}

static int on_damage(struct scan_sink *sink, const struct scan_place *at, const char *what)
{
    struct witness *w = (struct witness *)sink;
    assert(!w->is_over && w->records == 0 && what[0] != '\0');
    w->damages++;
    w->sequence = 0;
    note(w, what, strlen(what));
    return 0;
}

static int scan(struct fake_disk *disk, struct witness *w, bool asks)
{
    *w = (struct witness){
        .sink = { .on_batch = on_batch, .on_record = on_record, .on_end = on_end },
    };
    if (asks)
        w->sink.on_damage = on_damage;
    struct store_fault fault = { 0 };
    int result = scan_folder(&disk->files, "s", &w->sink, &fault);
    assert((result == 0 && w->records == 0) || fault.text[0] != '\0');
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_disk disk;
    struct witness first, again, strict;
    put_store(&disk, data, size);
    int result = scan(&disk, &first, true);
    assert(result == 0 || result == -ENOENT || result == -EPROTONOSUPPORT);
    assert(scan(&disk, &again, true) == result && again.heard == first.heard);
    assert(scan(&disk, &strict, false) == (first.damages > 0 ? -EBADMSG : result));
    assert(first.damages > 0 || strict.heard == first.heard);
    fake_disk_fini(&disk);
    return 0;
}
