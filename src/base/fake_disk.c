/* base/fake_disk.c: a disk that forgets.
 *
 * Names are there twice, as programs see them and as the disk has them; so are the bytes of a file
 * (base/fake_content.c).
 *
 *     names       path         now    kept         nodes      refs   content
 *            0    s/lock         0      0             0         2    ...
 *            1    s/7.spare      -      1             1         3    ...
 *            2    s/7.log        1      -
 *
 *     changes     2 is node 1, 1 is nothing          (a rename that no sync_folder has followed)
 *
 * A change of a folder sets `now` and is remembered; sync_folder does the same with `kept`.  After
 * a power loss some of the changes have got through, and `now` is what `kept` is.
 *
 * Tables are searched from the front: a store has a few dozen files, and opens them rarely. */
#include "base/fake_disk.h"
#include "base/fake_content.h"
#include "base/list.h"
#include "base/memory.h"
#include <assert.h>
#include <errno.h>

enum { NONE = -1 };

struct fake_disk_name {
    char *path; /* NULL: this place is free */
    size_t path_size;
    int now, kept; /* nodes */
};

struct fake_disk_node {
    int refs;    /* names, twice, changes, open files */
    int visible; /* of these names that are there now, and open files: it takes room */
    bool is_folder;
    struct fake_content content;
};

struct fake_disk_file {
    struct file file;
    struct fake_disk *disk;
    struct fake_disk_file *next;
    int node; /* NONE: it was open when the program died */
    bool is_writable, is_locked;
    enum file_lock lock;
};

/* ----------------------------------------------------------------------------------- nodes ---- */

static struct fake_disk_node *node_at(const struct fake_disk *d, int node)
{
    assert(node >= 0 && (size_t)node < d->node_count && d->nodes[node] != NULL);
    return d->nodes[node];
}

static void node_free(struct fake_disk_node *n)
{
    if (n == NULL)
        return;
    fake_content_fini(&n->content);
    memory_free(n);
}

static void node_hold(const struct fake_disk *d, int node)
{
    if (node != NONE)
        node_at(d, node)->refs++;
}

static void node_drop(struct fake_disk *d, int node)
{
    if (node == NONE)
        return;
    struct fake_disk_node *n = node_at(d, node);
    assert(n->refs > 0);
    if (--n->refs > 0)
        return;
    assert(n->visible == 0);
    node_free(n);
    d->nodes[node] = NULL;
}

static void node_show(const struct fake_disk *d, int node)
{
    node_hold(d, node);
    if (node != NONE)
        node_at(d, node)->visible++;
}

static void node_hide(struct fake_disk *d, int node)
{
    if (node != NONE)
        node_at(d, node)->visible--;
    node_drop(d, node);
}

/* A place in the table; the caller fills it.  -ENOMEM. */
static int node_place(struct fake_disk *d)
{
    for (size_t i = 0; i < d->node_count; i++)
        if (d->nodes[i] == NULL)
            return (int)i;
    size_t count = d->node_count + 16;
    struct fake_disk_node **nodes = memory_resize(d->nodes, count * sizeof *nodes);
    if (nodes == NULL)
        return -ENOMEM;
    for (size_t i = d->node_count; i < count; i++)
        nodes[i] = NULL;
    int place = (int)d->node_count;
    d->nodes = nodes;
    d->node_count = count;
    return place;
}

/* A node with one reference, the caller's.  -ENOMEM. */
static int node_create(struct fake_disk *d, bool is_folder)
{
    int place = node_place(d);
    if (place < 0)
        return place;
    struct fake_disk_node *n = memory_alloc_zero(sizeof *n);
    if (n == NULL)
        return -ENOMEM;
    n->refs = 1;
    n->is_folder = is_folder;
    d->nodes[place] = n;
    return place;
}

static uint64_t bytes_used(const struct fake_disk *d)
{
    uint64_t used = 0;
    for (size_t i = 0; i < d->node_count; i++)
        if (d->nodes[i] != NULL && d->nodes[i]->visible > 0)
            used += d->nodes[i]->content.size;
    return used;
}

static uint64_t bytes_free(const struct fake_disk *d)
{
    uint64_t used = bytes_used(d);
    return used < d->capacity ? d->capacity - used : 0;
}

/* ----------------------------------------------------------------------------------- names ---- */

static struct bytes trimmed(const char *path)
{
    struct bytes p = bytes_of_string(path);
    while (p.size > 1 && p.data[p.size - 1] == '/')
        p.size--;
    return p;
}

