/* cli/store_live.c: `chappe store dump --live`: what a broker that started now would find.
 *
 *     session ...        one line each, with how much is queued for it
 *     subscription ...   received, released: Packet Identifiers of QoS 2
 *     group ...          of a Shared Subscription, with how much is queued for it
 *     retained ...
 *     queued ...         with --messages */
#include "base/list.h"
#include "cli/store_facts.h"
#include "cli/store_flaw.h"
#include "cli/store_folder.h"
#include "cli/store_names.h"
#include "cli/store_verbs.h"
#include "mqtt/topic.h"
#include <errno.h>

enum { PAYLOAD_SHOWN = 100 };

struct live {
    struct store_sink sink;
    struct store_reader reader;
    const struct store_job *job;
    struct store *store;
    struct store_names names;
    struct facts facts;
    uint64_t queue; /* the one that is read */
    size_t payload_max;
    int result; /* 0; -EBADMSG: it makes no sense somewhere; -ECANCELED: it cannot go on */
};

/* ------------------------------------------------------------------------------- choosing ----- */

static bool is_chosen_session(const struct live *l, uint64_t session)
{
    struct store_owner owner = store_names_find(&l->names, session);
    return l->job->client_id == NULL ||
           (owner.kind == KEY_SESSION &&
            bytes_equal(owner.name, bytes_of_string(l->job->client_id)));
}

static bool is_chosen_topic(const struct live *l, struct bytes topic)
{
    return l->job->filter == NULL || (topic_name_is_valid(topic) &&
                                      topic_filter_matches(bytes_of_string(l->job->filter), topic));
}

static bool is_chosen_key(const struct live *l, const struct durable_key *k)
{
    if (k->kind == KEY_RETAINED)
        return l->job->client_id == NULL && is_chosen_topic(l, k->filter);
    return is_chosen_session(l, k->session) && l->job->filter == NULL;
}

static bool is_chosen_message(const struct live *l, struct bytes body)
{
    bool no_memory, is_it = true;
    if (l->job->filter == NULL)
        return true;
    struct message *m = stored_message_read(body, 0, &no_memory);
    is_it = m != NULL && is_chosen_topic(l, m->topic);
    message_unref(m);
    return is_it;
}

/* ------------------------------------------------------------------------------- printing ----- */

static void facts_client(struct live *l, uint64_t session)
{
    struct store_owner owner = store_names_find(&l->names, session);
    if (owner.kind == KEY_SESSION)
        facts_bytes(&l->facts, "client_id", owner.name, SIZE_MAX);
}

static bool end_line(struct live *l)
{
    facts_end(&l->facts);
    if (store_print(l->job, &l->facts))
        return true;
    l->result = -ECANCELED;
    return false;
}

static void facts_flaw(struct live *l, const char *flaw)
{
    if (flaw == NULL)
        return;
    facts_text(&l->facts, "flaw", flaw);
    l->result = -EBADMSG;
}

static void facts_queue(struct live *l, uint64_t queue)
{
    struct store_queue q = store_queue(l->store, queue);
    facts_number(&l->facts, "queued", q.count);
    if (q.count == 0)
        return;
    facts_number(&l->facts, "first_seq", q.first);
    facts_number(&l->facts, "last_seq", q.last);
}

static bool print_session(struct live *l, const struct durable_key *k, struct bytes value)
{
    struct stored_session s;
    facts_begin(&l->facts);
    facts_key(&l->facts, k);
    bool is_session = stored_session_read(value, &s);
    if (is_session)
        facts_session(&l->facts, &s, l->payload_max);
    facts_flaw(l, is_session ? NULL : "it is no Session");
    facts_queue(l, k->session);
    return end_line(l);
}

static bool print_subscription(struct live *l, const struct durable_key *k, struct bytes value)
{
    struct stored_subscription s;
    facts_begin(&l->facts);
    facts_key(&l->facts, k);
    facts_client(l, k->session);
    bool is_subscription = stored_subscription_read(value, &s);
    if (is_subscription)
        facts_subscription(&l->facts, &s);
    facts_flaw(l, is_subscription ? NULL : "it is no subscription");
    return end_line(l);
}

static bool print_group(struct live *l, const struct durable_key *k, struct bytes value)
{
    facts_begin(&l->facts);
    facts_key(&l->facts, k);
    facts_bytes(&l->facts, "filter", value, SIZE_MAX);
    facts_flaw(l, stored_group_flaw(value));
    facts_queue(l, k->session);
    return end_line(l);
}

static bool print_packet_id(struct live *l, const struct durable_key *k)
{
    facts_begin(&l->facts);
    facts_key(&l->facts, k);
    facts_client(l, k->session);
    return end_line(l);
}

static bool print_retained(struct live *l, const struct durable_key *k, struct bytes value)
{
    facts_begin(&l->facts);
    facts_key(&l->facts, k);
    facts_message(&l->facts, value, l->payload_max);
    facts_flaw(l, stored_message_flaw(value));
    return end_line(l);
}

