/* store/journal.c: one file that is written to, and a row of files that wait.
 *
 *     0...07.log   [header | batch | batch | batch | zeros written ahead | never written ]
 *                                          ^ batch_at                    ^ written_to
 *     0...08.spare  reserved        0...09.spare  was segment 3
 *     `- the next segment: its header is written and synced under this name, then it is renamed,
 * and the folder is synced: a .log is a segment, at any moment
 *
 * A sync is slower when blocks are written for the first time, because the file system has to note
 * that they are in use.  So a write takes zeros along up to the next quarter of a MiB, and most
 * syncs find blocks that were written before.  A file that had been another segment needs none of
 * that. What stands in it from then has another seed. */
#include "store/journal.h"
#include "base/memory.h"
#include "store/ledger.h"
#include "store/segment.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum {
    ZEROS_STEP = 256 * 1024,
    ZEROS_PIECE = 16 * 1024,
    COPY_STEP = 256 * 1024,
    BATCH_KEPT = 4 * 1024 * 1024, /* a buffer that was larger once goes */
    SPARES_MIN = 2,
    SPARES_EXTRA = 2, /* files given back that are kept beyond what is wanted */
    PATH_SIZE = 1024,
};

struct journal_spare {
    uint64_t written_to;
};

int journal_init(struct journal *j, const struct files *files, const char *folder,
                 uint64_t segment_size, uint64_t reserve)
{
    uint64_t wanted = reserve / segment_size + (reserve % segment_size != 0);
    *j = (struct journal){
        .files = files,
        .folder = folder,
        .segment_size = segment_size,
        .spares_wanted = wanted < SPARES_MIN ? SPARES_MIN : (size_t)wanted,
    };
    if (wanted > SIZE_MAX / sizeof(*j->spares) - SPARES_EXTRA)
        return -ENOMEM;
    j->spares = memory_alloc((j->spares_wanted + SPARES_EXTRA) * sizeof(*j->spares));
    return j->spares == NULL ? -ENOMEM : 0;
}

static void close_file(struct file *file)
{
    if (file != NULL)
        file->ops->close(file);
}

void journal_fini(struct journal *j)
{
    close_file(j->file);
    buffer_fini(&j->batch);
    memory_free(j->spares);
    *j = (struct journal){ 0 };
}

static int open_segment(const struct journal *j, uint64_t number, enum segment_kind kind,
                        enum file_open how, struct file **out)
{
    char path[PATH_SIZE];
    int result = segment_path(j->folder, number, kind, path, sizeof(path));
    return result < 0 ? result : j->files->open(j->files, path, how, out);
}

static int rename_segment(const struct journal *j, uint64_t from, enum segment_kind from_kind,
                          uint64_t to, enum segment_kind to_kind)
{
    char from_path[PATH_SIZE], to_path[PATH_SIZE];
    int result = segment_path(j->folder, from, from_kind, from_path, sizeof(from_path));
    if (result == 0)
        result = segment_path(j->folder, to, to_kind, to_path, sizeof(to_path));
    return result < 0 ? result : j->files->rename(j->files, from_path, to_path);
}

static int remove_segment(const struct journal *j, uint64_t number, enum segment_kind kind)
{
    char path[PATH_SIZE];
    int result = segment_path(j->folder, number, kind, path, sizeof(path));
    return result < 0 ? result : j->files->remove(j->files, path);
}

static int sync_folder(const struct journal *j)
{
    return j->files->sync_folder(j->files, j->folder);
}

/* ------------------------------------------------------------------------------- spares ------- */

static uint64_t next_spare(const struct journal *j)
{
    return j->segment + 1 + j->spare_count;
}

static void add_spare(struct journal *j, uint64_t written_to)
{
    assert(j->spare_count < j->spares_wanted + SPARES_EXTRA);
    j->spares[j->spare_count++] = (struct journal_spare){ written_to };
}

static struct journal_spare take_spare(struct journal *j)
{
    assert(j->spare_count > 0);
    struct journal_spare first = j->spares[0];
    j->spare_count--;
    memmove(j->spares, j->spares + 1, j->spare_count * sizeof(*j->spares));
    return first;
}

/* What is in it is of no account, and neither is whether its name is on the disk: not before it
 * becomes a segment. */