/* The part before the last slash; "/" and "." where that is nothing. */
static struct bytes folder_of(struct bytes path)
{
    size_t size = path.size;
    while (size > 0 && path.data[size - 1] != '/')
        size--;
    if (size == 0)
        return BYTES(".");
    return size == 1 ? BYTES("/") : bytes_of(path.data, size - 1);
}

static bool is_root(struct bytes path)
{
    return bytes_equal(path, BYTES("/")) || bytes_equal(path, BYTES("."));
}

static struct bytes name_path(const struct fake_disk_name *n)
{
    return bytes_of(n->path, n->path_size);
}

static bool name_is_in(const struct fake_disk_name *n, struct bytes folder)
{
    return n->path != NULL && bytes_equal(folder_of(name_path(n)), folder);
}

/* The number of a name, of something or of nothing now; NONE. */
static int name_find(const struct fake_disk *d, struct bytes path)
{
    for (size_t i = 0; i < d->name_count; i++)
        if (d->names[i].path != NULL && bytes_equal(name_path(&d->names[i]), path))
            return (int)i;
    return NONE;
}

/* The node that has this name now; NONE. */
static int node_find(const struct fake_disk *d, struct bytes path)
{
    int name = name_find(d, path);
    return name == NONE ? NONE : d->names[name].now;
}

static bool is_folder(const struct fake_disk *d, struct bytes path)
{
    int node = node_find(d, path);
    return is_root(path) || (node != NONE && node_at(d, node)->is_folder);
}

/* A node of a file: NONE as -ENOENT, a folder as -EISDIR. */
static int file_find(const struct fake_disk *d, struct bytes path)
{
    if (is_folder(d, path))
        return -EISDIR;
    int node = node_find(d, path);
    return node == NONE ? -ENOENT : node;
}

static int name_place(struct fake_disk *d)
{
    for (size_t i = 0; i < d->name_count; i++)
        if (d->names[i].path == NULL)
            return (int)i;
    size_t count = d->name_count + 16;
    struct fake_disk_name *names = memory_resize(d->names, count * sizeof *names);
    if (names == NULL)
        return -ENOMEM;
    for (size_t i = d->name_count; i < count; i++)
        names[i] = (struct fake_disk_name){ 0 };
    int place = (int)d->name_count;
    d->names = names;
    d->name_count = count;
    return place;
}

/* The name's number; it is made, of nothing, where it is not there.  -ENOMEM, -ENOENT: its folder
 * is not there. */
static int name_make(struct fake_disk *d, struct bytes path)
{
    if (path.size == 0 || !is_folder(d, folder_of(path)))
        return -ENOENT;
    int name = name_find(d, path);
    if (name != NONE)
        return name;
    name = name_place(d);
    if (name < 0)
        return name;
    char *copy = memory_copy(path.data, path.size);
    if (copy == NULL)
        return -ENOMEM;
    d->names[name] = (struct fake_disk_name){ copy, path.size, NONE, NONE };
    return name;
}

static bool change_is_about(const struct fake_disk_change *c, int name)
{
    return name != NONE && (c->to == name || c->from == name);
}

/* Forgets a name that is of nothing, now and on the disk. */
static void name_forget(struct fake_disk *d, int name)
{
    if (name == NONE)
        return;
    struct fake_disk_name *n = &d->names[name];
    if (n->path == NULL || n->now != NONE || n->kept != NONE)
        return;
    for (size_t i = 0; i < d->change_count; i++)
        if (change_is_about(&d->changes[i], name))
            return;
    memory_free(n->path);
    *n = (struct fake_disk_name){ 0 };
}

static void name_set_now(struct fake_disk *d, int name, int node)
{
    int before = d->names[name].now;
    node_show(d, node);
    d->names[name].now = node;
    node_hide(d, before);
}

static void name_set_kept(struct fake_disk *d, int name, int node)
{
    int before = d->names[name].kept;
    node_hold(d, node);
    d->names[name].kept = node;
    node_drop(d, before);
}

/* --------------------------------------------------------------------------------- changes ---- */

/* The disk gets a change; it is not in the list any more. */
static void change_keep(struct fake_disk *d, struct fake_disk_change c)
{
    if (c.to != NONE)
        name_set_kept(d, c.to, c.node);
    if (c.from != NONE)
        name_set_kept(d, c.from, NONE);
}

