/* Stores are written down as a row of words, and so is what the scan says of them:
 *
 *     2:7    a segment: its number, and the first sequence in its header
 *     2:7x   with a header that is: x damaged, z all zeros, s cut short, n of another number,
 *            f of another store, v of another version, o in another byte order
 *     #7     a batch; #7! a damaged record, #7^ a damaged header, #7/2 two before it were unsynced
 *     ~      a batch that an earlier use of the file has left behind
 *     .      8 zeros
 *
 *     end@2+1 torn@2+1 damage@2+1     in segment 2, behind one batch; h: its header */
#include "base/fake_disk.h"
#include "base/memory.h"
#include "store/log_maker.h"
#include "store/scan.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { STORE_ID = 0xabcdef, OTHER_ID = 0x777, SLOT = BATCH_HEADER_SIZE + RECORD_HEADER_SIZE + 8 };

/* ------------------------------------------------------------------------------- writing ------ */

static void flip(struct buffer *file, size_t offset)
{
    file->data[offset] ^= 0x10;
}

static void set_header_sum(struct buffer *file, bool is_swapped)
{
    uint64_t sum = XXH3_64bits_withSeed(file->data, 40, 0);
    sum = is_swapped ? __builtin_bswap64(sum) : sum;
    memcpy(file->data + 40, &sum, sizeof(sum));
}

static void spoil_header(struct buffer *file, char how)
{
    if (how == 'x')
        flip(file, 20);
    if (how == 'z')
        memset(file->data, 0, SEGMENT_HEADER_SIZE);
    if (how == 's')
        file->size = 20;
    if (how == 'v') {
        file->data[8] = 2;
        set_header_sum(file, false);
    }
    if (how == 'o') {
        memcpy(file->data + 8, "\0\0\0\1\1\2\3\4", 8);
        set_header_sum(file, true);
    }
}

/* Of one record: the key k, and the sequence as its value. */
static void write_batch(struct buffer *file, const struct segment_header *h, uint64_t sequence,
                        uint64_t unsynced)
{
    struct buffer records = { 0 };
    char value[8];
    (void)snprintf(value, sizeof(value), "%07u", (unsigned)sequence);
    record_put(&records, BYTES("k"), bytes_of(value, 7));
    maker_batch(file, h, &records, sequence, unsynced);
    buffer_fini(&records);
}

static void write_word(struct buffer *file, const struct segment_header *h, const char *word)
{
    static const uint8_t zeros[8];
    if (*word == '.') {
        buffer_append(file, bytes_of(zeros, sizeof(zeros)));
    } else if (*word == '~') {
        struct segment_header old = *h;
        old.number += 1000;
        write_batch(file, &old, h->first_sequence + 1, 0);
    } else {
        char *rest;
        uint64_t sequence = strtoull(word + 1, &rest, 10), unsynced = 0;
        if (*rest == '/')
            unsynced = strtoull(rest + 1, &rest, 10);
        write_batch(file, h, sequence, unsynced);
        if (*rest == '!')
            flip(file, file->size - 3);
        if (*rest == '^')
            flip(file, file->size - SLOT + 20);
    }
}

static const char *write_segment(struct fake_disk *disk, const char *words)
{
    char *rest;
    struct segment_header h = { .store_id = STORE_ID };
    h.number = strtoull(words, &rest, 10);
    h.first_sequence = strtoull(rest + 1, &rest, 10);
    char how = *rest;
    if (how == 'f')
        h.store_id = OTHER_ID;

    struct buffer file = { 0 };
    struct segment_header written = h;
    written.number += how == 'n';
    maker_segment(&file, &written);
    spoil_header(&file, how);
    for (words = strchr(rest, ' '); words != NULL; words = strchr(words, ' ')) {
        words++;
        if (*words >= '0' && *words <= '9')
            break; /* the next segment */
        write_word(&file, &h, words);
    }
    if (how != 's') {
        uint8_t *room = buffer_reserve(&file, 256);
        memset(room, 0, 256);
        buffer_commit(&file, 256);
    }
    char path[64];
    assert_int_equal(segment_path("s", h.number, SEGMENT_LOG, path, sizeof(path)), 0);
    assert_int_equal(fake_disk_put(disk, path, buffer_bytes(&file)), 0);
    buffer_fini(&file);
    return words;
}

static void write_store(struct fake_disk *disk, const char *words)
{
    fake_disk_init(disk, 1);
    assert_int_equal(disk->files.make_folder(&disk->files, "s"), 0);
    while (words != NULL && *words != '\0')
        words = write_segment(disk, words);
}

/* ------------------------------------------------------------------------------- reading ------ */

