/* cli/store_dump.c: `chappe store dump`: every record, a line each, as they follow in the log.
 *
 * A Session is known by its number here.  Whoever asks for a Client's gets all that this Client
 * ever had, as far as the log remembers; which ones those are shows only when all of it has been
 * read: a first time, for that. */
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "cli/store_facts.h"
#include "cli/store_folder.h"
#include "cli/store_verbs.h"
#include "mqtt/topic.h"
#include "store/scan.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { PAYLOAD_SHOWN = 100 };

/* ------------------------------------------------------------------- a Client's Sessions ------ */

struct numbered {
    uint64_t session;
};

static struct bytes key_of_numbered(const void *object)
{
    return bytes_of(object, sizeof(uint64_t));
}

static int remember(struct map *sessions, uint64_t session)
{
    if (map_find(sessions, bytes_of(&session, sizeof session)) != NULL)
        return 0;
    struct numbered *n = memory_alloc(sizeof *n);
    if (n == NULL)
        return -ENOMEM;
    n->session = session;
    int result = map_add(sessions, n);
    if (result != 0)
        memory_free(n);
    return result;
}

static void forget_all(struct map *sessions)
{
    size_t cursor = 0;
    for (void *n; (n = map_next(sessions, &cursor)) != NULL;)
        memory_free(n);
    map_fini(sessions);
}

/* ------------------------------------------------------------------------------- choosing ----- */

struct dump {
    struct scan_sink sink;
    const struct store_job *job;
    struct facts facts;
    struct map sessions; /* those of job->client_id */
    bool is_damaged;
};

static struct dump *dump_of(struct scan_sink *sink)
{
    return container_of(sink, struct dump, sink);
}

static bool is_chosen_session(const struct dump *d, uint64_t session)
{
    return map_find(&d->sessions, bytes_of(&session, sizeof session)) != NULL;
}

static bool is_about_session(const struct dump *d, const struct record *r)
{
    struct durable_key k;
    struct record_entry e;
    struct bytes list = r->list;
    if (r->type == RECORD_PUT || r->type == RECORD_REMOVE)
        return durable_key_read(r->key, &k) && k.kind != KEY_RETAINED &&
               is_chosen_session(d, k.session);
    while (record_next(r->type, &list, &e))
        if (is_chosen_session(d, e.queue))
            return true;
    return false;
}

static bool matches(const char *filter, struct bytes topic)
{
    return topic_name_is_valid(topic) && topic_filter_matches(bytes_of_string(filter), topic);
}

static bool is_about_topic(const struct dump *d, const struct record *r)
{
    struct durable_key k;
    if (r->type == RECORD_PUT || r->type == RECORD_REMOVE)
        return durable_key_read(r->key, &k) && k.kind == KEY_RETAINED &&
               matches(d->job->filter, k.filter);
    if (r->type != RECORD_APPEND)
        return false;
    bool no_memory;
    struct message *m = stored_message_read(r->value, 0, &no_memory);
    bool is_it = m != NULL && matches(d->job->filter, m->topic);
    message_unref(m);
    return is_it;
}

static bool is_chosen(const struct dump *d, const struct record *r)
{
    return (d->job->client_id == NULL || is_about_session(d, r)) &&
           (d->job->filter == NULL || is_about_topic(d, r));
}

/* ------------------------------------------------------------------------------- printing ----- */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void facts_place(struct facts *f, const struct scan_place *at)
{
    char text[64];
    if (f->style == FACTS_JSON) {
        facts_text(f, "file", last_part(at->path));
        facts_number(f, "offset", at->offset);
    } else {
        (void)snprintf(text, sizeof text, "%s:%" PRIu64, last_part(at->path), at->offset);
        facts_word(f, "place", text);
    }
    facts_number(f, "batch", at->sequence);
}

static int print_record(struct scan_sink *sink, const struct scan_place *at, const struct record *r,
                        struct bytes raw)
{
    struct dump *d = dump_of(sink);
    struct facts *f = &d->facts;
    if (!is_chosen(d, r))
        return 0;
    facts_begin(f);
    facts_place(f, at);
    facts_record(f, r, d->job->full ? SIZE_MAX : PAYLOAD_SHOWN);
    facts_end(f);
    return store_print(d->job, f) ? 0 : -ECANCELED;
}

static int print_damage(struct scan_sink *sink, const struct scan_place *at, const char *what)
{
    struct dump *d = dump_of(sink);
    struct facts *f = &d->facts;
    d->is_damaged = true;
    facts_begin(f);
    facts_place(f, at);
    facts_word(f, "type", "damage");
    facts_text(f, "what", what);
    facts_end(f);
    return store_print(d->job, f) ? 0 : -ECANCELED;
}

/* ------------------------------------------------------------------------------ two passes ---- */

static int note_session(struct scan_sink *sink, const struct scan_place *at, const struct record *r,
                        struct bytes raw)
{
    struct dump *d = dump_of(sink);
    struct durable_key k;
    struct stored_session s;
    if (r->type != RECORD_PUT || !durable_key_read(r->key, &k) || k.kind != KEY_SESSION ||
        !stored_session_read(r->value, &s) ||
        !bytes_equal(s.client_id, bytes_of_string(d->job->client_id)))
        return 0;
    return remember(&d->sessions, k.session);
}

static int pass_over(struct scan_sink *sink, const struct scan_place *at, const char *what)
{
    return 0; /* the second pass names it */
}

static int dump(struct dump *d, struct store_fault *fault)
{
    const struct files *files = d->job->env->files;
    int result = 0;
    if (d->job->client_id != NULL) {
        d->sink = (struct scan_sink){ .on_record = note_session, .on_damage = pass_over };
        result = scan_folder(files, d->job->folder, &d->sink, fault);
    }
    if (result == 0 && d->job->client_id != NULL && d->sessions.count == 0) {
        store_say(d->job, "no client \"%s\" is or was in it", d->job->client_id);
        return -ECANCELED;
    }
    d->sink = (struct scan_sink){ .on_record = print_record, .on_damage = print_damage };
    return result < 0 ? result : scan_folder(files, d->job->folder, &d->sink, fault);
}

/* -ECANCELED: it has been said. */
static int dump_status(const struct dump *d, int result, const struct store_fault *fault)
{
    if (result < 0)
        return result == -ECANCELED ? STORE_FAILED : store_say_fault(d->job, result, fault);
    if (d->is_damaged)
        store_say(d->job, "it is damaged; 'chappe store check' says more");
    return d->is_damaged ? STORE_FAILED : STORE_FINE;
}

int store_dump_run(const struct store_job *j)
{
    if (j->live)
        return store_live_run(j);
    struct dump d = { .job = j };
    struct store_fault fault = { 0 };
    struct file *keep;
    facts_init(&d.facts, j->json ? FACTS_JSON : FACTS_TEXT);
    map_init(&d.sessions, 1,
             key_of_numbered); /* numbers that nobody chose for us to be slow with */
    int result = store_folder_keep(j->env->files, j->folder, &keep);
    if (result == 0)
        result = dump(&d, &fault);
    if (keep != NULL)
        keep->ops->close(keep);
    facts_fini(&d.facts);
    forget_all(&d.sessions);
    return dump_status(&d, result, &fault);
}
