/* cli/store_folder.c: see store_folder.h.
 *
 * Who calls may be root, and the broker somebody else: whatever is made here is given to the owner
 * of the store, or the broker could not open it. */
#include "cli/store_folder.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, KEEP_TRIES = 1000, KEEP_PAUSE_NS = 10 * 1000 * 1000 };

static int join(const char *folder, const char *name, char *out, size_t size)
{
    int length = snprintf(out, size, "%s/%s", folder, name);
    return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

/* ------------------------------------------------------------------------------ looking ------- */

/* "0123456789abcdef" and this behind it. */
static bool is_numbered(const char *name, const char *suffix)
{
    return strspn(name, "0123456789abcdef") == 16 && strcmp(name + 16, suffix) == 0;
}

/* 1: yes, 0: no, or a negative errno. */
static int look_for_store(const struct files *files, const char *folder)
{
    struct buffer names = { 0 };
    int result = files->list(files, folder, &names);
    for (size_t at = 0; result == 0 && at < names.size;
         at += strlen((const char *)names.data + at) + 1) {
        const char *name = (const char *)names.data + at;
        result = is_numbered(name, ".log") || is_numbered(name, ".spare");
    }
    buffer_fini(&names);
    return result;
}

bool store_folder_is_store(const struct files *files, const char *folder)
{
    return look_for_store(files, folder) == 1;
}

int store_folder_find(const struct files *files, const char *given, char *out, size_t size)
{
    size_t length = strlen(given);
    while (length > 1 && given[length - 1] == '/')
        length--;
    int result = snprintf(out, size, "%.*s", (int)length, given) >= (int)size ? -ENAMETOOLONG : 0;
    if (result == 0)
        result = look_for_store(files, out);
    if (result != 0)
        return result < 0 ? result : 0;
    char inside[PATH_SIZE];
    result = join(out, "chappe", inside, sizeof inside);
    if (result == 0)
        result = look_for_store(files, inside);
    if (result <= 0)
        return result == 0 || result == -ENOTDIR ? -ENOENT : result;
    return snprintf(out, size, "%s", inside) >= (int)size ? -ENAMETOOLONG : 0;
}

static int64_t file_size(const struct files *files, const char *path)
{
    struct file *file;
    int64_t result = files->open(files, path, FILE_READ, &file);
    if (result < 0)
        return result;
    result = file->ops->size(file);
    file->ops->close(file);
    return result;
}

static int measure(const struct files *files, const char *folder, const char *name,
                   struct store_folder_sizes *sizes)
{
    bool is_segment = is_numbered(name, ".log");
    char path[PATH_SIZE];
    if (!is_segment && !is_numbered(name, ".spare"))
        return 0;
    int result = join(folder, name, path, sizeof path);
    int64_t size = result < 0 ? result : file_size(files, path);
    if (size < 0)
        return size == -ENOENT ? 0 : (int)size; /* gone since it was listed */
    *(is_segment ? &sizes->segments : &sizes->spares) += 1;
    *(is_segment ? &sizes->segment_bytes : &sizes->spare_bytes) += (uint64_t)size;
    return 0;
}

int store_folder_measure(const struct files *files, const char *folder,
                         struct store_folder_sizes *out)
{
    struct buffer names = { 0 };
    *out = (struct store_folder_sizes){ 0 };
    int result = files->list(files, folder, &names);
    for (size_t at = 0; result == 0 && at < names.size;
         at += strlen((const char *)names.data + at) + 1)
        result = measure(files, folder, (const char *)names.data + at, out);
    buffer_fini(&names);
    return result;
}

/* ------------------------------------------------------------------------------- owners ------- */

/* Only root can give things away, and only root has to. */
static int give(const char *path, const char *like)
{
    struct stat s;
    if (geteuid() != 0)
        return 0;
    return stat(like, &s) == 0 && lchown(path, s.st_uid, s.st_gid) == 0 ? 0 : -errno;
}

int store_folder_give(const struct files *files, const char *folder, const char *like)
{
    struct buffer names = { 0 };
    int result = files->list(files, folder, &names);
    for (size_t at = 0; result == 0 && at < names.size;
         at += strlen((const char *)names.data + at) + 1) {
        char path[PATH_SIZE];
        result = join(folder, (const char *)names.data + at, path, sizeof path);
        if (result == 0)
            result = give(path, like);
    }
    buffer_fini(&names);
    return result == 0 ? give(folder, like) : result;
}

/* -------------------------------------------------------------------------------- locks ------- */

/* Makes `keep`, for its owner, or it would be ours alone: a broker that cannot open it stops. */
static int make_keep(const struct files *files, const char *folder, const char *path)
{
    char made[PATH_SIZE];
    struct file *file;
    int result = snprintf(made, sizeof made, "%s.%d", path, (int)getpid()) >= (int)sizeof made
                     ? -ENAMETOOLONG
                     : files->open(files, made, FILE_CREATE, &file);
    if (result < 0)
        return result;
    file->ops->close(file);
    result = give(made, folder);
    if (result == 0 && link(made, path) != 0 && errno != EEXIST)
        result = -errno;
    (void)files->remove(files, made); /* an empty file, at worst */
    return result;
}

/* Where there is none no broker has ever been: it is a copy. */
static bool has_lock(const struct files *files, const char *folder)
{
    char path[PATH_SIZE];
    return join(folder, "lock", path, sizeof path) == 0 && file_size(files, path) >= 0;
}

static bool is_no_right(int error)
{
    return error == -EACCES || error == -EPERM || error == -EROFS;
}

/* Opens it and takes the lock, if not at once, then in the next seconds. */
static int open_and_lock(const struct files *files, const char *path, enum file_open how,
                         enum file_lock lock, int tries, struct file **out)
{
    struct file *file;
    int result = files->open(files, path, how, &file);
    if (result < 0)
        return result;
    result = file->ops->lock(file, lock);
    while (result == -EAGAIN && --tries > 0) {
        struct timespec pause = { .tv_nsec = KEEP_PAUSE_NS };
        (void)nanosleep(&pause, NULL); /* a signal makes it shorter */
        result = file->ops->lock(file, lock);
    }
    if (result < 0)
        file->ops->close(file);
    else
        *out = file;
    return result;
}

int store_folder_keep(const struct files *files, const char *folder, struct file **out)
{
    char path[PATH_SIZE];
    *out = NULL;
    int result = join(folder, "keep", path, sizeof path);
    if (result == 0)
        result = open_and_lock(files, path, FILE_READ, FILE_LOCK_SHARED, KEEP_TRIES, out);
    if (result == -ENOENT && !has_lock(files, folder))
        return 0;
    if (result == -ENOENT) {
        result = make_keep(files, folder, path);
        if (result == 0)
            result = open_and_lock(files, path, FILE_READ, FILE_LOCK_SHARED, KEEP_TRIES, out);
    }
    return is_no_right(result) ? 0 : result;
}

int store_folder_lock(const struct files *files, const char *folder, struct file **out)
{
    char path[PATH_SIZE];
    *out = NULL;
    int result = join(folder, "lock", path, sizeof path);
    if (result == 0)
        result = open_and_lock(files, path, FILE_WRITE, FILE_LOCK_EXCLUSIVE, 1, out);
    return result == -ENOENT || is_no_right(result) ? 0 : result;
}

/* ------------------------------------------------------------------------------- target ------- */

int store_target_begin(struct store_target *t, const struct files *files, const char *to)
{
    struct stat s;
    *t = (struct store_target){ .files = files, .to = to };
    size_t length = strlen(to);
    while (length > 1 && to[length - 1] == '/')
        length--;
    if (lstat(to, &s) == 0)
        return -EEXIST;
    if (errno != ENOENT)
        return -errno;
    if (snprintf(t->partial, sizeof t->partial, "%.*s.partial-%d", (int)length, to,
                 (int)getpid()) >= (int)sizeof t->partial)
        return -ENAMETOOLONG;
    return files->make_folder(files, t->partial);
}

static int sync_above(const struct files *files, const char *path)
{
    char above[PATH_SIZE];
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] != '/')
        length--;
    int size = snprintf(above, sizeof above, "%.*s", length == 0 ? 1 : (int)length,
                        length == 0 ? "." : path);
    return size >= (int)sizeof above ? -ENAMETOOLONG : files->sync_folder(files, above);
}