struct listener {
    struct scan_sink sink;
    struct buffer text;
    uint64_t batch_end; /* where the next record of the batch must stand */
    uint32_t records;   /* of the batch, still to come */
    uint64_t damages;
    int answer; /* to damage */
};

static struct listener *listener_of(struct scan_sink *sink)
{
    return (struct listener *)sink;
}

static void say_place(struct listener *l, const char *what, const struct scan_place *at)
{
    char path[64];
    assert_int_equal(segment_path("s", at->segment, SEGMENT_LOG, path, sizeof(path)), 0);
    assert_string_equal(at->path, path);
    buffer_printf(&l->text, "%s%s@%u", l->text.size > 0 ? " " : "", what, (unsigned)at->segment);
    if (at->offset == 0) {
        buffer_printf(&l->text, "h");
        return;
    }
    unsigned offset = (unsigned)at->offset - SEGMENT_FIRST_BATCH;
    buffer_printf(&l->text, "+%u", offset / SLOT);
    if (offset % SLOT != 0)
        buffer_printf(&l->text, ".%u", offset % SLOT);
}

static int hear_segment(struct scan_sink *sink, const struct scan_place *at, uint64_t file_size)
{
    struct listener *l = listener_of(sink);
    assert_int_equal(l->records, 0);
    assert_true(at->offset == 0 && file_size > 0);
    buffer_printf(&l->text, "%s%u:%u", l->text.size > 0 ? " " : "", (unsigned)at->segment,
                  (unsigned)at->sequence);
    return 0;
}

static int hear_batch(struct scan_sink *sink, const struct scan_place *at, uint32_t records,
                      uint64_t size)
{
    struct listener *l = listener_of(sink);
    assert_int_equal(l->records, 0);
    assert_int_equal(at->offset % 8, 0);
    l->records = records;
    l->batch_end = at->offset + BATCH_HEADER_SIZE;
    buffer_printf(&l->text, " #%u", (unsigned)at->sequence);
    return 0;
}

static int hear_record(struct scan_sink *sink, const struct scan_place *at,
                       const struct record *record, struct bytes raw)
{
    struct listener *l = listener_of(sink);
    assert_true(l->records-- > 0);
    assert_int_equal(at->offset, l->batch_end);
    l->batch_end += raw.size;
    assert_int_equal(record->size, raw.size);
    uint64_t sum = record_sum(raw, segment_seed(at->store_id, at->segment));
    assert_memory_equal(raw.data, &sum, sizeof(sum));
    char value[8];
    (void)snprintf(value, sizeof(value), "%07u", (unsigned)at->sequence);
    if (bytes_equal(record->key, BYTES("k")))
        assert_true(bytes_equal(record->value, bytes_of(value, 7)));
    return 0;
}

static int hear_end(struct scan_sink *sink, const struct scan_place *at, bool is_torn)
{
    say_place(listener_of(sink), is_torn ? "torn" : "end", at);
    return 0;
}

static int hear_damage(struct scan_sink *sink, const struct scan_place *at, const char *what)
{
    struct listener *l = listener_of(sink);
    assert_true(strlen(what) > 10);
    l->damages++;
    say_place(l, "damage", at);
    return l->answer;
}

static void listener_init(struct listener *l)
{
    *l = (struct listener){
        .sink = {
            .on_segment = hear_segment,
            .on_batch = hear_batch,
            .on_record = hear_record,
            .on_end = hear_end,
            .on_damage = hear_damage,
        },
    };
}

static int scan(struct fake_disk *disk, struct listener *l, struct store_fault *fault)
{
    *fault = (struct store_fault){ 0 };
    l->text.size = 0;
    l->records = 0;
    int result = scan_folder(&disk->files, "s", &l->sink, fault);
    assert_int_equal(buffer_append(&l->text, bytes_of("", 1)), 0);
    return result;
}

static const char *text_of(const struct listener *l)
{
    return (const char *)l->text.data;
}

/* -------------------------------------------------------------------------------- rows -------- */