static int make_spare(struct journal *j)
{
    struct file *file;
    uint64_t number = next_spare(j);
    int result = open_segment(j, number, SEGMENT_SPARE, FILE_CREATE, &file);
    if (result < 0)
        return result;
    result = file->ops->reserve(file, j->segment_size);
    close_file(file);
    if (result < 0) {
        (void)remove_segment(j, number, SEGMENT_SPARE); /* else the next one that opens it does */
        return result;
    }
    add_spare(j, 0);
    return 0;
}

int journal_make_spares(struct journal *j)
{
    int result = 0;
    while (result == 0 && j->spare_count < j->spares_wanted)
        result = make_spare(j);
    return result;
}

/* Is this file all that a spare has to be? */
static bool is_fit(const struct journal *j, uint64_t number)
{
    struct file *file;
    if (open_segment(j, number, SEGMENT_SPARE, FILE_WRITE, &file) < 0)
        return false;
    int64_t size = file->ops->size(file);
    bool fit = size >= 0 && (uint64_t)size <= j->segment_size &&
               file->ops->reserve(file, j->segment_size) == 0;
    close_file(file);
    return fit;
}

int journal_adopt_spares(struct journal *j)
{
    uint64_t *numbers;
    size_t count;
    int result = segment_list(j->files, j->folder, SEGMENT_SPARE, &numbers, &count);
    if (result < 0)
        return result;
    for (size_t i = 0; i < count && result == 0; i++) {
        if (numbers[i] == next_spare(j) && j->spare_count < j->spares_wanted &&
            is_fit(j, numbers[i]))
            add_spare(j, 0);
        else
            result = remove_segment(j, numbers[i], SEGMENT_SPARE);
    }
    memory_free(numbers);
    return result;
}

uint64_t journal_room(struct journal *j)
{
    if (journal_make_spares(j) < 0)
        return 0;
    uint64_t free;
    bool is_network;
    if (j->files->space(j->files, j->folder, &free, &is_network) < 0)
        free = 0;
    uint64_t segments = j->spare_count - j->spares_wanted + free / j->segment_size;
    uint64_t here = journal_fits(j, 0) ? j->capacity - journal_end(j) : 0;
    return here + segments * (j->segment_size - SEGMENT_FIRST_BATCH - BATCH_HEADER_SIZE);
}

/* Takes `keep` for as long as the file is open. */
static int lock_keep(const struct journal *j, struct file **out)
{
    char path[PATH_SIZE];
    int size = snprintf(path, sizeof(path), "%s/keep", j->folder);
    if (size < 0 || (size_t)size >= sizeof(path))
        return -ENAMETOOLONG;
    struct file *file;
    int result = j->files->open(j->files, path, FILE_CREATE, &file);
    if (result < 0)
        return result;
    result = file->ops->lock(file, FILE_LOCK_EXCLUSIVE);
    if (result < 0)
        close_file(file);
    else
        *out = file;
    return result;
}

static int64_t segment_file_size(const struct journal *j, uint64_t segment)
{
    struct file *file;
    int result = open_segment(j, segment, SEGMENT_LOG, FILE_READ, &file);
    if (result < 0)
        return result;
    int64_t size = file->ops->size(file);
    close_file(file);
    return size;
}

static int recycle(struct journal *j, uint64_t segment, uint64_t end)
{
    int64_t size = segment_file_size(j, segment);
    if (size < 0)
        return (int)size;
    if ((uint64_t)size != j->segment_size || j->spare_count == j->spares_wanted + SPARES_EXTRA)
        return remove_segment(j, segment, SEGMENT_LOG);
    int result = rename_segment(j, segment, SEGMENT_LOG, next_spare(j), SEGMENT_SPARE);
    if (result < 0)
        return result;
    add_spare(j, end);
    j->counts.segments_recycled++;
    return 0;
}

int journal_give_back(struct journal *j, uint64_t segment, uint64_t end)
{
    assert(segment < j->segment);
    struct file *keep;
    int result = lock_keep(j, &keep);
    if (result < 0)
        return result;
    result = recycle(j, segment, end);
    /* Before anything is written to the file, and before the next segment goes: a machine that
     * fails now must not find it under its old name with new bytes, or the next one gone and this
     * not. */
    if (result == 0)
        result = sync_folder(j);
    close_file(keep);
    return result;
}