int store_target_finish(struct store_target *t, const char *like)
{
    char lost[PATH_SIZE];
    struct stat s;
    int result = join(t->partial, "lost", lost, sizeof lost);
    if (result == 0 && stat(lost, &s) == 0)
        result = store_folder_give(t->files, lost, like);
    if (result == 0)
        result = store_folder_give(t->files, t->partial, like);
    if (result == 0)
        result = t->files->sync_folder(t->files, t->partial);
    if (result == 0)
        result = t->files->rename(t->files, t->partial, t->to);
    return result == 0 ? sync_above(t->files, t->partial) : result;
}

/* Best effort: its name says what it is. */
static void remove_folder(const struct files *files, const char *folder)
{
    struct buffer names = { 0 };
    char path[PATH_SIZE];
    int result = files->list(files, folder, &names);
    for (size_t at = 0; result == 0 && at < names.size;
         at += strlen((const char *)names.data + at) + 1) {
        if (join(folder, (const char *)names.data + at, path, sizeof path) == 0)
            (void)files->remove(files, path);
    }
    buffer_fini(&names);
    (void)rmdir(folder);
}

void store_target_abandon(struct store_target *t)
{
    char lost[PATH_SIZE];
    if (join(t->partial, "lost", lost, sizeof lost) == 0)
        remove_folder(t->files, lost);
    remove_folder(t->files, t->partial);
}