static const struct {
    const char *store, *said;
} rows[] = {
    { "1:1", "1:1 end@1+0" },
    { "1:1 #1 #2", "1:1 #1 #2 end@1+2" },
    { "1:1 #1 2:2 #2 #3", "1:1 #1 2:2 #2 #3 end@2+2" },
    { "7:100 #100 8:101", "7:100 #100 8:101 end@8+0" }, /* older ones have gone */
    { "1:1 2:1 #1", "1:1 2:1 #1 end@2+1" },             /* a first batch that was too large */

    /* The end of the log: what was being written. */
    { "1:1 #1 #2!", "1:1 #1 torn@1+1" },
    { "1:1 #1 #2^", "1:1 #1 end@1+1" },
    { "1:1 #1!", "1:1 torn@1+0" },
    { "1:1 #1 ~ ~", "1:1 #1 end@1+1" }, /* an earlier use of the file */
    { "1:1 #1 2:2 ~ ~", "1:1 #1 2:2 end@2+0" },
    { "1:1 #1 #2 #1", "1:1 #1 #2 torn@1+2" }, /* an old one follows: nothing is missing */

    /* Damage: what was promised follows. */
    { "1:1 #1 #2! #3", "1:1 #1 damage@1+1 #3 end@1+3" },
    { "1:1 #1 #2^ #3", "1:1 #1 damage@1+1 #3 end@1+3" },
    { "1:1 #1^ #2", "1:1 damage@1+0 #2 end@1+2" },
    { "1:1 #1 #2! #3! #4", "1:1 #1 damage@1+1 #4 end@1+4" },
    { "1:1 #1 #2! #3 #4! #5", "1:1 #1 damage@1+1 #3 damage@1+3 #5 end@1+5" },
    { "1:1 #1 #2! #3 #1", "1:1 #1 damage@1+1 #3 torn@1+3" },
    { "1:1 #1 #3", "1:1 #1 damage@1+1 #3 end@1+2" },
    { "1:1 #1 . #3", "1:1 #1 damage@1+1 #3 end@1+2.8" },
    { "1:1 #1 . #2", "1:1 #1 damage@1+1 #2 end@1+2.8" }, /* written, but not where it belongs */
    { "1:1 #1 ~ #3", "1:1 #1 damage@1+1 #3 end@1+3" },

    /* Written without a sync: the later one may be there without the one before it. */
    { "1:1 #1 #2! #3/1", "1:1 #1 torn@1+1" },
    { "1:1 #1 #2^ #3/1 #4/2", "1:1 #1 torn@1+1" },
    { "1:1 #1 #2^ #3/1 #4/1", "1:1 #1 damage@1+1 #3 #4 end@1+4" }, /* 2 was synced before 4 */
    { "1:1 #1 #2^ #3/1 #4", "1:1 #1 damage@1+1 #3 #4 end@1+4" },
    { "1:1 #1 #2^ #3/2", "1:1 #1 torn@1+1" },
    { "1:1 #1 #2 #3! #4/2", "1:1 #1 #2 torn@1+2" },

    /* The next segment goes on: the rest of this one is unused, whatever is in it. */
    { "1:1 #1 #2! 2:2 #2", "1:1 #1 2:2 #2 end@2+1" },
    { "1:1 #1 #2^ #3/1 2:2 #2", "1:1 #1 2:2 #2 end@2+1" },
    { "1:1 #1 #2^ #3 2:2 #2", "1:1 #1 2:2 #2 end@2+1" },
    { "1:1 #1 #2! 2:3 #3", "1:1 #1 damage@2h 2:3 #3 end@2+1" },
    { "1:1 #1 #2 2:2 #2", "1:1 #1 #2 damage@2h 2:2 #2 end@2+1" },
    { "1:1 #1 #2! #3 2:4 #4", "1:1 #1 damage@1+1 #3 2:4 #4 end@2+1" },
    { "1:1 #1 #2! #3 2:2f", "1:1 #1 damage@1+1 #3 damage@2h" },
    { "1:1 #1 #2! #3 3:2 #2", "1:1 #1 damage@1+1 #3 damage@2h 3:2 #2 end@3+1" },

    /* A number is missing. */
    { "1:1 #1 3:3 #3", "1:1 #1 damage@2h 3:3 #3 end@3+1" },
    { "1:1 #1 3:2 #2", "1:1 #1 damage@2h 3:2 #2 end@3+1" },
    { "1:1 #1 9:9 10:9 #9", "1:1 #1 damage@2h 9:9 10:9 #9 end@10+1" },

    /* Headers. */
    { "1:1 #1 2:2x #2 3:3 #3", "1:1 #1 damage@2h 2:2 #2 3:3 #3 end@3+1" },
    { "1:1 #1 2:2z #2 #3", "1:1 #1 damage@2h 2:2 #2 #3 end@2+2" },
    { "1:1 #1 2:2n #2", "1:1 #1 damage@2h 2:2 #2 end@2+1" },
    { "1:1 #1 2:2x 3:2 #2", "1:1 #1 damage@2h 2:2 3:2 #2 end@3+1" },
    { "1:1 #1 2:2s 3:2 #2", "1:1 #1 damage@2h 2:2 3:2 #2 end@3+1" },
    { "1:1x #1 2:2 #2", "damage@1h 1:0 #1 2:2 #2 end@2+1" },
    { "1:1z #1 2:2 #2", "damage@1h 1:0 #1 2:2 #2 end@2+1" },
    { "1:1x #1 #2! #3", "damage@1h 1:0 #1 damage@1+1 #3 end@1+3" },
    { "1:1x #1! #2", "damage@1h 1:0 damage@1+0 #2 end@1+2" },
    { "1:1x #1", "damage@1h 1:0 #1 end@1+1" },
    { "1:1z #1", "damage@1h 1:0 end@1+0" }, /* nobody knows its store id */
    { "1:1z #1 2:2z #2", "damage@1h 1:0 damage@2h 2:0 end@2+0" },

    /* A last segment that was being made. */
    { "1:1 #1 2:2x", "1:1 #1 torn@2h" },
    { "1:1 #1 2:2z", "1:1 #1 torn@2h" },
    { "1:1 #1 2:2s", "1:1 #1 torn@2h" },
    { "1:1 #1 2:2n", "1:1 #1 torn@2h" },
    { "1:1 #1 2:2x ~ ~", "1:1 #1 torn@2h" },
    { "1:1 #1 2:2x #2!", "1:1 #1 torn@2h" },
    { "1:1 #1 #2! 2:2x", "1:1 #1 torn@2h" },
    { "1:1 #1 #2! #3 2:4x", "1:1 #1 damage@1+1 #3 damage@2h 2:4 end@2+0" },
    { "1:1z", "torn@1h" },
    { "1:1s", "torn@1h" },
    { "1:1z ~", "damage@1h 1:0 end@1+0" }, /* not known to be nothing */

    /* Another store's. */
    { "1:1 #1 2:2f #2 3:2 #2", "1:1 #1 damage@2h 3:2 #2 end@3+1" },
    { "1:1 #1 2:2f", "1:1 #1 damage@2h" },
};

