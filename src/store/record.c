/* store/record.c: a header of 24 bytes and what its type says; then zeros up to a multiple of 8.
 *
 *     sum 8 | length 4 | type 1, zeros 3 | count 4 | zeros 4 | key, value
 *                                                            | entries, body
 *                                                            | pairs
 *                                                            | queues
 *
 * There is one way to say a thing: what is not used is zero, lists are as long as the count says,
 * and nothing is left over.  The sum is set by the store, which alone knows the seed. */
#include "store/record.h"
#include "base/little_endian.h"

#include <assert.h>
#include <errno.h>
#include <xxhash.h>

enum { ALIGNMENT = 8, QUEUE_SIZE = 8, PAIR_SIZE = 16 };

enum record_field { /* offsets */
                    RECORD_SUM = 0,
                    RECORD_LENGTH = 8,
                    RECORD_TYPE =
                        12, /* one byte, but zeros follow: it reads as an integer of four */
                    RECORD_COUNT = 16,
                    RECORD_ZEROS = 20,
};

enum entry_field { ENTRY_QUEUE = 0, ENTRY_SEQ = 8, ENTRY_DATA_SIZE = 16 };

static size_t padding_of(size_t length)
{
    return -length % ALIGNMENT;
}

/* ------------------------------------------------------------------------------ writing ------- */

/* Adds up what is asked for; false: more than a record can say. */
static bool add_size(size_t *sum, size_t size)
{
    if (size > UINT32_MAX - *sum)
        return false;
    *sum += size;
    return true;
}

