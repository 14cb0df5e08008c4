/* cli/store_import_write.c: see store_import_write.h.
 *
 *     LOCATION/chappe.import    made here, filled, synced
 *          `- renamed -> LOCATION/chappe
 *
 * So no broker ever sees a part of it.  What an import that was interrupted has left is removed by
 * the next one.  Two stores are never joined: both may know the same Client.  But a broker that was
 * started once has made an empty store, which gives way. */
#include "cli/store_import_write.h"
#include "cli/store_folder.h"
#include "cli/store_import_fill.h"
#include "cli/store_job.h"
#include "io/env_real.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct writing {
    struct store_job job; /* to speak with; its folder is the store's */
    const char *location;
    struct store_target target;
    struct store *former; /* an empty one, kept open so that no broker starts on it; NULL: none */
};

static int refuse(const struct writing *w, const char *path, int error)
{
    store_say(&w->job, "%s: %s", path, strerror(-error));
    return STORE_FAILED;
}

static int open_store(const char *folder, struct store **out, struct store_fault *fault)
{
    struct store_options o = { .files = env_real.files, .folder = folder };
    env_random(&env_real, &o.id, sizeof o.id);
    return store_open(&o, out, fault);
}

/* -------------------------------------------------------------------------------- places ------ */

/* Without slashes at its end. */
static bool name_place(char *out, size_t size, const char *folder, const char *suffix)
{
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    return snprintf(out, size, "%.*s%s", (int)length, folder, suffix) < (int)size;
}

static int find_places(struct writing *w)
{
    struct buffer names = { 0 };
    int result = env_real.files->list(env_real.files, w->location, &names);
    buffer_fini(&names);
    if (result == -ENOENT)
        store_say(&w->job,
                  "there is no folder %s\n"
                  "What to do: give the persistence_location of the broker that is to have it; if "
                  "that is new,\nmake it first, for the user that the broker runs as.",
                  w->location);
    else if (result < 0)
        (void)refuse(w, w->location, result);
    if (result < 0)
        return STORE_FAILED;
    bool is_store = store_folder_is_store(env_real.files, w->location);
    w->target = (struct store_target){ .files = env_real.files, .to = w->job.folder };
    if (!name_place(w->job.folder, sizeof w->job.folder, w->location, is_store ? "" : "/chappe") ||
        !name_place(w->target.partial, sizeof w->target.partial, w->job.folder, ".import"))
        return refuse(w, w->location, -ENAMETOOLONG);
    return STORE_FINE;
}

/* ------------------------------------------------------------------------ what is there ------- */

static bool is_empty(const struct store *s)
{
    struct store_stats stats = store_stats(s);
    return stats.keys == 0 && stats.entries == 0;
}

static int look_at_former(struct writing *w)
{
    const char *folder = w->job.folder;
    struct store_fault fault = { 0 };
    if (!store_folder_is_store(env_real.files, folder))
        return STORE_FINE; /* if something else is there, the renaming will tell */
    int result = open_store(folder, &w->former, &fault);
    if (result == -EAGAIN) {
        store_say(&w->job, "a broker is running on %s\nWhat to do: stop it first.", folder);
        return STORE_FAILED;
    }
    if (result == 0 && is_empty(w->former))
        return STORE_FINE;
    if (result < 0)
        return store_say_fault(&w->job, result, &fault);
    store_say(&w->job,
              "%s is in use: there are sessions or messages in it already\n"
              "What to do: move it away, or give another folder, and say so in the broker's\n"
              "persistence_location.",
              folder);
    return STORE_FAILED;
}

/* Nothing that anybody needs is in it, and it is locked. */
static void remove_former(struct writing *w)
{
    struct buffer names = { 0 };
    char path[STORE_PATH_SIZE];
    if (w->former == NULL)
        return;
    int result = env_real.files->list(env_real.files, w->job.folder, &names);
    for (size_t at = 0; result == 0 && at < names.size;
         at += strlen((const char *)names.data + at) + 1) {
        const char *name = (const char *)names.data + at;
        if (snprintf(path, sizeof path, "%s/%s", w->job.folder, name) < (int)sizeof path)
            (void)env_real.files->remove(env_real.files, path); /* the renaming will tell */
    }
    buffer_fini(&names);
}

static int begin(struct writing *w)
{
    struct file *lock;
    int result = store_folder_lock(env_real.files, w->target.partial, &lock);
    if (result == -EAGAIN) {
        store_say(&w->job, "%s: another import is under way", w->target.partial);
        return STORE_FAILED;
    }
    if (result < 0)
        return refuse(w, w->target.partial, result);
    store_target_abandon(&w->target); /* one that was interrupted; or there is none */
    if (lock != NULL)
        lock->ops->close(lock);
    result = env_real.files->make_folder(env_real.files, w->target.partial);
    return result < 0 ? refuse(w, w->target.partial, result) : STORE_FINE;
}

/* ------------------------------------------------------------------------------- writing ------ */

static void on_progress(void *context, uint64_t bytes)
{
    store_progress_show(context, bytes, 0);
}

static int fill(struct writing *w, const struct store_import *s, uint64_t *bytes)
{
    struct store_progress progress = { .job = &w->job, .what = "writing" };
    struct store_fault fault = { 0 };
    struct store_fill f = { .now_ns = env_wall_ns(&env_real),
                            .on_progress = on_progress,
                            .context = &progress };
    int result = open_store(w->target.partial, &f.store, &fault);
    if (result < 0)
        return store_say_fault(&w->job, result, &fault);
    result = store_import_fill(s, &f);
    *bytes = store_stats(f.store).bytes;
    store_progress_end(&progress);
    store_close(f.store);
    return result < 0 ? refuse(w, w->target.partial, result) : STORE_FINE;
}

/* It belongs to whom the folder above belongs, or nobody but root could run a broker on it. */
static int finish(struct writing *w)
{
    remove_former(w);
    int result = store_target_finish(&w->target, w->former != NULL ? w->job.folder : w->location);
    if (result == -ENOTEMPTY || result == -EEXIST || result == -ENOTDIR) {
        store_say(&w->job,
                  "%s is there already, and is no store\n"
                  "What to do: move it away, or give another folder.",
                  w->job.folder);
        return STORE_FAILED;
    }
    return result < 0 ? refuse(w, w->job.folder, result) : STORE_FINE;
}

static void print_written(const struct writing *w, uint64_t bytes)
{
    const char *end = strrchr(w->job.folder, '/');
    size_t length = end == NULL ? 0 : (size_t)(end - w->job.folder);
    printf("%s: written, %" PRIu64 " bytes.  A broker takes over from there with\n"
           "    persistence true\n"
           "    persistence_location %.*s/\n",
           w->job.folder, bytes, end == NULL ? 1 : (int)length, end == NULL ? "." : w->job.folder);
}

static int write_all(struct writing *w, const struct store_import *s)
{
    uint64_t bytes = 0;
    int status = begin(w);
    if (status != STORE_FINE)
        return status;
    status = fill(w, s, &bytes);
    if (status == STORE_FINE)
        status = finish(w);
    if (status == STORE_FINE)
        print_written(w, bytes);
    else
        store_target_abandon(&w->target);
    return status;
}

int store_import_write(const struct store_import *s, const char *location)
{
    struct writing w = { .job = { .verb = "import", .env = &env_real }, .location = location };
    int status = find_places(&w);
    if (status == STORE_FINE)
        status = look_at_former(&w);
    if (status == STORE_FINE)
        status = write_all(&w, s);
    store_close(w.former);
    return status;
}