static void what_is_the_end_and_what_is_damage(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct fake_disk disk;
        struct listener l;
        struct store_fault fault;
        listener_init(&l);
        write_store(&disk, rows[i].store);
        int result = scan(&disk, &l, &fault);
        if (result != 0 || strcmp(text_of(&l), rows[i].said) != 0)
            fail_msg("%s: %d %s", rows[i].store, result, text_of(&l));

        /* The first damage is the last word if nobody wants to go on. */
        bool is_damaged = l.damages > 0;
        l.answer = -EINTR;
        assert_int_equal(scan(&disk, &l, &fault), is_damaged ? -EINTR : 0);
        l.sink.on_damage = NULL;
        assert_int_equal(scan(&disk, &l, &fault), is_damaged ? -EBADMSG : 0);
        assert_true(!is_damaged || fault.text[0] != '\0');
        buffer_fini(&l.text);
        fake_disk_fini(&disk);
    }
}

static void faults_name_the_place(void **state)
{
    static const struct {
        const char *store;
        int result;
        const char *path;
        uint64_t offset;
        const char *text;
    } cases[] = {
        { "", -ENOENT, "s", 0, "there is no store here" },
        { "1:1o", -EPROTONOSUPPORT, "s/0000000000000001.log", 0,
          "was written by another version of Chappe, or in another byte order" },
        { "1:1 #1 2:2v", -EPROTONOSUPPORT, "s/0000000000000002.log", 0,
          "was written by another version of Chappe, or in another byte order" },
        { "1:1 #1 #2! #3", -EBADMSG, "s/0000000000000001.log", SEGMENT_FIRST_BATCH + SLOT,
          "batch 2 is not valid, but there are later ones from offset 4240 on" },
        { "1:1 #1 #3", -EBADMSG, "s/0000000000000001.log", SEGMENT_FIRST_BATCH + SLOT,
          "batch 2 is missing: batch 3 stands here" },
        { "1:1x #1! #2", -EBADMSG, "s/0000000000000001.log", 0,
          "the segment's header is not valid" },
        { "1:1 #1 3:2", -EBADMSG, "s/0000000000000002.log", 0,
          "the segment is missing, but there are later ones" },
        { "1:1 #1 2:3", -EBADMSG, "s/0000000000000002.log", 0,
          "the segment begins with batch 3, but 2 comes next" },
        { "1:1 #1 2:2f", -EBADMSG, "s/0000000000000002.log", 0, "the segment is of another store" },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fake_disk disk;
        struct listener l;
        struct store_fault fault;
        listener_init(&l);
        l.sink.on_damage = NULL;
        write_store(&disk, cases[i].store);
        assert_int_equal(scan(&disk, &l, &fault), cases[i].result);
        assert_string_equal(fault.text, cases[i].text);
        assert_string_equal(fault.path, cases[i].path);
        assert_int_equal(fault.offset, cases[i].offset);
        if (cases[i].result != -EBADMSG)
            assert_string_equal(text_of(&l), "");
        buffer_fini(&l.text);
        fake_disk_fini(&disk);
    }
}

