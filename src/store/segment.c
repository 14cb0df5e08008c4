/* store/segment.c: fixed fields at fixed places, each group under a sum of its own.
 *
 *     segment   magic | version | order | number | store id | first sequence | sum | zeros
 *     batch     sum | "btch" | records | sequence | size | unsynced | records ...
 *
 * The sum of a segment's header has no seed: it is what tells the seed of everything else in the
 * segment.  Bytes of an earlier use of a file had another seed, and so are never taken for new. */
#include "store/segment.h"
#include "base/memory.h"
#include "base/little_endian.h"
#include "store/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { BYTE_ORDER_MARK = 0x01020304 };

enum segment_field { /* offsets */
                     SEGMENT_MAGIC = 0,
                     SEGMENT_VERSION = 8,
                     SEGMENT_BYTE_ORDER = 12,
                     SEGMENT_NUMBER = 16,
                     SEGMENT_STORE_ID = 24,
                     SEGMENT_FIRST_SEQUENCE = 32,
                     SEGMENT_SUM = 40,
};

enum batch_field {
    BATCH_SUM = 0,
    BATCH_MAGIC = 8,
    BATCH_RECORDS = 12,
    BATCH_SEQUENCE = 16,
    BATCH_SIZE = 24,
    BATCH_UNSYNCED = 32,
};

static const uint8_t segment_magic[8] = "Chappe\n"; /* and a zero */
static const uint8_t batch_magic[4] = { 'b', 't', 'c', 'h' };

/* ------------------------------------------------------------------------------ segments ------ */

static uint64_t segment_header_sum(const uint8_t *header)
{
    return XXH3_64bits_withSeed(header, SEGMENT_SUM, 0);
}

void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_FIRST_BATCH])
{
    memset(out, 0, SEGMENT_FIRST_BATCH);
    memcpy(out + SEGMENT_MAGIC, segment_magic, sizeof(segment_magic));
    save_u32(out + SEGMENT_VERSION, STORE_VERSION);
    save_u32(out + SEGMENT_BYTE_ORDER, BYTE_ORDER_MARK);
    save_u64(out + SEGMENT_NUMBER, h->number);
    save_u64(out + SEGMENT_STORE_ID, h->store_id);
    save_u64(out + SEGMENT_FIRST_SEQUENCE, h->first_sequence);
    save_u64(out + SEGMENT_SUM, segment_header_sum(out));
}

int segment_header_decode(struct bytes bytes, struct segment_header *out)
{
    if (bytes.size < SEGMENT_HEADER_SIZE)
        return -EBADMSG;
    const uint8_t *at = bytes.data;
    if (memcmp(at + SEGMENT_MAGIC, segment_magic, sizeof(segment_magic)) != 0)
        return -EBADMSG;

    uint64_t sum = load_u64(at + SEGMENT_SUM), right_sum = segment_header_sum(at);
    uint32_t order = load_u32(at + SEGMENT_BYTE_ORDER);
    if (order == __builtin_bswap32(BYTE_ORDER_MARK) && sum == __builtin_bswap64(right_sum))
        return -EPROTONOSUPPORT; /* all of it was written the other way round */
    if (sum != right_sum)
        return -EBADMSG;
    if (order != BYTE_ORDER_MARK || load_u32(at + SEGMENT_VERSION) != STORE_VERSION)
        return -EPROTONOSUPPORT;

    struct segment_header h = {
        .number = load_u64(at + SEGMENT_NUMBER),
        .store_id = load_u64(at + SEGMENT_STORE_ID),
        .first_sequence = load_u64(at + SEGMENT_FIRST_SEQUENCE),
    };
    if (h.number == 0 || h.first_sequence == 0 || h.first_sequence == UINT64_MAX)
        return -EBADMSG;
    *out = h;
    return 0;
}

uint64_t segment_header_raw_id(struct bytes bytes)
{
    return bytes.size < SEGMENT_HEADER_SIZE ? 0 : load_u64(bytes.data + SEGMENT_STORE_ID);
}

/* -------------------------------------------------------------------------------- names ------- */

static const char *const suffixes[] = { [SEGMENT_LOG] = ".log", [SEGMENT_SPARE] = ".spare" };

enum { NUMBER_DIGITS = 16 };