static void change_forget(struct fake_disk *d, struct fake_disk_change c)
{
    node_drop(d, c.node);
    name_forget(d, c.to);
    name_forget(d, c.from);
}

static struct fake_disk_change change_take(struct fake_disk *d, size_t index)
{
    struct fake_disk_change c = d->changes[index];
    d->change_count--;
    memmove(d->changes + index, d->changes + index + 1,
            (d->change_count - index) * sizeof *d->changes);
    return c;
}

static void change_settle(struct fake_disk *d, size_t index)
{
    struct fake_disk_change c = change_take(d, index);
    change_keep(d, c);
    change_forget(d, c);
}

/* Before anything is looked up for a change: if there are too many, the disk gets the oldest. */
static void change_make_room(struct fake_disk *d)
{
    if (d->change_count == FAKE_DISK_CHANGES)
        change_settle(d, 0);
}

/* Makes a change that programs see; the disk may get it later. */
static void change_make(struct fake_disk *d, int to, int from, int node)
{
    assert(d->change_count < FAKE_DISK_CHANGES);
    d->changes[d->change_count++] = (struct fake_disk_change){ to, from, node };
    node_hold(d, node);
    if (to != NONE)
        name_set_now(d, to, node);
    if (from != NONE)
        name_set_now(d, from, NONE);
}

/* Is there an earlier one that has to be on the disk first? */
static bool change_must_wait(const struct fake_disk *d, size_t index)
{
    struct fake_disk_change c = d->changes[index];
    for (size_t i = 0; i < index; i++)
        if (change_is_about(&d->changes[i], c.to) || change_is_about(&d->changes[i], c.from))
            return true;
    return false;
}

static bool change_is_in(const struct fake_disk *d, size_t index, struct bytes folder)
{
    int name = d->changes[index].to != NONE ? d->changes[index].to : d->changes[index].from;
    return name_is_in(&d->names[name], folder);
}

/* Those of one folder, all of them. */
static void changes_sync(struct fake_disk *d, struct bytes folder)
{
    for (size_t i = 0; i < d->change_count;)
        if (change_is_in(d, i, folder))
            change_settle(d, i);
        else
            i++;
}

/* Some, of all folders. */
static void changes_settle_some(struct fake_disk *d, uint64_t *random)
{
    for (size_t i = 0; i < d->change_count;)
        if (fake_coin(random) && !change_must_wait(d, i))
            change_settle(d, i);
        else
            i++;
}

static void changes_forget(struct fake_disk *d)
{
    while (d->change_count > 0)
        change_forget(d, change_take(d, d->change_count - 1));
}

/* ----------------------------------------------------------------------------------- calls ---- */

/* The door is const; the disk behind it is not. */
static struct fake_disk *disk_of(const struct files *files)
{
    return container_of(files, struct fake_disk, files);
}

static struct fake_disk_file *file_of(const struct file *f)
{
    return container_of(f, struct fake_disk_file, file);
}

/* Counts a call.  0, or what it has to answer because a test wants it to fail. */
static int call_begin(struct fake_disk *d)
{
    d->calls++;
    return d->fail_in != 0 && --d->fail_in == 0 ? -d->error : 0;
}

/* The node of an open file, or NULL: the program died. */
static struct fake_disk_node *file_node(const struct fake_disk_file *f)
{
    return f->node == NONE ? NULL : node_at(f->disk, f->node);
}

static size_t copy_out(const struct fake_disk_node *n, void *out, size_t size, uint64_t offset)
{
    if (offset >= n->content.size)
        return 0;
    if (size > n->content.size - offset)
        size = (size_t)(n->content.size - offset);
    if (size > 0)
        memcpy(out, n->content.now + offset, size);
    return size;
}

static ssize_t fake_read_at(struct file *file, void *out, size_t size, uint64_t offset)
{
    struct fake_disk_file *f = file_of(file);
    int error = call_begin(f->disk);
    struct fake_disk_node *n = file_node(f);
    if (n == NULL)
        return -EBADF;
    return error != 0 ? error : (ssize_t)copy_out(n, out, size, offset);
}

/* How much of a write has room on the disk. */
static size_t size_with_room(const struct fake_disk *d, const struct fake_disk_node *n, size_t size,
                             uint64_t offset)
{
    if (offset + size <= n->content.size)
        return size;
    uint64_t end = n->content.size + bytes_free(d);
    if (offset + size <= end)
        return size;
    return offset < end ? (size_t)(end - offset) : 0;
}