static void no_folder_is_no_store(void **state)
{
    struct fake_disk disk;
    struct scan_sink sink = { 0 };
    struct store_fault fault;
    fake_disk_init(&disk, 1);
    assert_int_equal(scan_folder(&disk.files, "s", &sink, &fault), -ENOENT);
    assert_string_equal(fault.path, "s");
    fake_disk_fini(&disk);
}

static int say_no(struct scan_sink *sink, const struct scan_place *at, bool is_torn)
{
    return -ECANCELED;
}

static void a_sink_may_end_it_or_not_care(void **state)
{
    struct fake_disk disk;
    struct store_fault fault;
    struct scan_sink silent = { 0 }, ends = { .on_end = say_no };
    write_store(&disk, "1:1 #1 #2 2:3 #3");
    assert_int_equal(scan_folder(&disk.files, "s", &silent, &fault), 0);
    assert_int_equal(scan_folder(&disk.files, "s", &ends, &fault), -ECANCELED);
    fake_disk_fini(&disk);
}

/* ---------------------------------------------------------------------------- torn tails ------ */

/* A batch with a record of each kind. */
static void write_rich_batch(struct buffer *file, const struct segment_header *h, uint64_t sequence)
{
    struct buffer records = { 0 };
    struct record_entry entries[] = { { .queue = 1, .seq = 2, .data = BYTES("data") },
                                      { .queue = 3, .seq = 4 } };
    struct bytes body = BYTES("the body");
    record_put(&records, BYTES("key"), BYTES("and value"));
    record_append(&records, entries, 2, &body, 1);
    record_remove(&records, BYTES("old key"));
    record_finish(&records, 1, 1);
    record_drop(&records, 9);
    maker_batch(file, h, &records, sequence, 0);
    buffer_fini(&records);
}

static const struct segment_header only = { .number = 1,
                                            .store_id = STORE_ID,
                                            .first_sequence = 1 };

static void put_and_expect(struct fake_disk *disk, struct bytes file, const char *one,
                           const char *other)
{
    struct listener l;
    struct store_fault fault;
    listener_init(&l);
    assert_int_equal(fake_disk_put(disk, "s/0000000000000001.log", file), 0);
    assert_int_equal(scan(disk, &l, &fault), 0);
    if (strcmp(text_of(&l), one) != 0 && strcmp(text_of(&l), other) != 0)
        fail_msg("%s", text_of(&l));
    buffer_fini(&l.text);
}

/* Whatever part of the last batch has reached the disk: it is there as a whole, or not at all. */
static void a_torn_tail_is_the_end(void **state)
{
    static const char with[] = "1:1 #1 #2 end@1+5.", without_header[] = "1:1 #1 end@1+1",
                      torn[] = "1:1 #1 torn@1+1";
    struct fake_disk disk;
    struct buffer file = { 0 }, part = { 0 };
    write_store(&disk, "");
    maker_segment(&file, &only);
    write_batch(&file, &only, 1, 0);
    size_t begin = file.size;
    write_rich_batch(&file, &only, 2);
    char whole[64];
    (void)snprintf(whole, sizeof(whole), "1:1 #1 #2 end@1+%zu.%zu",
                   (file.size - SEGMENT_FIRST_BATCH) / SLOT,
                   (file.size - SEGMENT_FIRST_BATCH) % SLOT);
    assert_memory_equal(whole, with, sizeof(with) - 3); /* not a multiple: it says so */

    for (size_t cut = begin; cut < file.size; cut++) {
        const char *said = cut < begin + BATCH_HEADER_SIZE ? without_header : torn;
        put_and_expect(&disk, bytes_of(file.data, cut), said, said);
        for (int filler = 0; filler <= 0xff; filler += 0xff) {
            part.size = 0;
            buffer_append(&part, buffer_bytes(&file));
            memset(part.data + cut, filler, part.size - cut);
            /* Where the last bytes are zeros anyway, nothing is missing. */
            bool is_whole = bytes_equal(buffer_bytes(&part), buffer_bytes(&file));
            put_and_expect(&disk, buffer_bytes(&part), is_whole ? whole : torn,
                           is_whole ? whole : without_header);
        }
    }

    /* Any of its pieces, as of sectors. */
    size_t pieces = 9, piece = (file.size - begin + pieces - 1) / pieces;
    for (unsigned set = 0; set < 1u << pieces; set++) {
        part.size = 0;
        buffer_append(&part, buffer_bytes(&file));
        for (size_t i = 0; i < pieces; i++) {
            size_t at = begin + i * piece;
            size_t size = file.size - at < piece ? file.size - at : piece;
            if (!(set & 1u << i))
                memset(part.data + at, 0x55, size);
        }
        bool is_whole = set == (1u << pieces) - 1;
        put_and_expect(&disk, buffer_bytes(&part), is_whole ? whole : torn,
                       is_whole ? whole : without_header);
    }
    buffer_fini(&part);
    buffer_fini(&file);
    fake_disk_fini(&disk);
}

