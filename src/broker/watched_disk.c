/* broker/watched_disk.c: see watched_disk.h. */
#include "broker/watched_disk.h"
#include "base/list.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct watched_file {
    struct file file;
    struct watched_disk *disk;
    struct file *inner;
};

static struct watched_file *watched(struct file *f)
{
    return container_of(f, struct watched_file, file);
}

/* The door is const; what is remembered is not. */
static struct watched_disk *disk_of(const struct files *files)
{
    return (struct watched_disk *)container_of(files, struct watched_disk, files);
}

static int note(struct watched_disk *d, int result)
{
    if (result < 0 && result != -ENOENT && result != -EEXIST)
        d->has_failed = true;
    return result;
}

static int note_write(struct watched_disk *d, int result)
{
    d->has_failed_writing = d->has_failed_writing || result < 0;
    return note(d, result);
}

/* ------------------------------------------------------------------------------- one file ----- */

static ssize_t read_at(struct file *f, void *out, size_t size, uint64_t offset)
{
    struct watched_file *w = watched(f);
    ssize_t result = w->inner->ops->read_at(w->inner, out, size, offset);
    w->disk->has_failed_reading = w->disk->has_failed_reading || result < 0;
    (void)note(w->disk, result < 0 ? (int)result : 0);
    return result;
}

static int write_at(struct file *f, struct bytes bytes, uint64_t offset)
{
    struct watched_file *w = watched(f);
    w->disk->write_count++;
    return note_write(w->disk, w->inner->ops->write_at(w->inner, bytes, offset));
}

static int sync_file(struct file *f)
{
    struct watched_file *w = watched(f);
    w->disk->sync_count++;
    return note_write(w->disk, w->inner->ops->sync(w->inner));
}

static int reserve(struct file *f, uint64_t size)
{
    struct watched_file *w = watched(f);
    return note(w->disk, w->inner->ops->reserve(w->inner, size));
}

static int64_t size_of_file(struct file *f)
{
    struct watched_file *w = watched(f);
    int64_t result = w->inner->ops->size(w->inner);
    (void)note(w->disk, result < 0 ? (int)result : 0);
    return result;
}

static int lock_file(struct file *f, enum file_lock how)
{
    struct watched_file *w = watched(f);
    return note(w->disk, w->inner->ops->lock(w->inner, how));
}

static void close_file(struct file *f)
{
    struct watched_file *w = watched(f);
    w->inner->ops->close(w->inner);
    w->disk->open_count--;
    free(w);
}

/* ------------------------------------------------------------------------------- the door ----- */

static int read_file(const struct files *files, const char *path, struct buffer *out)
{
    struct watched_disk *d = disk_of(files);
    return note(d, d->disk.files.read(&d->disk.files, path, out));
}

static int list_folder(const struct files *files, const char *path, struct buffer *out)
{
    struct watched_disk *d = disk_of(files);
    return note(d, d->disk.files.list(&d->disk.files, path, out));
}

static int open_file(const struct files *files, const char *path, enum file_open how,
                     struct file **out)
{
    static const struct file_ops ops = { read_at,      write_at,  sync_file, reserve,
                                         size_of_file, lock_file, close_file };
    struct watched_disk *d = disk_of(files);
    struct file *inner;
    int result = note(d, d->disk.files.open(&d->disk.files, path, how, &inner));
    if (result != 0)
        return result;
    struct watched_file *w = malloc(sizeof *w); /* not one of those that a sweep counts */
    assert(w != NULL);
    *w = (struct watched_file){ { &ops }, d, inner };
    d->open_count++;
    *out = &w->file;
    return 0;
}

static int make_folder(const struct files *files, const char *path)
{
    struct watched_disk *d = disk_of(files);
    return note(d, d->disk.files.make_folder(&d->disk.files, path));
}

static int rename_file(const struct files *files, const char *from, const char *to)
{
    struct watched_disk *d = disk_of(files);
    return note(d, d->disk.files.rename(&d->disk.files, from, to));
}

static int remove_file(const struct files *files, const char *path)
{
    struct watched_disk *d = disk_of(files);
    return note(d, d->disk.files.remove(&d->disk.files, path));
}

static int sync_folder(const struct files *files, const char *path)
{
    struct watched_disk *d = disk_of(files);
    return note(d, d->disk.files.sync_folder(&d->disk.files, path));
}

static int space(const struct files *files, const char *path, uint64_t *free_bytes,
                 bool *is_network)
{
    struct watched_disk *d = disk_of(files);
    return note(d, d->disk.files.space(&d->disk.files, path, free_bytes, is_network));
}

void watched_disk_init(struct watched_disk *d, uint64_t seed)
{
    *d = (struct watched_disk){
        .files = { .read = read_file,
                   .list = list_folder,
                   .open = open_file,
                   .make_folder = make_folder,
                   .rename = rename_file,
                   .remove = remove_file,
                   .sync_folder = sync_folder,
                   .space = space },
    };
    fake_disk_init(&d->disk, seed);
}

void watched_disk_fini(struct watched_disk *d)
{
    assert(d->open_count == 0);
    fake_disk_fini(&d->disk);
}
