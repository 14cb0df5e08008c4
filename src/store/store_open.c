/* store/store_open.c: from a folder to a store.
 *
 *     the folder --> its lock --> scan: every record to the ledger --> the end is made firm
 *         `- none: made                `- damage: nothing is touched        `- spares
 *
 * The end: what was read may be in the machine's memory only, so it is written again and synced
 * before anything builds upon it.  If something stands behind it, or the last segment has no
 * header, we go on in a new segment. */
#include "base/memory.h"
#include "store/scan.h"
#include "store/store_state.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

enum {
    SEGMENT_SIZE_DEFAULT = 16 * 1024 * 1024,
    SEGMENT_SIZE_MIN = 2 * SEGMENT_FIRST_BATCH,
    FOLDER_MAX = 900, /* bytes of its path, so that those of its files have room */
    PATH_SIZE = 1024,
};

/* ------------------------------------------------------------------------------- folder ------- */

static const char *error_text(int error)
{
    switch (error) {
    case -ENOTDIR:
        return "it is not a folder";
    case -EACCES:
    case -EPERM:
        return "no permission";
    case -ENOENT:
        return "it does not exist";
    case -ENOMEM:
        return "not enough memory";
    case -ENOSPC:
    case -EDQUOT:
        return "no room on the disk";
    }
    return strerror(-error);
}

static int refuse(struct store_fault *f, const char *path, const char *what, int error)
{
    store_fault_say(f, path, 0, "%s: %s", what, error_text(error));
    return error;
}

/* The folder's name must be on the disk, too: it is in the folder above. */
static int sync_parent(const struct files *files, const char *folder)
{
    char parent[PATH_SIZE];
    size_t size = strlen(folder);
    while (size > 1 && folder[size - 1] == '/')
        size--;
    while (size > 0 && folder[size - 1] != '/')
        size--;
    while (size > 1 && folder[size - 1] == '/')
        size--;
    (void)snprintf(parent, sizeof(parent), "%.*s", size == 0 ? 1 : (int)size,
                   size == 0 ? "." : folder); /* FOLDER_MAX bytes at most */
    return files->sync_folder(files, parent);
}

static int open_folder(const struct store_options *o, struct store_fault *fault)
{
    struct buffer names;
    buffer_init(&names);
    int result = o->files->list(o->files, o->folder, &names);
    buffer_fini(&names);
    if (result == 0)
        return 0;
    if (result != -ENOENT || o->is_read_only)
        return refuse(fault, o->folder, "the store's folder cannot be opened", result);
    result = o->files->make_folder(o->files, o->folder);
    if (result == -ENOENT)
        return refuse(fault, o->folder, "the store's folder cannot be made, nor the one above it",
                      result);
    if (result == 0)
        result = sync_parent(o->files, o->folder);
    return result < 0 ? refuse(fault, o->folder, "the store's folder cannot be made", result) : 0;
}

static int take_lock(struct store *s, struct store_fault *fault)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/lock", s->folder); /* FOLDER_MAX bytes at most */
    int result = s->files->open(s->files, path, FILE_CREATE, &s->lock);
    if (result < 0) {
        s->lock = NULL;
        return refuse(fault, path, "the store cannot be locked", result);
    }
    result = s->lock->ops->lock(s->lock, FILE_LOCK_EXCLUSIVE);
    if (result == -EAGAIN) {
        store_fault_say(fault, path, 0, "another broker uses it");
        return result;
    }
    return result < 0 ? refuse(fault, path, "the store cannot be locked", result) : 0;
}

/* ----------------------------------------------------------------------------- scanning ------- */

struct opening {
    struct scan_sink sink;
    const struct store_options *options;
    struct store *store;
    struct store_fault *fault;
    uint64_t bytes_read, files_left;
    uint64_t last_batch; /* of the last segment that has a header; 0: none is in it */
    uint64_t end_segment, end_offset;
    bool is_torn;
};

static struct opening *opening_of(struct scan_sink *sink)
{
    return (struct opening *)((char *)sink - offsetof(struct opening, sink));
}

static int refuse_place(struct opening *o, const struct scan_place *at, int error, const char *what)
{
    store_fault_say(o->fault, at->path, at->offset, "%s", what);
    return error;
}

static void set_id(struct store *s, uint64_t id)
{
    s->id = s->reader.store_id = s->journal.store_id = id;
    ledger_init(&s->ledger, id);
}

static int on_segment(struct scan_sink *sink, const struct scan_place *at, uint64_t file_size)
{
    struct opening *o = opening_of(sink);
    struct ledger *l = &o->store->ledger;
    if (at->segment > position_segment_max || file_size > position_offset_max)
        return refuse_place(o, at, -EBADMSG, "no broker makes segments like that");
    if (l->segment_count == 0)
        set_id(o->store, at->store_id);
    if (ledger_reserve(l, 0, 0) < 0)
        return refuse_place(o, at, -ENOMEM, "not enough memory for what is stored");
    ledger_begin_segment(l, at->segment, file_size);
    o->store->journal.sequence = at->sequence - 1;
    o->last_batch = 0;
    o->files_left -= o->files_left > 0;
    if (o->options->on_progress != NULL)
        o->options->on_progress(o->options->context, o->bytes_read,
                                o->bytes_read + file_size + o->files_left * o->store->segment_size);
    o->bytes_read += file_size;
    return 0;
}