/* A header of the newest segment, written up to any byte; on old bytes or on none. */
static void a_torn_header_is_the_end(void **state)
{
    for (int filler = 0; filler <= 0xff; filler += 0xff) {
        for (size_t cut = 0; cut < SEGMENT_HEADER_SIZE; cut++) {
            struct fake_disk disk;
            struct listener l;
            struct store_fault fault;
            struct buffer file = { 0 };
            struct segment_header h = { .number = 2, .store_id = STORE_ID, .first_sequence = 2 };
            listener_init(&l);
            write_store(&disk, "1:1 #1");
            maker_segment(&file, &h);
            memset(file.data + cut, filler, file.size - cut);
            fake_disk_put(&disk, "s/0000000000000002.log", buffer_bytes(&file));
            assert_int_equal(scan(&disk, &l, &fault), 0);
            assert_string_equal(text_of(&l), "1:1 #1 torn@2h");
            buffer_fini(&file);
            buffer_fini(&l.text);
            fake_disk_fini(&disk);
        }
    }
}

/* ---------------------------------------------------------------------------- flipped bits ---- */

enum verdict { HARMLESS, DAMAGE, LOSES_THE_LAST };

/* What must come of a flipped bit in this byte of a store "1:1 #1 #2 2:3 #3 #4". */
static enum verdict verdict_on(uint64_t segment, size_t byte)
{
    if (byte < SEGMENT_HEADER_SIZE)
        return DAMAGE;
    if (byte < SEGMENT_FIRST_BATCH || byte >= SEGMENT_FIRST_BATCH + 2 * SLOT)
        return HARMLESS; /* nobody reads it */
    return segment == 2 && byte >= SEGMENT_FIRST_BATCH + SLOT ? LOSES_THE_LAST : DAMAGE;
}

static void flip_and_expect(struct fake_disk *disk, uint64_t segment, size_t bit)
{
    static const char *const said[] = {
        [HARMLESS] = "1:1 #1 #2 2:3 #3 #4 end@2+2",
        [LOSES_THE_LAST] = "1:1 #1 #2 2:3 #3",
    };
    struct listener l;
    struct store_fault fault;
    char path[64];
    listener_init(&l);
    l.sink.on_damage = NULL;
    assert_int_equal(segment_path("s", segment, SEGMENT_LOG, path, sizeof(path)), 0);
    assert_int_equal(fake_disk_flip_bit(disk, path, bit), 0);
    int result = scan(disk, &l, &fault);
    enum verdict verdict = verdict_on(segment, bit / 8);
    if (result != (verdict == DAMAGE ? -EBADMSG : 0) ||
        (verdict != DAMAGE && strncmp(text_of(&l), said[verdict], strlen(said[verdict])) != 0) ||
        (verdict == LOSES_THE_LAST && strstr(text_of(&l), "#4") != NULL))
        fail_msg("segment %d, bit %zu: %d %s", (int)segment, bit, result, text_of(&l));
    assert_int_equal(fake_disk_flip_bit(disk, path, bit), 0);
    buffer_fini(&l.text);
}

static void every_flipped_bit_is_found_or_harmless(void **state)
{
    struct fake_disk disk;
    write_store(&disk, "1:1 #1 #2 2:3 #3 #4");
    for (uint64_t segment = 1; segment <= 2; segment++) {
        struct bytes file;
        assert_int_equal(
            fake_disk_file(
                &disk, segment == 1 ? "s/0000000000000001.log" : "s/0000000000000002.log", &file),
            0);
        for (size_t bit = 0; bit < file.size * 8;) {
            flip_and_expect(&disk, segment, bit);
            bool is_dull = bit >= SEGMENT_HEADER_SIZE * 8 && bit < SEGMENT_FIRST_BATCH * 8 - 107;
            bit += is_dull ? 101 : 1;
        }
    }
    fake_disk_fini(&disk);
}

/* ------------------------------------------------------------------------------ the size ------ */

