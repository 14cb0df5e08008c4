/* cli/store_repair.c: `chappe store repair`: a store that a broker starts on, from one that it
 * refuses.  Nothing is changed in place, and nothing is left out silently. */
#include "cli/store_folder.h"
#include "cli/store_salvage.h"
#include "cli/store_verbs.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct repair {
    const struct store_job *job;
    struct store_progress progress;
    size_t to_size; /* of the name of the folder it is written to, which will be another one */
    uint64_t bytes_in_all;
};

static void on_progress(void *context, uint64_t bytes)
{
    struct repair *r = context;
    store_progress_show(&r->progress, bytes, r->bytes_in_all);
}

static void on_loss(void *context, const struct salvage_loss *loss)
{
    struct repair *r = context;
    store_progress_end(&r->progress);
    printf("SKIPPED %s", loss->path);
    if (loss->size > 0)
        printf(", byte %" PRIu64 ", %" PRIu64 " bytes", loss->offset, loss->size);
    printf(": %s\n", loss->what);
    if (loss->saved_as != NULL)
        printf("        these bytes are now in %s%s\n", r->job->to, loss->saved_as + r->to_size);
}

static void print_report(const struct repair *r, const struct salvage_report *report)
{
    const struct store_job *j = r->job;
    printf("%s: %" PRIu64 " batches with %" PRIu64 " records are readable, and are copied.\n",
           j->to, report->batches, report->records);
    if (report->losses + report->sessions == 0)
        printf("Nothing had to be skipped.\n");
    else
        printf(
            "Skipped: %" PRIu64 " places, %" PRIu64 " bytes, and %" PRIu64 " sessions.\n"
            "Messages, sessions and subscriptions that were written there are missing.  What was\n"
            "finished there is not: messages may be delivered again, and what was removed may be\n"
            "back.\n",
            report->losses, report->lost_bytes, report->sessions);
    printf("To use it, while no broker runs:\n"
           "    mv %s %s.damaged && mv %s %s\n",
           j->folder, j->folder, j->to, j->folder);
}

static int salvage(struct repair *r, struct store_target *t)
{
    const struct store_job *j = r->job;
    struct salvage_report report;
    struct store_fault fault = { 0 };
    struct salvage s = { .files = j->env->files,
                         .from = j->folder,
                         .to = t->partial,
                         .on_loss = on_loss,
                         .on_progress = on_progress,
                         .context = r };
    env_random(j->env, &s.id, sizeof s.id);
    r->to_size = strlen(t->partial);
    int result = store_salvage(&s, &report, &fault);
    store_progress_end(&r->progress);
    if (result < 0)
        return store_say_fault(j, result, &fault);
    result = store_target_finish(t, j->folder);
    if (result < 0) {
        store_say(j, "%s cannot be finished: %s", j->to, strerror(-result));
        return STORE_FAILED;
    }
    print_report(r, &report);
    return STORE_FINE;
}

static int repair(const struct store_job *j)
{
    struct repair r = { .job = j, .progress = { .job = j, .what = "copying" } };
    struct store_folder_sizes sizes;
    struct store_target target;
    if (store_folder_measure(j->env->files, j->folder, &sizes) == 0)
        r.bytes_in_all = sizes.segment_bytes;
    int result = store_target_begin(&target, j->env->files, j->to);
    if (result < 0) {
        store_say_target(j, result);
        return STORE_FAILED;
    }
    int status = salvage(&r, &target);
    if (status != STORE_FINE)
        store_target_abandon(&target);
    return status;
}

int store_repair_run(const struct store_job *j)
{
    struct file *lock;
    int result = store_folder_lock(j->env->files, j->folder, &lock);
    if (result == -EAGAIN)
        store_say(j,
                  "a broker runs on %s: stop it first, or make a copy with 'chappe store backup'",
                  j->folder);
    else if (result < 0)
        store_say(j, "%s/lock cannot be locked: %s", j->folder, strerror(-result));
    if (result < 0)
        return STORE_FAILED;
    int status = repair(j);
    if (lock != NULL)
        lock->ops->close(lock);
    return status;
}