static int on_batch(struct scan_sink *sink, const struct scan_place *at, uint32_t records,
                    uint64_t size)
{
    struct opening *o = opening_of(sink);
    ledger_use(&o->store->ledger, BATCH_HEADER_SIZE + size);
    o->store->journal.sequence = at->sequence;
    o->last_batch = at->offset;
    return 0;
}

static int on_record(struct scan_sink *sink, const struct scan_place *at, const struct record *r,
                     struct bytes raw)
{
    struct opening *o = opening_of(sink);
    struct ledger *l = &o->store->ledger;
    if (ledger_reserve(l, r->type == RECORD_PUT, r->type == RECORD_APPEND ? r->count : 0) < 0)
        return refuse_place(o, at, -ENOMEM, "not enough memory for what is stored");
    ledger_apply(l, r, position_make(at->segment, at->offset));
    return 0;
}

static int on_end(struct scan_sink *sink, const struct scan_place *at, bool is_torn)
{
    struct opening *o = opening_of(sink);
    o->end_segment = at->segment;
    o->end_offset = at->offset;
    o->is_torn = is_torn;
    return 0;
}

static int count_segments(struct opening *o)
{
    const struct store *s = o->store;
    uint64_t *numbers;
    size_t count;
    int result = segment_list(s->files, s->folder, SEGMENT_LOG, &numbers, &count);
    if (result < 0)
        return refuse(o->fault, s->folder, "the store's folder cannot be read", result);
    memory_free(numbers);
    o->files_left = count;
    return 0;
}

static int scan(struct opening *o)
{
    struct store *s = o->store;
    o->sink = (struct scan_sink){ on_segment, on_batch, on_record, on_end, NULL };
    int result = scan_folder(s->files, s->folder, &o->sink, o->fault);
    if (result == 0 &&
        s->ledger.segment_count == 0) /* only a first segment, and without a header: */
        set_id(s, o->options->id);    /* nothing was ever stored */
    return result;
}

/* ---------------------------------------------------------------------------- going on -------- */

/* To the end of what was read.  A last segment without a header is not of it: another one will take
 * its name. */
static int go_to_end(struct opening *o)
{
    struct store *s = o->store;
    if (s->ledger.segment_count == 0) {
        s->journal.segment = o->end_segment > 0 ? o->end_segment - 1 : 0;
        return 0;
    }
    uint64_t last = ledger_last_segment(&s->ledger);
    uint64_t end = SEGMENT_FIRST_BATCH + ledger_segment(&s->ledger, last)->used;
    return journal_continue(&s->journal, last, o->last_batch, end);
}

static int go_on(struct opening *o)
{
    struct store *s = o->store;
    bool has_header = o->end_offset != 0; /* the last segment, if there is one */
    int result = go_to_end(o);
    if (result == 0)
        result = journal_adopt_spares(&s->journal);
    if (result == 0 && (!has_header || o->is_torn)) {
        result = ledger_reserve(&s->ledger, 0, 0);
        if (result == 0)
            result = store_roll(s, 0);
    }
    if (result < 0)
        return refuse(o->fault, s->folder, "the store cannot be written to", result);
    (void)journal_make_spares(&s->journal); /* store_room tells that there are not enough */
    s->dead_written = s->dead_synced = s->ledger.first_segment + s->ledger.dead_count;
    return 0;
}

static int open_store(struct store *s, const struct store_options *o, struct store_fault *fault)
{
    int result = s->is_read_only ? 0 : take_lock(s, fault);
    if (result < 0)
        return result;
    struct opening opening = { .options = o, .store = s, .fault = fault };
    result = count_segments(&opening);
    if (result < 0)
        return result;
    if (opening.files_left == 0 && s->is_read_only)
        return refuse(fault, s->folder, "the store cannot be opened", -ENOENT);
    if (opening.files_left == 0)
        set_id(s, o->id);
    else
        result = scan(&opening);
    return result < 0 || s->is_read_only ? result : go_on(&opening);
}

static struct store *create(const struct store_options *o)
{
    struct store *s = memory_alloc_zero(sizeof(*s));
    if (s == NULL)
        return NULL;
    s->files = o->files;
    s->segment_size = o->segment_size == 0 ? SEGMENT_SIZE_DEFAULT : o->segment_size;
    s->is_read_only = o->is_read_only;
    assert(s->segment_size >= SEGMENT_SIZE_MIN && s->segment_size <= position_offset_max);
    s->folder = memory_copy(o->folder, strlen(o->folder) + 1);
    reader_init(&s->reader, s->files, s->folder);
    if (s->folder == NULL ||
        journal_init(&s->journal, s->files, s->folder, s->segment_size, o->reserve) < 0) {
        store_close(s);
        return NULL;
    }
    return s;
}

int store_open(const struct store_options *o, struct store **out, struct store_fault *fault)
{
    *fault = (struct store_fault){ 0 };
    if (strlen(o->folder) > FOLDER_MAX)
        return refuse(fault, o->folder, "the store's folder cannot be opened", -ENAMETOOLONG);
    struct store *s = create(o);
    if (s == NULL)
        return refuse(fault, o->folder, "the store cannot be opened", -ENOMEM);
    int result = open_folder(o, fault);
    if (result == 0)
        result = open_store(s, o, fault);
    if (result < 0) {
        store_close(s);
        return result;
    }
    *out = s;
    return 0;
}