static uint8_t *write_bytes(uint8_t *out, struct bytes bytes)
{
    if (bytes.size > 0)
        memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

/* The header and the padding of a record of this length, committed.  Where the rest of it goes, or
 * NULL: no memory. */
static uint8_t *begin(struct buffer *out, enum record_type type, size_t count, size_t length)
{
    size_t padding = padding_of(length);
    uint8_t *at = buffer_reserve(out, length + padding);
    if (at == NULL)
        return NULL;
    buffer_commit(out, length + padding);
    memset(at, 0, RECORD_HEADER_SIZE);
    memset(at + length, 0, padding);
    save_u32(at + RECORD_LENGTH, (uint32_t)length);
    save_u32(at + RECORD_TYPE, type);
    save_u32(at + RECORD_COUNT, (uint32_t)count);
    return at + RECORD_HEADER_SIZE;
}

static int write_keyed(struct buffer *out, enum record_type type, struct bytes key,
                       struct bytes value)
{
    size_t length = RECORD_HEADER_SIZE;
    if (!add_size(&length, key.size) || !add_size(&length, value.size))
        return -EMSGSIZE;
    uint8_t *at = begin(out, type, key.size, length);
    if (at == NULL)
        return -ENOMEM;
    at = write_bytes(at, key);
    write_bytes(at, value);
    return 0;
}

int record_put(struct buffer *out, struct bytes key, struct bytes value)
{
    return write_keyed(out, RECORD_PUT, key, value);
}

int record_remove(struct buffer *out, struct bytes key)
{
    return write_keyed(out, RECORD_REMOVE, key, (struct bytes){ 0 });
}

int record_finish(struct buffer *out, uint64_t queue, uint64_t seq)
{
    uint8_t *at = begin(out, RECORD_FINISH, 1, RECORD_HEADER_SIZE + PAIR_SIZE);
    if (at == NULL)
        return -ENOMEM;
    save_u64(at + ENTRY_QUEUE, queue);
    save_u64(at + ENTRY_SEQ, seq);
    return 0;
}

int record_drop(struct buffer *out, uint64_t queue)
{
    uint8_t *at = begin(out, RECORD_DROP, 1, RECORD_HEADER_SIZE + QUEUE_SIZE);
    if (at == NULL)
        return -ENOMEM;
    save_u64(at, queue);
    return 0;
}

static bool append_length(const struct record_entry *entries, size_t count,
                          const struct bytes *parts, size_t part_count, size_t *length)
{
    *length = RECORD_HEADER_SIZE;
    for (size_t i = 0; i < count; i++)
        if (!add_size(length, RECORD_ENTRY_SIZE) || !add_size(length, entries[i].data.size))
            return false;
    for (size_t i = 0; i < part_count; i++)
        if (!add_size(length, parts[i].size))
            return false;
    return true;
}

int record_append(struct buffer *out, const struct record_entry *entries, size_t count,
                  const struct bytes *parts, size_t part_count)
{
    assert(count > 0); /* a body that nobody waits for */
    size_t length;
    if (!append_length(entries, count, parts, part_count, &length))
        return -EMSGSIZE;
    uint8_t *at = begin(out, RECORD_APPEND, count, length);
    if (at == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        save_u64(at + ENTRY_QUEUE, entries[i].queue);
        save_u64(at + ENTRY_SEQ, entries[i].seq);
        save_u32(at + ENTRY_DATA_SIZE, (uint32_t)entries[i].data.size);
        at = write_bytes(at + RECORD_ENTRY_SIZE, entries[i].data);
    }
    for (size_t i = 0; i < part_count; i++)
        at = write_bytes(at, parts[i]);
    return 0;
}

/* ------------------------------------------------------------------------------ reading ------- */

static bool is_zero(struct bytes bytes)
{
    uint8_t all = 0;
    for (size_t i = 0; i < bytes.size; i++)
        all |= bytes.data[i];
    return all == 0;
}

static bool read_keyed(struct bytes rest, struct record *r)
{
    if (r->count > rest.size)
        return false;
    r->key = bytes_of(rest.data, r->count);
    r->value = bytes_after(rest, r->count);
    return r->type == RECORD_PUT || r->value.size == 0;
}

/* A list of things of one size, and nothing behind it. */
static bool read_list(struct bytes rest, size_t each, struct record *r)
{
    r->list = rest;
    return r->count > 0 && rest.size % each == 0 && rest.size / each == r->count;
}

static bool read_entries(struct bytes rest, struct record *r)
{
    r->value = rest;
    struct record_entry entry;
    for (uint32_t i = 0; i < r->count; i++) /* at most as often as entries fit */
        if (!record_next(RECORD_APPEND, &r->value, &entry))
            return false;
    r->list = bytes_of(rest.data, rest.size - r->value.size);
    return r->count > 0;
}

static bool read_rest(struct bytes rest, struct record *r)
{
    switch (r->type) {
    case RECORD_PUT:
    case RECORD_REMOVE:
        return read_keyed(rest, r);
    case RECORD_APPEND:
        return read_entries(rest, r);
    case RECORD_FINISH:
        return read_list(rest, PAIR_SIZE, r);
    case RECORD_DROP:
        return read_list(rest, QUEUE_SIZE, r);
    }
    return false;
}

int record_read(struct bytes bytes, struct record *out)
{
    if (bytes.size < RECORD_HEADER_SIZE)
        return -EBADMSG;
    size_t length = load_u32(bytes.data + RECORD_LENGTH);
    if (length < RECORD_HEADER_SIZE || length > bytes.size)
        return -EBADMSG;
    size_t padding = padding_of(length);
    if (padding > bytes.size - length || !is_zero(bytes_of(bytes.data + length, padding)))
        return -EBADMSG;
    uint32_t type = load_u32(bytes.data + RECORD_TYPE);
    if (type < RECORD_PUT || type > RECORD_DROP || load_u32(bytes.data + RECORD_ZEROS) != 0)
        return -EBADMSG;

    struct record r = {
        .type = (enum record_type)type,
        .count = load_u32(bytes.data + RECORD_COUNT),
        .size = length + padding,
    };
    struct bytes whole = bytes_of(bytes.data, length);
    if (!read_rest(bytes_after(whole, RECORD_HEADER_SIZE), &r))
        return -EBADMSG;
    *out = r;
    return 0;
}

bool record_next(enum record_type type, struct bytes *list, struct record_entry *out)
{
    size_t size = type == RECORD_APPEND   ? RECORD_ENTRY_SIZE
                  : type == RECORD_FINISH ? PAIR_SIZE
                                          : QUEUE_SIZE;
    if (list->size < size)
        return false;
    const uint8_t *at = list->data;
    struct record_entry entry = { .queue = load_u64(at + ENTRY_QUEUE) };
    if (type != RECORD_DROP)
        entry.seq = load_u64(at + ENTRY_SEQ);
    struct bytes rest = bytes_after(*list, size);
    if (type == RECORD_APPEND) {
        size_t data_size = load_u32(at + ENTRY_DATA_SIZE);
        if (data_size > rest.size)
            return false;
        entry.data = bytes_of(rest.data, data_size);
        rest = bytes_after(rest, data_size);
    }
    *list = rest;
    *out = entry;
    return true;
}

/* --------------------------------------------------------------------------------- sums ------- */

uint64_t record_sum(struct bytes record, uint64_t seed)
{
    size_t length = load_u32(record.data + RECORD_LENGTH);
    assert(length >= RECORD_HEADER_SIZE && length <= record.size);
    return XXH3_64bits_withSeed(record.data + RECORD_LENGTH, length - RECORD_LENGTH, seed);
}

void record_set_sum(uint8_t *record, uint64_t seed)
{
    size_t length = load_u32(record + RECORD_LENGTH);
    save_u64(record + RECORD_SUM, record_sum(bytes_of(record, length), seed));
}