static bool on_key(struct store_sink *sink, struct bytes key, struct bytes value)
{
    struct live *l = container_of(sink, struct live, sink);
    struct durable_key k;
    if (!durable_key_read(key, &k)) {
        l->result = -EBADMSG;
        return true;
    }
    if (!is_chosen_key(l, &k))
        return true;
    switch (k.kind) {
    case KEY_SESSION:
        return print_session(l, &k, value);
    case KEY_SUBSCRIPTION:
        return print_subscription(l, &k, value);
    case KEY_GROUP:
        return print_group(l, &k, value);
    case KEY_RETAINED:
        return print_retained(l, &k, value);
    }
    return print_packet_id(l, &k);
}

/* --------------------------------------------------------------------------------- queues ----- */

static void begin_queued(struct live *l, uint64_t seq)
{
    struct store_owner owner = store_names_find(&l->names, l->queue);
    facts_begin(&l->facts);
    facts_word(&l->facts, "kind", "queued");
    facts_owner(&l->facts, l->queue, &owner);
    facts_number(&l->facts, "seq", seq);
}

static bool on_entry(struct store_reader *reader, uint64_t seq, struct bytes data,
                     struct bytes body)
{
    struct live *l = container_of(reader, struct live, reader);
    struct stored_delivery d;
    if (!is_chosen_message(l, body))
        return true;
    begin_queued(l, seq);
    if (stored_delivery_read(data, &d))
        facts_delivery(&l->facts, &d);
    else
        facts_flaw(l, "an entry of a queue says nothing that makes sense");
    facts_message(&l->facts, body, l->payload_max);
    facts_flaw(l, stored_message_flaw(body));
    return end_line(l);
}

static void on_damaged(struct store_reader *reader, uint64_t seq, int error,
                       const struct store_fault *fault)
{
    struct live *l = container_of(reader, struct live, reader);
    begin_queued(l, seq);
    facts_text(&l->facts, "file", fault->path);
    facts_number(&l->facts, "offset", fault->offset);
    facts_flaw(l, fault->text);
    (void)end_line(l); /* result remembers */
}

/* What waits for a Session or a group that is not there any more: a broker drops it when it starts.
 */
static bool print_stray(struct live *l, uint64_t queue)
{
    struct store_owner owner = store_names_find(&l->names, queue);
    if (owner.kind != 0 || l->job->client_id != NULL || l->job->filter != NULL)
        return true;
    facts_begin(&l->facts);
    facts_word(&l->facts, "kind", "stray");
    facts_owner(&l->facts, queue, &owner);
    facts_queue(l, queue);
    return end_line(l);
}

static int print_queues(struct live *l)
{
    uint64_t cursor = 0;
    int result = 0;
    while (result == 0 && l->result != -ECANCELED &&
           store_next_queue(l->store, &cursor, &l->queue)) {
        if (!print_stray(l, l->queue) || !l->job->messages || !is_chosen_session(l, l->queue))
            continue;
        result = store_read_queue(l->store, l->queue, 0, &l->reader);
    }
    return result;
}

/* -------------------------------------------------------------------------------- together ---- */

static int print_all(struct live *l, struct store_fault *fault)
{
    static const uint8_t kinds[] = { KEY_SESSION,  KEY_SUBSCRIPTION, KEY_GROUP,
                                     KEY_RECEIVED, KEY_RELEASED,     KEY_RETAINED };
    int result = 0;
    for (size_t i = 0; result == 0 && l->result != -ECANCELED && i < sizeof kinds; i++)
        result = store_walk(l->store, kinds[i], &l->sink, fault);
    return result == 0 && l->result != -ECANCELED ? print_queues(l) : result;
}

static bool has_client(const struct live *l)
{
    if (store_names_has_client(&l->names, bytes_of_string(l->job->client_id)))
        return true;
    store_say(l->job, "no client \"%s\" is in it", l->job->client_id);
    return false;
}

static int live(struct live *l, struct store_fault *fault)
{
    struct store_progress progress = { .job = l->job, .what = "reading" };
    struct store_options o = { .files = l->job->env->files,
                               .folder = l->job->folder,
                               .is_read_only = true,
                               .on_progress = store_on_progress,
                               .context = &progress };
    int result = store_open(&o, &l->store, fault);
    store_progress_end(&progress);
    if (result == 0)
        result = store_names_read(&l->names, l->store, fault);
    if (result == 0 && l->job->client_id != NULL && !has_client(l))
        l->result = -ECANCELED;
    return result == 0 && l->result == 0 ? print_all(l, fault) : result;
}

int store_live_run(const struct store_job *j)
{
    struct live l = { .sink = { on_key },
                      .reader = { on_entry, on_damaged },
                      .job = j,
                      .payload_max = j->full ? SIZE_MAX : PAYLOAD_SHOWN };
    struct store_fault fault = { 0 };
    struct file *keep;
    facts_init(&l.facts, j->json ? FACTS_JSON : FACTS_TEXT);
    int result = store_folder_keep(j->env->files, j->folder, &keep);
    if (result == 0)
        result = live(&l, &fault);
    store_close(l.store);
    store_names_fini(&l.names);
    facts_fini(&l.facts);
    if (keep != NULL)
        keep->ops->close(keep);
    if (result < 0)
        return store_say_fault(j, result, &fault);
    return l.result == 0 ? STORE_FINE : STORE_FAILED;
}
