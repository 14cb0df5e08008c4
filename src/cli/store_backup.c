/* cli/store_backup.c: `chappe store backup`: a copy of the store, while it is used. */
#include "cli/store_copy.h"
#include "cli/store_folder.h"
#include "cli/store_verbs.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static void on_progress(void *context, const char *what, uint64_t bytes, uint64_t bytes_in_all)
{
    struct store_progress *p = context;
    p->what = what;
    store_progress_show(p, bytes, bytes_in_all);
}

static int copy(const struct store_job *j, struct store_target *t)
{
    struct store_progress progress = { .job = j };
    struct store_copied copied;
    struct store_fault fault = { 0 };
    struct store_copy c = { .files = j->env->files,
                            .from = j->folder,
                            .to = t->partial,
                            .on_progress = on_progress,
                            .context = &progress };
    int result = store_copy(&c, &copied, &fault);
    store_progress_end(&progress);
    if (result < 0)
        return store_say_fault(j, result, &fault);
    result = store_target_finish(t, j->folder);
    if (result < 0) {
        store_say(j, "%s cannot be finished: %s", j->to, strerror(-result));
        return STORE_FAILED;
    }
    printf("%s: %" PRIu64 " segments, %" PRIu64 " batches up to number %" PRIu64 ", %" PRIu64
           " records, %" PRIu64 " bytes; read back, and whole.\n"
           "To use it: put it in the place of %s while no broker runs.\n",
           j->to, copied.segments, copied.batches, copied.sequence, copied.records, copied.bytes,
           j->folder);
    return STORE_FINE;
}

int store_backup_run(const struct store_job *j)
{
    struct store_target target;
    struct file *keep;
    int result = store_folder_keep(j->env->files, j->folder, &keep);
    if (result < 0) {
        store_say(j, "%s/keep cannot be locked: %s", j->folder, strerror(-result));
        return STORE_FAILED;
    }
    result = store_target_begin(&target, j->env->files, j->to);
    int status = STORE_FAILED;
    if (result < 0) {
        store_say_target(j, result);
    } else {
        status = copy(j, &target);
        if (status != STORE_FINE)
            store_target_abandon(&target);
    }
    if (keep != NULL)
        keep->ops->close(keep);
    return status;
}
