/* store/log_maker.h: segments and batches in a buffer, for tests. */
#pragma once

#include "store/record.h"
#include "store/segment.h"
#include <assert.h>

static inline uint64_t maker_seed(const struct segment_header *h)
{
    return segment_seed(h->store_id, h->number);
}

static inline void maker_segment(struct buffer *file, const struct segment_header *h)
{
    uint8_t *out = buffer_reserve(file, SEGMENT_FIRST_BATCH);
    assert(out != NULL);
    segment_header_encode(h, out);
    buffer_commit(file, SEGMENT_FIRST_BATCH);
}

/* Sets the sums in records, counts them, and appends them with a header before them. */
static inline void maker_batch(struct buffer *file, const struct segment_header *h,
                               struct buffer *records, uint64_t sequence, uint64_t unsynced)
{
    struct batch_header batch = {
        .sequence = sequence,
        .unsynced = unsynced,
        .size = records->size,
    };
    for (size_t at = 0; at < records->size; batch.records++) {
        struct record r;
        int result = record_read(bytes_after(buffer_bytes(records), at), &r);
        assert(result == 0);
        record_set_sum(records->data + at, maker_seed(h));
        at += r.size;
    }
    uint8_t header[BATCH_HEADER_SIZE];
    batch_header_encode(&batch, maker_seed(h), header);
    int result = buffer_append(file, bytes_of(header, sizeof(header)));
    assert(result == 0);
    result = buffer_append(file, buffer_bytes(records));
    assert(result == 0);
}