/* ------------------------------------------------------------------------------ opening ------- */

/* Writes these bytes once more.  After a sync that failed, the machine may show bytes that are not
 * on the disk, and take them for clean: syncing again would not write them. */
static int write_again(struct file *file, uint64_t from, uint64_t to)
{
    uint8_t *bytes = memory_alloc(COPY_STEP);
    int result = bytes == NULL ? -ENOMEM : 0;
    while (result == 0 && from < to) {
        size_t size = to - from < COPY_STEP ? (size_t)(to - from) : COPY_STEP;
        ssize_t got = file->ops->read_at(file, bytes, size, from);
        if (got <= 0)
            result = got < 0 ? (int)got : -EIO; /* it was there a moment ago */
        else
            result = file->ops->write_at(file, bytes_of(bytes, (size_t)got), from);
        from += got > 0 ? (uint64_t)got : 0;
    }
    memory_free(bytes);
    return result;
}

/* From which byte on a segment's batches may not be on the disk: a batch is proof of all before it
 * but for `unsynced`. */
static int unsure_from(struct journal *j, struct file *file, uint64_t last_batch, uint64_t *out)
{
    uint8_t bytes[BATCH_HEADER_SIZE];
    ssize_t got = file->ops->read_at(file, bytes, sizeof(bytes), last_batch);
    if (got < 0)
        return (int)got;
    struct batch_header h;
    uint64_t seed = segment_seed(j->store_id, j->segment);
    bool is_whole = batch_header_decode(bytes_of(bytes, (size_t)got), seed, &h) == 0;
    *out = is_whole && h.unsynced == 0 ? last_batch : SEGMENT_FIRST_BATCH;
    return 0;
}

static int settle(struct journal *j, struct file *file, uint64_t last_batch, uint64_t end)
{
    uint64_t from = end;
    int result = last_batch == 0 ? 0 : unsure_from(j, file, last_batch, &from);
    if (result == 0)
        result =
            write_again(file, from, end); /* a header is on the disk before its file is a .log */
    if (result == 0)
        result = file->ops->sync(file);
    return result < 0 ? result : sync_folder(j);
}

int journal_continue(struct journal *j, uint64_t segment, uint64_t last_batch, uint64_t end)
{
    struct file *file;
    int result = open_segment(j, segment, SEGMENT_LOG, FILE_WRITE, &file);
    if (result < 0)
        return result;
    j->segment = segment;
    j->file = file; /* closed by fini, whatever happens */
    int64_t size = file->ops->size(file);
    if (size < 0)
        return (int)size;
    j->capacity = (uint64_t)size;
    j->batch_at = j->written_to = end;
    return settle(j, file, last_batch, end);
}

/* ------------------------------------------------------------------------------ writing ------- */

uint64_t journal_end(const struct journal *j)
{
    return j->batch_at + (j->batch.size == 0 ? BATCH_HEADER_SIZE : j->batch.size);
}

bool journal_fits(const struct journal *j, size_t size)
{
    uint64_t end = journal_end(j);
    return end <= j->capacity && size <= j->capacity - end;
}

uint8_t *journal_add(struct journal *j, struct bytes records, uint32_t count)
{
    assert(journal_fits(j, records.size));
    assert(count > 0 && count <= UINT32_MAX - j->batch_records);
    size_t header = j->batch.size == 0 ? BATCH_HEADER_SIZE : 0;
    uint8_t *room = buffer_reserve(&j->batch, header + records.size);
    if (room == NULL)
        return NULL;
    memcpy(room + header, records.data, records.size);
    buffer_commit(&j->batch, header + records.size);
    j->batch_records += count;
    return room + header;
}

struct bytes journal_pending(const struct journal *j, uint64_t offset)
{
    assert(offset >= j->batch_at + BATCH_HEADER_SIZE && offset < j->batch_at + j->batch.size);
    return bytes_after(buffer_bytes(&j->batch), (size_t)(offset - j->batch_at));
}

/* Zeros behind the batch, if it reaches into blocks that were never written.  In small pieces: the
 * kernel counts a whole piece as written again whenever a part of it is. */
