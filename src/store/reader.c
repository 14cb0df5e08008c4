/* store/reader.c: a window that is moved over files.
 *
 *     segment 7   ......[ chunk: 64 KiB      ]......
 *                          ^ record   ^ record: no call of the disk
 *
 * What was written does not change until its segment is given back, so the chunk needs no care but
 * not to reach beyond `end`, where more will be written. */
#include "store/reader.h"
#include "base/memory.h"
#include "base/little_endian.h"
#include "store/segment.h"

#include <assert.h>
#include <errno.h>

enum {
    CHUNK_KEPT = 1024 * 1024, /* a buffer that was made larger for one record goes */
    LENGTH_OFFSET = 8,        /* of its length in a record */
    PATH_SIZE = 1024,
};

void reader_init(struct reader *r, const struct files *files, const char *folder)
{
    *r = (struct reader){ .files = files, .folder = folder };
}

static void close_file(struct reader_file *f)
{
    if (f->segment != 0)
        f->file->ops->close(f->file);
    *f = (struct reader_file){ 0 };
}

void reader_fini(struct reader *r)
{
    for (size_t i = 0; i < READER_FILES; i++)
        close_file(&r->open[i]);
    buffer_fini(&r->chunk);
}

void reader_forget(struct reader *r, uint64_t segment)
{
    for (size_t i = 0; i < READER_FILES; i++)
        if (r->open[i].segment == segment)
            close_file(&r->open[i]);
    if (r->chunk_segment == segment)
        r->chunk.size = 0;
}

static struct reader_file *oldest_use(struct reader *r)
{
    struct reader_file *oldest = &r->open[0];
    for (size_t i = 1; i < READER_FILES; i++)
        if (r->open[i].used < oldest->used)
            oldest = &r->open[i];
    return oldest;
}

static int open_file(struct reader *r, uint64_t segment, struct file **out)
{
    struct reader_file *f = NULL;
    for (size_t i = 0; i < READER_FILES && f == NULL; i++)
        if (r->open[i].segment == segment)
            f = &r->open[i];
    if (f == NULL) {
        char path[PATH_SIZE];
        struct file *file;
        int result = segment_path(r->folder, segment, SEGMENT_LOG, path, sizeof(path));
        if (result == 0)
            result = r->files->open(r->files, path, FILE_READ, &file);
        if (result < 0)
            return result;
        f = oldest_use(r);
        close_file(f);
        *f = (struct reader_file){ .segment = segment, .file = file };
    }
    f->used = ++r->uses;
    *out = f->file;
    return 0;
}

static int fill_chunk(struct reader *r, uint64_t segment, uint64_t offset, size_t size)
{
    r->chunk.size = 0;
    if (size <= CHUNK_KEPT && r->chunk.capacity > CHUNK_KEPT)
        buffer_fini(&r->chunk);
    uint8_t *room = buffer_reserve(&r->chunk, size);
    if (room == NULL)
        return -ENOMEM;
    struct file *file;
    int result = open_file(r, segment, &file);
    if (result < 0)
        return result;
    ssize_t got = file->ops->read_at(file, room, size, offset);
    if (got < 0)
        return (int)got;
    assert((size_t)got <= size);
    buffer_commit(&r->chunk, (size_t)got);
    r->chunk_segment = segment;
    r->chunk_offset = offset;
    return 0;
}

static bool is_in_chunk(const struct reader *r, uint64_t segment, uint64_t offset, size_t size)
{
    return segment == r->chunk_segment && offset >= r->chunk_offset &&
           offset - r->chunk_offset <= r->chunk.size &&
           r->chunk.size - (size_t)(offset - r->chunk_offset) >= size;
}

bool reader_has(const struct reader *r, uint64_t segment, uint64_t offset)
{
    return is_in_chunk(r, segment, offset, RECORD_HEADER_SIZE);
}

int reader_bytes(struct reader *r, uint64_t segment, uint64_t offset, size_t size, size_t ahead,
                 uint64_t end, struct bytes *out)
{
    if (offset > end || size > end - offset)
        return -EBADMSG;
    if (!is_in_chunk(r, segment, offset, size)) {
        size_t at_once = size > ahead           ? size
                         : ahead > end - offset ? (size_t)(end - offset)
                                                : ahead;
        int result = fill_chunk(r, segment, offset, at_once);
        if (result < 0)
            return result;
        if (!is_in_chunk(r, segment, offset, size))
            return -EBADMSG;
    }
    *out = bytes_of(r->chunk.data + (offset - r->chunk_offset), size);
    return 0;
}

int reader_record(struct reader *r, uint64_t segment, uint64_t offset, size_t ahead, uint64_t end,
                  struct record *out, struct bytes *raw)
{
    struct bytes bytes;
    int result = reader_bytes(r, segment, offset, RECORD_HEADER_SIZE, ahead, end, &bytes);
    if (result < 0)
        return result;
    size_t size = ((size_t)load_u32(bytes.data + LENGTH_OFFSET) + 7) / 8 * 8;
    result = reader_bytes(r, segment, offset, size, ahead, end, &bytes);
    if (result < 0)
        return result;
    struct record record;
    if (record_read(bytes, &record) < 0 ||
        load_u64(bytes.data) != record_sum(bytes, segment_seed(r->store_id, segment)))
        return -EBADMSG;
    *out = record;
    *raw = bytes;
    return 0;
}