static void large_batches_fit(void **state)
{
    static const size_t sizes[] = { 10, 700000, 700001, 3000000, 8, 1048576, 1048500, 20, 5000000 };
    static uint8_t value[5000000];
    struct fake_disk disk;
    struct listener l;
    struct store_fault fault;
    struct buffer file = { 0 };
    memset(value, 'v', sizeof(value));
    listener_init(&l);
    write_store(&disk, "");
    maker_segment(&file, &only);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct buffer records = { 0 };
        record_put(&records, BYTES("large"), bytes_of(value, sizes[i]));
        record_finish(&records, 1, i);
        maker_batch(&file, &only, &records, i + 1, 0);
        buffer_fini(&records);
    }
    fake_disk_put(&disk, "s/0000000000000001.log", buffer_bytes(&file));
    assert_int_equal(scan(&disk, &l, &fault), 0);
    assert_memory_equal(text_of(&l), "1:1 #1 #2 #3 #4 #5 #6 #7 #8 #9 end@", 34);
    assert_int_equal(l.batch_end, file.size);
    buffer_fini(&file);
    buffer_fini(&l.text);
    fake_disk_fini(&disk);
}

/* A header with a good sum that claims more than there is: no memory is taken for it. */
static void claims_are_not_believed(void **state)
{
    static const uint64_t sizes[] = { 64, 1 << 20, 1ull << 40, UINT64_MAX - 7,
                                      UINT64_MAX - SEGMENT_FIRST_BATCH - BATCH_HEADER_SIZE - 7 };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct fake_disk disk;
        struct buffer file = { 0 };
        uint8_t header[BATCH_HEADER_SIZE];
        struct batch_header h = { .records = 1, .sequence = 1, .size = sizes[i] };
        write_store(&disk, "");
        maker_segment(&file, &only);
        batch_header_encode(&h, maker_seed(&only), header);
        buffer_append(&file, bytes_of(header, sizeof(header)));
        buffer_append(&file, bytes_of(header, sizeof(header)));
        put_and_expect(&disk, buffer_bytes(&file), "1:1 torn@1+0", "1:1 torn@1+0");
        buffer_fini(&file);
        fake_disk_fini(&disk);
    }
}

/* How many bytes are read. */
struct meter {
    struct fake_disk disk;
    const struct file_ops *inner;
    struct file_ops ops;
    int (*open)(const struct files *, const char *, enum file_open, struct file **);
    uint64_t bytes;
};

static struct meter *metered; /* the door has no room for it */

static ssize_t metered_read(struct file *file, void *out, size_t size, uint64_t offset)
{
    ssize_t got = metered->inner->read_at(file, out, size, offset);
    metered->bytes += got > 0 ? (uint64_t)got : 0;
    return got;
}

static int metered_open(const struct files *files, const char *path, enum file_open how,
                        struct file **out)
{
    int result = metered->open(files, path, how, out);
    if (result == 0) {
        metered->inner = (*out)->ops;
        metered->ops = *metered->inner;
        metered->ops.read_at = metered_read;
        (*out)->ops = &metered->ops;
    }
    return result;
}

/* Somebody who knows the store id writes headers within headers, and batches of which each is
 * hidden by the next one's `unsynced`. */
static void write_hostile(struct buffer *file, bool is_nested)
{
    enum { SIZE = 4 * 1024 * 1024 };
    maker_segment(file, &only);
    for (uint64_t sequence = 3; file->size < SIZE; sequence += 2) {
        if (!is_nested) {
            write_batch(file, &only, sequence, sequence - 1);
            continue;
        }
        uint8_t header[BATCH_HEADER_SIZE];
        struct batch_header h = { .records = 2, .sequence = sequence, .size = SIZE / 2 };
        batch_header_encode(&h, maker_seed(&only), header);
        buffer_append(file, bytes_of(header, sizeof(header)));
    }
    write_batch(file, &only, 9999999, 0);
}

static void hostile_files_are_read_once(void **state)
{
    for (int is_nested = 0; is_nested <= 1; is_nested++) {
        struct meter meter = { 0 };
        struct buffer file = { 0 };
        struct listener l;
        struct store_fault fault;
        listener_init(&l);
        write_store(&meter.disk, "");
        write_hostile(&file, is_nested);
        fake_disk_put(&meter.disk, "s/0000000000000001.log", buffer_bytes(&file));
        metered = &meter;
        meter.open = meter.disk.files.open;
        meter.disk.files.open = metered_open;
        assert_int_equal(scan(&meter.disk, &l, &fault), 0);
        assert_true(l.damages > 0 || is_nested);
        /* To look, to look again, and then to read; each with a window more. */
        assert_true(meter.bytes < 4 * file.size + (8 << 20));
        meter.disk.files.open = meter.open;
        buffer_fini(&l.text);
        buffer_fini(&file);
        fake_disk_fini(&meter.disk);
    }
}