static int write_ahead(struct journal *j)
{
    static const uint8_t zeros[ZEROS_PIECE];
    uint64_t end = j->batch_at + j->batch.size;
    if (end <= j->written_to)
        return 0;
    uint64_t to = (end + ZEROS_STEP - 1) / ZEROS_STEP * ZEROS_STEP;
    if (to > j->capacity)
        to = j->capacity;
    for (uint64_t at = end, next; at < to; at = next) {
        next = (at / ZEROS_PIECE + 1) * ZEROS_PIECE;
        struct bytes piece = bytes_of(zeros, (size_t)((next < to ? next : to) - at));
        int result = j->file->ops->write_at(j->file, piece, at);
        if (result < 0)
            return result;
    }
    j->written_to = to;
    return 0;
}

int journal_write(struct journal *j)
{
    assert(j->batch_records > 0);
    size_t size = j->batch.size;
    struct batch_header h = {
        .records = j->batch_records,
        .sequence = j->sequence + 1,
        .size = size - BATCH_HEADER_SIZE,
        .unsynced = j->unsynced,
    };
    batch_header_encode(&h, segment_seed(j->store_id, j->segment), j->batch.data);
    int result = j->file->ops->write_at(j->file, bytes_of(j->batch.data, size), j->batch_at);
    if (result == 0)
        result = write_ahead(j);
    if (result < 0)
        return result;
    j->batch_at += size;
    j->sequence++;
    j->unsynced++;
    j->batch.size = 0;
    j->batch_records = 0;
    if (j->batch.capacity > BATCH_KEPT)
        buffer_fini(&j->batch);
    j->counts.batches_written++;
    j->counts.bytes_written += size;
    return 0;
}

int journal_sync(struct journal *j)
{
    int result = j->file->ops->sync(j->file);
    if (result == 0)
        j->unsynced = 0;
    return result;
}

/* Writes the header of the next segment to the first spare, and makes that a segment. */
static int begin_segment(const struct journal *j, struct file *file, uint64_t number)
{
    uint8_t header[SEGMENT_FIRST_BATCH];
    segment_header_encode(&(struct segment_header){ .number = number,
                                                    .store_id = j->store_id,
                                                    .first_sequence = j->sequence + 1 },
                          header);
    int result = file->ops->write_at(file, bytes_of(header, sizeof(header)), 0);
    if (result == 0)
        result = file->ops->sync(file);
    if (result == 0)
        result = rename_segment(j, number, SEGMENT_SPARE, number, SEGMENT_LOG);
    return result < 0 ? result : sync_folder(j);
}

int journal_roll(struct journal *j, size_t size)
{
    assert(j->batch.size == 0 && j->unsynced == 0);
    uint64_t number = j->segment + 1, capacity = j->segment_size;
    if (size > position_offset_max - SEGMENT_FIRST_BATCH - BATCH_HEADER_SIZE ||
        number > position_segment_max)
        return -EFBIG;
    int result = j->spare_count > 0 ? 0 : make_spare(j);
    if (result < 0)
        return result;

    struct file *file;
    result = open_segment(j, number, SEGMENT_SPARE, FILE_WRITE, &file);
    if (result < 0)
        return result;
    if (size > capacity - SEGMENT_FIRST_BATCH - BATCH_HEADER_SIZE) {
        capacity = SEGMENT_FIRST_BATCH + BATCH_HEADER_SIZE + size;
        result = file->ops->reserve(file, capacity);
    }
    if (result == 0)
        result = begin_segment(j, file, number);
    if (result < 0) {
        close_file(file);
        return result;
    }
    close_file(j->file);
    j->file = file;
    j->segment = number;
    j->capacity = capacity;
    j->written_to = take_spare(j).written_to;
    j->batch_at = SEGMENT_FIRST_BATCH;
    return 0;
}

void journal_check(const struct journal *j)
{
    assert(j->spare_count <= j->spares_wanted + SPARES_EXTRA);
    assert((j->batch.size == 0) == (j->batch_records == 0));
    assert(j->batch_at % BATCH_ALIGNMENT == 0 && j->batch.size % BATCH_ALIGNMENT == 0);
    assert(j->unsynced <= j->sequence);
    assert(j->batch.size == 0 || j->batch_at + j->batch.size <= j->capacity);
}
