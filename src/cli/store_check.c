/* cli/store_check.c: `chappe store check`: everything is read twice, once as bytes, once as what it
 * means together.
 *
 *     scan: sums, sequences, ends    -> damage, and where
 *     each record                    -> flaws, and where
 *     what is live of it             -> Sessions that a Client has twice */
#include "base/list.h"
#include "cli/store_flaw.h"
#include "cli/store_folder.h"
#include "cli/store_names.h"
#include "cli/store_verbs.h"
#include "store/scan.h"
#include <inttypes.h>
#include <stdio.h>

enum { LINES_MAX = 100 }; /* of one sort; the rest is counted */

struct check {
    struct scan_sink sink;
    const struct store_job *job;
    struct store_progress progress;
    uint64_t bytes_in_all;
    uint64_t segments, batches, records, bytes;
    uint64_t damages, flaws, twice;
};

static struct check *check_of(struct scan_sink *sink)
{
    return container_of(sink, struct check, sink);
}

static bool shows(struct check *c, uint64_t *count)
{
    store_progress_end(&c->progress);
    *count += 1;
    return *count <= LINES_MAX;
}

static int on_segment(struct scan_sink *sink, const struct scan_place *at, uint64_t file_size)
{
    check_of(sink)->segments++;
    return 0;
}

static int on_batch(struct scan_sink *sink, const struct scan_place *at, uint32_t records,
                    uint64_t size)
{
    struct check *c = check_of(sink);
    c->batches++;
    c->records += records;
    c->bytes += size;
    store_progress_show(&c->progress, c->bytes, c->bytes_in_all);
    return 0;
}

static int on_record(struct scan_sink *sink, const struct scan_place *at, const struct record *r,
                     struct bytes raw)
{
    struct check *c = check_of(sink);
    const char *flaw = record_flaw(r);
    if (flaw != NULL && shows(c, &c->flaws))
        printf("NONSENSE %s, byte %" PRIu64 ", batch %" PRIu64 ": %s\n", at->path, at->offset,
               at->sequence, flaw);
    return 0;
}

static int on_end(struct scan_sink *sink, const struct scan_place *at, bool is_torn)
{
    struct check *c = check_of(sink);
    if (!is_torn)
        return 0;
    store_progress_end(&c->progress);
    printf("The end is torn: %s, byte %" PRIu64 ".\n"
           "That is harmless: it was being written when the machine or the broker stopped (or is\n"
           "being written now), and nothing of it had been acknowledged to anybody.\n",
           at->path, at->offset);
    return 0;
}

static int on_damage(struct scan_sink *sink, const struct scan_place *at, const char *what)
{
    struct check *c = check_of(sink);
    if (shows(c, &c->damages))
        printf("DAMAGE   %s, byte %" PRIu64 ": %s\n", at->path, at->offset, what);
    return 0;
}

/* ------------------------------------------------------------------------------- Sessions ----- */

static void on_twice(void *context, struct bytes client_id, uint64_t older, uint64_t newer)
{
    struct check *c = context;
    struct facts f;
    if (!shows(c, &c->twice))
        return;
    facts_init(&f, FACTS_TEXT);
    facts_bytes(&f, "client_id", client_id, SIZE_MAX);
    facts_number(&f, "session", older);
    facts_number(&f, "session", newer);
    printf("NONSENSE a client has two sessions: %.*s\n", (int)f.out.size, (const char *)f.out.data);
    facts_fini(&f);
}

static int check_sessions(struct check *c)
{
    struct store_options o = { .files = c->job->env->files,
                               .folder = c->job->folder,
                               .is_read_only = true,
                               .on_progress = store_on_progress,
                               .context = &c->progress };
    struct store_fault fault = { 0 };
    struct store_names names = { 0 };
    struct store *s;
    c->progress.what = "putting it together";
    int result = store_open(&o, &s, &fault);
    if (result == 0) {
        result = store_names_read(&names, s, &fault);
        store_close(s);
    }
    store_progress_end(&c->progress);
    if (result < 0)
        return store_say_fault(c->job, result, &fault);
    store_names_twice(&names, on_twice, c);
    store_names_fini(&names);
    return STORE_FINE;
}

/* -------------------------------------------------------------------------------- report ------ */

static void print_rest(uint64_t count, const char *what)
{
    if (count > LINES_MAX)
        printf("... and %" PRIu64 " more places that %s.\n", count - LINES_MAX, what);
}

static int report(const struct check *c)
{
    print_rest(c->damages, "are damaged");
    print_rest(c->flaws, "make no sense");
    print_rest(c->twice, "make no sense");
    printf("%s: %" PRIu64 " segments, %" PRIu64 " batches, %" PRIu64 " records, %" PRIu64
           " bytes.\n",
           c->job->folder, c->segments, c->batches, c->records, c->bytes);
    if (c->damages + c->flaws + c->twice == 0) {
        printf("Nothing is wrong with it.\n");
        return STORE_FINE;
    }
    printf("A broker may refuse to start on it.  What to do: put a backup in its place, or\n"
           "    chappe store repair %s NEW_FOLDER\n"
           "which copies what is readable and changes nothing here.\n",
           c->job->folder);
    return STORE_FAILED;
}

static int check(struct check *c)
{
    struct store_folder_sizes sizes;
    struct store_fault fault = { 0 };
    if (store_folder_measure(c->job->env->files, c->job->folder, &sizes) == 0)
        c->bytes_in_all = sizes.segment_bytes;
    int result = scan_folder(c->job->env->files, c->job->folder, &c->sink, &fault);
    store_progress_end(&c->progress);
    if (result < 0)
        return store_say_fault(c->job, result, &fault);
    int status = c->damages == 0 && c->flaws == 0 ? check_sessions(c) : STORE_FINE;
    return status == STORE_FINE ? report(c) : status;
}

int store_check_run(const struct store_job *j)
{
    struct check c = { .sink = { on_segment, on_batch, on_record, on_end, on_damage },
                       .job = j,
                       .progress = { .job = j, .what = "reading" } };
    struct file *keep;
    int result = store_folder_keep(j->env->files, j->folder, &keep);
    if (result < 0) {
        store_say(j, "%s/keep cannot be locked: %s", j->folder, strerror(-result));
        return STORE_FAILED;
    }
    int status = check(&c);
    if (keep != NULL)
        keep->ops->close(keep);
    return status;
}