static int fake_write_at(struct file *file, struct bytes bytes, uint64_t offset)
{
    struct fake_disk_file *f = file_of(file);
    struct fake_disk *d = f->disk;
    struct fake_disk_node *n = file_node(f);
    int error = call_begin(d);
    if (n == NULL || !f->is_writable)
        return -EBADF;
    if (offset > FAKE_DISK_FILE_MAX || bytes.size > FAKE_DISK_FILE_MAX - offset)
        return -EFBIG;
    if (error != 0)
        bytes.size = (size_t)fake_random_below(&d->random, bytes.size + 1);
    size_t size = size_with_room(d, n, bytes.size, offset);
    if (size > 0 && fake_content_make_room(&n->content, offset + size) != 0)
        return -ENOMEM;
    fake_content_write(&n->content, bytes_of(bytes.data, size), offset, &d->random);
    return error == 0 && size < bytes.size ? -ENOSPC : error;
}

static int fake_sync(struct file *file)
{
    struct fake_disk_file *f = file_of(file);
    int error = call_begin(f->disk);
    struct fake_disk_node *n = file_node(f);
    if (n == NULL)
        return -EBADF;
    if (error == 0)
        fake_content_sync(&n->content);
    else
        fake_content_sync_badly(&n->content, &f->disk->random);
    return error;
}

static int fake_reserve(struct file *file, uint64_t size)
{
    struct fake_disk_file *f = file_of(file);
    int error = call_begin(f->disk);
    struct fake_disk_node *n = file_node(f);
    if (n == NULL || !f->is_writable)
        return -EBADF;
    if (error != 0 || size <= n->content.size)
        return error;
    if (size > FAKE_DISK_FILE_MAX)
        return -EFBIG;
    if (size - n->content.size > bytes_free(f->disk))
        return -ENOSPC;
    if (fake_content_make_room(&n->content, size) != 0)
        return -ENOMEM;
    fake_content_extend(&n->content, size);
    return 0;
}

static int64_t fake_size(struct file *file)
{
    struct fake_disk_file *f = file_of(file);
    int error = call_begin(f->disk);
    struct fake_disk_node *n = file_node(f);
    if (n == NULL)
        return -EBADF;
    return error != 0 ? error : (int64_t)n->content.size;
}

static bool is_in_the_way(const struct fake_disk_file *other, const struct fake_disk_file *f,
                          enum file_lock how)
{
    return other != f && other->node == f->node && other->is_locked &&
           (how == FILE_LOCK_EXCLUSIVE || other->lock == FILE_LOCK_EXCLUSIVE);
}

static int fake_lock(struct file *file, enum file_lock how)
{
    struct fake_disk_file *f = file_of(file);
    int error = call_begin(f->disk);
    if (f->node == NONE || (how == FILE_LOCK_EXCLUSIVE && !f->is_writable))
        return -EBADF;
    if (error != 0)
        return error;
    for (struct fake_disk_file *other = f->disk->open; other != NULL; other = other->next)
        if (is_in_the_way(other, f, how))
            return -EAGAIN;
    f->is_locked = true;
    f->lock = how;
    return 0;
}

static void fake_close(struct file *file)
{
    if (file == NULL)
        return;
    struct fake_disk_file *f = file_of(file), **at = &f->disk->open;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    node_hide(f->disk, f->node);
    memory_free(f);
}

static const struct file_ops fake_ops = { fake_read_at, fake_write_at, fake_sync, fake_reserve,
                                          fake_size,    fake_lock,     fake_close };

/* -------------------------------------------------------------------------------- the door ---- */

static int fake_read(const struct files *files, const char *path, struct buffer *out)
{
    struct fake_disk *d = disk_of(files);
    int error = call_begin(d), node = file_find(d, trimmed(path));
    if (error != 0 || node < 0)
        return error != 0 ? error : node;
    const struct fake_disk_node *n = node_at(d, node);
    return buffer_append(out, bytes_of(n->content.now, (size_t)n->content.size));
}

static int append_name(struct buffer *out, struct bytes path)
{
    size_t start = path.size;
    while (start > 0 && path.data[start - 1] != '/')
        start--;
    uint8_t *room = buffer_reserve(out, path.size - start + 1);
    if (room == NULL)
        return -ENOMEM;
    memcpy(room, path.data + start, path.size - start);
    room[path.size - start] = '\0';
    buffer_commit(out, path.size - start + 1);
    return 0;
}