void segment_name(uint64_t number, enum segment_kind kind, char out[SEGMENT_NAME_SIZE])
{
    (void)snprintf(out, SEGMENT_NAME_SIZE, "%016llx%s", (unsigned long long)number,
                   suffixes[kind]); /* 16 digits and the longer suffix fit */
}

bool segment_name_parse(const char *name, enum segment_kind kind, uint64_t *number)
{
    uint64_t value = 0;
    for (int i = 0; i < NUMBER_DIGITS; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false; /* the end of a short name, too */
    }
    if (value == 0 || strcmp(name + NUMBER_DIGITS, suffixes[kind]) != 0)
        return false;
    *number = value;
    return true;
}

int segment_path(const char *folder, uint64_t number, enum segment_kind kind, char *out,
                 size_t size)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(number, kind, name);
    int length = snprintf(out, size, "%s/%s", folder, name);
    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

static int compare_numbers(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof(a));
    memcpy(&b, right, sizeof(b));
    return (a > b) - (a < b);
}

int segment_list(const struct files *files, const char *folder, enum segment_kind kind,
                 uint64_t **numbers, size_t *count)
{
    struct buffer names, found;
    buffer_init(&names);
    buffer_init(&found);
    int result = files->list(files, folder, &names);
    for (size_t at = 0; result == 0 && at < names.size;) {
        const char *name = (const char *)names.data + at;
        uint64_t number;
        if (segment_name_parse(name, kind, &number))
            result = buffer_append(&found, bytes_of(&number, sizeof(number)));
        at += strlen(name) + 1;
    }
    buffer_fini(&names);
    if (result < 0) {
        buffer_fini(&found);
        return result;
    }
    *count = found.size / sizeof(uint64_t);
    if (*count > 0)
        qsort(found.data, *count, sizeof(uint64_t), compare_numbers);
    *numbers = (uint64_t *)(void *)found.data; /* a block of memory_alloc: aligned for anything */
    return 0;
}

/* ------------------------------------------------------------------------------- batches ------ */

static uint64_t batch_header_sum(const uint8_t *header, uint64_t seed)
{
    return XXH3_64bits_withSeed(header + BATCH_MAGIC, BATCH_HEADER_SIZE - BATCH_MAGIC, seed);
}

void batch_header_encode(const struct batch_header *h, uint64_t seed,
                         uint8_t out[BATCH_HEADER_SIZE])
{
    memcpy(out + BATCH_MAGIC, batch_magic, sizeof(batch_magic));
    save_u32(out + BATCH_RECORDS, h->records);
    save_u64(out + BATCH_SEQUENCE, h->sequence);
    save_u64(out + BATCH_SIZE, h->size);
    save_u64(out + BATCH_UNSYNCED, h->unsynced);
    save_u64(out + BATCH_SUM, batch_header_sum(out, seed));
}

int batch_header_decode(struct bytes bytes, uint64_t seed, struct batch_header *out)
{
    if (bytes.size < BATCH_HEADER_SIZE ||
        memcmp(bytes.data + BATCH_MAGIC, batch_magic, sizeof(batch_magic)) != 0 ||
        load_u64(bytes.data + BATCH_SUM) != batch_header_sum(bytes.data, seed))
        return -EBADMSG;
    struct batch_header h = {
        .records = load_u32(bytes.data + BATCH_RECORDS),
        .sequence = load_u64(bytes.data + BATCH_SEQUENCE),
        .size = load_u64(bytes.data + BATCH_SIZE),
        .unsynced = load_u64(bytes.data + BATCH_UNSYNCED),
    };
    if (h.records == 0 || h.size % BATCH_ALIGNMENT != 0 || h.sequence == 0 ||
        h.sequence == UINT64_MAX || h.unsynced >= h.sequence)
        return -EBADMSG;
    *out = h;
    return 0;
}

int batch_check(const struct batch_header *h, struct bytes records, uint64_t seed)
{
    if (records.size != h->size)
        return -EBADMSG;
    for (uint32_t i = 0; i < h->records; i++) {
        struct record record;
        if (record_read(records, &record) < 0 ||
            load_u64(records.data) != record_sum(records, seed))
            return -EBADMSG;
        records = bytes_after(records, record.size);
    }
    return records.size == 0 ? 0 : -EBADMSG;
}