/* ---------------------------------------------------------------------- somebody is writing --- */

struct writer {
    struct listener listener; /* first */
    struct fake_disk *disk;
};

/* Batch 2 is written while batch 1 is looked at; 3 had been written a little earlier than it. */
static int write_meanwhile(struct scan_sink *sink, const struct scan_place *at, uint32_t records,
                           uint64_t size)
{
    struct writer *w = (struct writer *)sink;
    struct fake_disk now;
    struct bytes file;
    write_store(&now, "1:1 #1 #2 #3");
    assert_int_equal(fake_disk_file(&now, "s/0000000000000001.log", &file), 0);
    assert_int_equal(fake_disk_put(w->disk, "s/0000000000000001.log", file), 0);
    fake_disk_fini(&now);
    return hear_batch(sink, at, records, size);
}

static void what_is_being_written_is_no_damage(void **state)
{
    struct fake_disk disk;
    struct store_fault fault;
    struct writer w = { .disk = &disk };
    listener_init(&w.listener);
    w.listener.sink.on_batch = write_meanwhile;
    write_store(&disk, "1:1 #1 #2! #3");
    assert_int_equal(scan(&disk, &w.listener, &fault), 0);
    assert_string_equal(text_of(&w.listener), "1:1 #1 #2 #3 end@1+3");
    buffer_fini(&w.listener.text);
    fake_disk_fini(&disk);
}

static int (*list_inner)(const struct files *, const char *, struct buffer *);

static int list_and_remove(const struct files *files, const char *path, struct buffer *out)
{
    int result = list_inner(files, path, out);
    return result < 0 ? result : files->remove(files, "s/0000000000000001.log");
}

static void a_segment_may_be_given_back_meanwhile(void **state)
{
    struct fake_disk disk;
    struct store_fault fault;
    struct listener l;
    listener_init(&l);
    write_store(&disk, "1:1 #1 2:2 #2 3:3 #3");
    list_inner = disk.files.list;
    disk.files.list = list_and_remove;
    assert_int_equal(scan(&disk, &l, &fault), 0);
    assert_string_equal(text_of(&l), "2:2 #2 3:3 #3 end@3+1");
    buffer_fini(&l.text);
    fake_disk_fini(&disk);
}

/* -------------------------------------------------------------------------------- failures ---- */

static const char swept[] = "1:1 #1 #2 2:3 #3 #4! 3:4 #4 #5!";

static void every_call_may_fail(void **state)
{
    uint64_t nth = 1;
    for (;; nth++) {
        struct fake_disk disk;
        struct store_fault fault;
        struct listener l;
        listener_init(&l);
        write_store(&disk, swept);
        fake_disk_fail_at(&disk, nth, EIO);
        uint64_t before = fake_disk_calls(&disk);
        int result = scan(&disk, &l, &fault);
        bool has_failed = fake_disk_calls(&disk) - before >= nth;
        fake_disk_fini(&disk);
        buffer_fini(&l.text);
        if (!has_failed)
            break;
        assert_int_equal(result, -EIO);
        assert_string_equal(fault.text, "cannot be read: Input/output error");
        assert_true(fault.path[0] == 's');
        assert_int_equal(l.damages, 0);
    }
    assert_true(nth > 15);
}

static void every_allocation_may_fail(void **state)
{
    int result = -ENOMEM;
    uint64_t nth = 1;
    for (; result != 0; nth++) {
        struct fake_disk disk;
        struct scan_sink sink = { 0 };
        struct store_fault fault = { 0 };
        write_store(&disk, swept);
        memory_fail_at(nth);
        result = scan_folder(&disk.files, "s", &sink, &fault);
        memory_fail_at(0);
        assert_true(result == 0 || result == -ENOMEM);
        assert_true(result == 0 || strstr(fault.text, "memory") != NULL);
        fake_disk_fini(&disk);
    }
    assert_true(nth > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_the_end_and_what_is_damage),
        cmocka_unit_test(faults_name_the_place),
        cmocka_unit_test(no_folder_is_no_store),
        cmocka_unit_test(a_sink_may_end_it_or_not_care),
        cmocka_unit_test(a_torn_tail_is_the_end),
        cmocka_unit_test(a_torn_header_is_the_end),
        cmocka_unit_test(every_flipped_bit_is_found_or_harmless),
        cmocka_unit_test(large_batches_fit),
        cmocka_unit_test(claims_are_not_believed),
        cmocka_unit_test(hostile_files_are_read_once),
        cmocka_unit_test(what_is_being_written_is_no_damage),
        cmocka_unit_test(a_segment_may_be_given_back_meanwhile),
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