static int fake_list(const struct files *files, const char *path, struct buffer *out)
{
    struct fake_disk *d = disk_of(files);
    struct bytes folder = trimmed(path);
    int error = call_begin(d);
    if (error != 0)
        return error;
    if (!is_folder(d, folder))
        return node_find(d, folder) == NONE ? -ENOENT : -ENOTDIR;
    for (size_t i = 0; error == 0 && i < d->name_count; i++)
        if (d->names[i].now != NONE && name_is_in(&d->names[i], folder))
            error = append_name(out, name_path(&d->names[i]));
    return error;
}

/* A new node under a name of nothing. */
static int make_node(struct fake_disk *d, struct bytes path, bool folder)
{
    change_make_room(d);
    int name = name_make(d, path);
    if (name < 0)
        return name;
    int node = node_create(d, folder);
    if (node < 0) {
        name_forget(d, name);
        return node;
    }
    change_make(d, name, NONE, node);
    node_drop(d, node); /* the name has it now */
    return node;
}

static int find_or_make(struct fake_disk *d, struct bytes path, enum file_open how)
{
    int node = file_find(d, path);
    return node == -ENOENT && how == FILE_CREATE ? make_node(d, path, false) : node;
}

static int fake_open(const struct files *files, const char *path, enum file_open how,
                     struct file **out)
{
    struct fake_disk *d = disk_of(files);
    int error = call_begin(d);
    if (error != 0)
        return error;
    struct fake_disk_file *f = memory_alloc(sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    int node = find_or_make(d, trimmed(path), how);
    if (node < 0) {
        memory_free(f);
        return node;
    }
    node_show(d, node);
    *f = (struct fake_disk_file){
        { &fake_ops }, .disk = d, .next = d->open, .node = node, .is_writable = how != FILE_READ
    };
    d->open = f;
    *out = &f->file;
    return 0;
}

static int fake_make_folder(const struct files *files, const char *path)
{
    struct fake_disk *d = disk_of(files);
    struct bytes p = trimmed(path);
    int error = call_begin(d);
    if (error != 0)
        return error;
    if (is_root(p) || node_find(d, p) != NONE)
        return -EEXIST;
    int node = make_node(d, p, true);
    return node < 0 ? node : 0;
}

static int fake_rename(const struct files *files, const char *from, const char *to)
{
    struct fake_disk *d = disk_of(files);
    struct bytes source = trimmed(from), target = trimmed(to);
    int error = call_begin(d), node = file_find(d, source);
    if (error != 0 || node < 0)
        return error != 0 ? error : node;
    if (is_folder(d, target))
        return -EISDIR;
    if (bytes_equal(source, target))
        return 0;
    if (!bytes_equal(folder_of(source), folder_of(target)))
        return is_folder(d, folder_of(target)) ? -EXDEV : -ENOENT;
    change_make_room(d);
    int name = name_make(d, target);
    if (name < 0)
        return name;
    change_make(d, name, name_find(d, source), node);
    return 0;
}

static int fake_remove(const struct files *files, const char *path)
{
    struct fake_disk *d = disk_of(files);
    struct bytes p = trimmed(path);
    int error = call_begin(d), node = file_find(d, p);
    if (error != 0 || node < 0)
        return error != 0 ? error : node;
    change_make_room(d);
    change_make(d, NONE, name_find(d, p), NONE);
    return 0;
}

static int fake_sync_folder(const struct files *files, const char *path)
{
    struct fake_disk *d = disk_of(files);
    struct bytes folder = trimmed(path);
    int error = call_begin(d);
    if (!is_folder(d, folder))
        return node_find(d, folder) == NONE ? -ENOENT : -ENOTDIR;
    if (error == 0)
        changes_sync(d, folder);
    else
        changes_settle_some(d, &d->random);
    return error;
}

static int fake_space(const struct files *files, const char *path, uint64_t *bytes,
                      bool *is_network)
{
    struct fake_disk *d = disk_of(files);
    struct bytes p = trimmed(path);
    int error = call_begin(d);
    if (error != 0)
        return error;
    if (!is_folder(d, p) && node_find(d, p) == NONE)
        return -ENOENT;
    *bytes = bytes_free(d);
    *is_network = d->is_network;
    return 0;
}

/* -------------------------------------------------------------------------------- the disk ---- */

void fake_disk_init(struct fake_disk *d, uint64_t seed)
{
    *d = (struct fake_disk){
        .files = { fake_read, fake_list, fake_open, fake_make_folder, fake_rename, fake_remove,
                   fake_sync_folder, fake_space },
        .random = seed,
        .capacity = FAKE_DISK_CAPACITY,
    };
}

void fake_disk_fini(struct fake_disk *d)
{
    if (d == NULL)
        return;
    assert(d->open == NULL);
    for (size_t i = 0; i < d->name_count; i++)
        memory_free(d->names[i].path);
    for (size_t i = 0; i < d->node_count; i++)
        node_free(d->nodes[i]);
    memory_free(d->names);
    memory_free(d->nodes);
    d->names = NULL;
    d->nodes = NULL;
    d->name_count = d->node_count = d->change_count = 0;
}

void fake_disk_set_capacity(struct fake_disk *d, uint64_t bytes)
{
    d->capacity = bytes;
}

void fake_disk_fail_at(struct fake_disk *d, uint64_t nth, int error)
{
    d->fail_in = nth;
    d->error = error;
}

uint64_t fake_disk_calls(const struct fake_disk *d)
{
    return d->calls;
}

void fake_disk_crash(struct fake_disk *d)
{
    for (struct fake_disk_file *f = d->open; f != NULL; f = f->next) {
        node_hide(d, f->node);
        f->node = NONE;
        f->is_locked = false;
    }
    for (size_t i = 0; i < d->node_count; i++)
        if (d->nodes[i] != NULL)
            fake_content_crash(&d->nodes[i]->content, &d->random);
}

/* Names in a folder that is not there any more: one after the other, as folders are in folders. */
static bool drop_orphan(struct fake_disk *d)
{
    for (size_t i = 0; i < d->name_count; i++) {
        struct fake_disk_name *n = &d->names[i];
        if (n->path == NULL || is_folder(d, folder_of(name_path(n))))
            continue;
        name_set_kept(d, (int)i, NONE);
        name_set_now(d, (int)i, NONE);
        name_forget(d, (int)i);
        return true;
    }
    return false;
}

void fake_disk_power_loss(struct fake_disk *d, uint64_t seed)
{
    uint64_t random = ~seed; /* not the disk's own, where a test has only one */
    fake_disk_crash(d);
    changes_settle_some(d, &random);
    changes_forget(d);
    for (size_t i = 0; i < d->name_count; i++) {
        if (d->names[i].path == NULL)
            continue;
        name_set_now(d, (int)i, d->names[i].kept);
        name_forget(d, (int)i);
    }
    while (drop_orphan(d)) {
    }
    for (size_t i = 0; i < d->node_count; i++)
        if (d->nodes[i] != NULL)
            fake_content_power_loss(&d->nodes[i]->content, &random);
}

/* --------------------------------------------------------------------------- for the tests ---- */

int fake_disk_file(const struct fake_disk *d, const char *path, struct bytes *out)
{
    int node = file_find(d, trimmed(path));
    if (node < 0)
        return -ENOENT;
    const struct fake_disk_node *n = node_at(d, node);
    *out = bytes_of(n->content.now, (size_t)n->content.size);
    return 0;
}

/* A file that has bytes in this range; NULL and *error. */
static struct fake_disk_node *node_with(const struct fake_disk *d, const char *path,
                                        uint64_t offset, uint64_t size, int *error)
{
    int node = file_find(d, trimmed(path));
    *error = node < 0 ? -ENOENT : 0;
    if (node < 0)
        return NULL;
    struct fake_disk_node *n = node_at(d, node);
    if (offset <= n->content.size && size <= n->content.size - offset)
        return n;
    *error = -EINVAL;
    return NULL;
}

int fake_disk_flip_bit(struct fake_disk *d, const char *path, uint64_t bit)
{
    int error;
    struct fake_disk_node *n = node_with(d, path, bit / 8, 1, &error);
    if (n == NULL)
        return error;
    fake_content_xor(&n->content, bit / 8, (uint8_t)(1u << bit % 8));
    return 0;
}

int fake_disk_damage(struct fake_disk *d, const char *path, uint64_t offset, uint64_t size,
                     uint64_t seed)
{
    int error;
    struct fake_disk_node *n = node_with(d, path, offset, size, &error);
    if (n == NULL)
        return error;
    for (uint64_t i = offset; i < offset + size; i++)
        fake_content_xor(&n->content, i, (uint8_t)(1 + fake_random_below(&seed, 255)));
    return 0;
}

int fake_disk_cut(struct fake_disk *d, const char *path, uint64_t size)
{
    int error;
    struct fake_disk_node *n = node_with(d, path, size, 0, &error);
    if (n == NULL)
        return error;
    fake_content_cut(&n->content, size);
    return 0;
}

int fake_disk_put(struct fake_disk *d, const char *path, struct bytes bytes)
{
    if (bytes.size > FAKE_DISK_FILE_MAX)
        return -EFBIG;
    struct bytes p = trimmed(path);
    int node = find_or_make(d, p, FILE_CREATE);
    if (node < 0)
        return node;
    struct fake_disk_node *n = node_at(d, node);
    if (fake_content_make_room(&n->content, bytes.size) != 0)
        return -ENOMEM;
    fake_content_cut(&n->content, 0);
    fake_content_write(&n->content, bytes, 0, &d->random);
    fake_content_sync(&n->content);
    changes_sync(d, folder_of(p));
    return 0;
}

static struct fake_disk_node *node_copy(const struct fake_disk_node *n)
{
    struct fake_disk_node *copy = memory_copy(n, sizeof *n);
    if (copy == NULL || fake_content_copy(&copy->content, &n->content) == 0)
        return copy;
    memory_free(copy);
    return NULL;
}

static int copy_names(struct fake_disk *out, const struct fake_disk *d)
{
    out->names = memory_alloc_zero(d->name_count * sizeof *d->names);
    if (out->names == NULL)
        return -ENOMEM;
    out->name_count = d->name_count;
    for (size_t i = 0; i < d->name_count; i++) {
        if (d->names[i].path == NULL)
            continue;
        out->names[i] = d->names[i];
        out->names[i].path = memory_copy(d->names[i].path, d->names[i].path_size);
        if (out->names[i].path == NULL)
            return -ENOMEM;
    }
    return 0;
}

static int copy_nodes(struct fake_disk *out, const struct fake_disk *d)
{
    out->nodes = memory_alloc_zero(d->node_count * sizeof *d->nodes);
    if (out->nodes == NULL)
        return -ENOMEM;
    out->node_count = d->node_count;
    for (size_t i = 0; i < d->node_count; i++) {
        if (d->nodes[i] == NULL)
            continue;
        out->nodes[i] = node_copy(d->nodes[i]);
        if (out->nodes[i] == NULL)
            return -ENOMEM;
    }
    return 0;
}

int fake_disk_copy(struct fake_disk *out, const struct fake_disk *d)
{
    *out = *d;
    out->names = NULL;
    out->nodes = NULL;
    out->name_count = out->node_count = 0;
    out->open = NULL;
    out->fail_in = 0;
    if (copy_names(out, d) != 0 || copy_nodes(out, d) != 0) {
        fake_disk_fini(out);
        return -ENOMEM;
    }
    for (const struct fake_disk_file *f = d->open; f != NULL; f = f->next)
        node_hide(out, f->node);
    return 0;
}

/* ---------------------------------------------------------------------------------- checks ---- */

/* How often names, changes and open files refer to a node; to be seen by programs, or at all. */
static int count_refs(const struct fake_disk *d, int node, bool only_visible)
{
    int count = 0;
    for (size_t i = 0; i < d->name_count; i++)
        if (d->names[i].path != NULL)
            count += (d->names[i].now == node) + (!only_visible && d->names[i].kept == node);
    for (size_t i = 0; !only_visible && i < d->change_count; i++)
        count += d->changes[i].node == node;
    for (const struct fake_disk_file *f = d->open; f != NULL; f = f->next)
        count += f->node == node;
    return count;
}

void fake_disk_check(const struct fake_disk *d)
{
    for (size_t i = 0; i < d->node_count; i++) {
        if (d->nodes[i] == NULL)
            continue;
        fake_content_check(&d->nodes[i]->content);
        assert(d->nodes[i]->refs > 0);
        assert(d->nodes[i]->refs == count_refs(d, (int)i, false));
        assert(d->nodes[i]->visible == count_refs(d, (int)i, true));
    }
    for (size_t i = 0; i < d->name_count; i++) {
        const struct fake_disk_name *n = &d->names[i];
        assert(n->path == NULL || name_find(d, name_path(n)) == (int)i);
        assert(n->path == NULL || n->now == NONE || is_folder(d, folder_of(name_path(n))));
    }
}
