/* broker/storage.c: see storage.h. */
#include "broker/storage.h"
#include "base/memory.h"
#include "broker/durable_records.h"
#include "broker/server.h"
#include "broker/staging.h"
#include "broker/worker.h"
#include "config/config.h"
#include "router/retained.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

enum {
    CLEAN_BYTES = 256 * 1024, /* copied with each commit, at most */
    ROOM_MARGIN = 1024 * 1024,
    PROMISE_OVERHEAD = 256, /* of a record, its entries, its place in a batch */
    PATH_SIZE = 4096,
};

#define SECOND_NS        INT64_C(1000000000)
#define ROOM_INTERVAL_NS (SECOND_NS / 10)
#define ROOM_NEAR        (UINT64_C(1) << 30) /* then it is looked at with each commit */
#define FULL_PAUSE_NS    (SECOND_NS / 4)
#define CLEAN_RETRY_NS   (60 * SECOND_NS)
#define CLEAN_PAUSE_NS   (SECOND_NS / 1000)

struct storage {
    struct server *server;
    const struct env *env;
    struct store *store;
    struct mailbox mailbox;
    struct poller *poller; /* to sleep in */
    pthread_t thread;
    bool has_thread;
    atomic_bool is_stopping;
    int error; /* it is broken */

    int64_t sync_window_ns; /* 0: every request is synced before it goes back */
    int64_t sync_due_ns;    /* INT64_MAX: nothing waits for it */
    int64_t looked_ns, no_cleaning_until_ns;
    bool has_cleaning;              /* the last step said that there is more */
    _Atomic uint64_t room;          /* as it was seen last */
    _Atomic int64_t promised;       /* bytes on their way */
    _Atomic uint64_t refused_bytes; /* the last one for which there was no room; 0: none */
    atomic_bool is_full;

    pthread_mutex_t stats_lock;
    struct store_stats stats;
};

/* -------------------------------------------------------------------------------- requests ---- */

struct store_request *store_request_create(struct worker *w)
{
    struct store_request *r = memory_alloc_zero(sizeof *r);
    if (r == NULL)
        return NULL;
    r->mail.kind = MAIL_STORAGE;
    r->worker = w;
    r->loads_end = &r->loads;
    list_init(&r->deposits);
    return r;
}

static void loaded_fini(struct loaded *l)
{
    message_unref(l->message);
    memory_free(l->ids);
}

void store_request_destroy(struct store_request *r)
{
    if (r == NULL)
        return;
    for (struct store_load *l = r->loads, *next; l != NULL; l = next) {
        next = l->next;
        for (size_t i = 0; i < l->count; i++)
            loaded_fini(&l->entries[i]);
        memory_free(l->entries);
        memory_free(l);
    }
    staging_forget(r);
    buffer_fini(&r->records);
    buffer_fini(&r->drop_firsts);
    buffer_fini(&r->claims);
    memory_free(r);
}

void storage_post(struct storage *st, struct store_request *r)
{
    if (mailbox_post(&st->mailbox, &r->mail))
        st->env->network->poller_wake(st->poller);
}

static void reply(struct storage *st, struct store_request *r)
{
    struct worker *w = r->worker;
    r->error = st->error;
    if (mailbox_post(&w->mailbox, &r->mail))
        w->env->network->poller_wake(w->poller);
}

/* ---------------------------------------------------------------------------------- loading --- */

struct load_reader {
    struct store_reader reader;
    struct store_load *load;
    struct log *log;
    int64_t clock_ns, now_ns;
    size_t bytes;
    bool is_full;
};

static bool read_ids(const struct stored_delivery *d, struct loaded *out)
{
    size_t count = d->ids.size / 4;
    if (count == 0)
        return true;
    out->ids = memory_alloc((count + 1) * sizeof *out->ids);
    if (out->ids == NULL)
        return false;
    out->ids[0] = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        out->ids[i + 1] = stored_delivery_id(d, i);
    return true;
}

static bool on_entry(struct store_reader *reader, uint64_t seq, struct bytes data,
                     struct bytes body)
{
    struct load_reader *r = container_of(reader, struct load_reader, reader);
    struct loaded *out = &r->load->entries[r->load->count];
    struct stored_delivery d;
    bool no_memory = false;
    *out = (struct loaded){ .seq = seq };
    if (stored_delivery_read(data, &d)) {
        out->message = stored_message_read(body, r->clock_ns, &no_memory);
        out->qos = d.qos;
        out->retain = d.retain;
        out->until_sent = d.until_sent;
        if (out->message != NULL && !read_ids(&d, out))
            no_memory = true;
    }
    if (no_memory) { /* the next load tries again */
        loaded_fini(out);
        r->is_full = true;
        return false;
    }
    r->load->count++;
    r->bytes += body.size;
    r->is_full = r->load->count == SESSION_LOAD_COUNT || r->bytes >= SESSION_LOAD_BYTES;
    return !r->is_full;
}

static void on_damaged(struct store_reader *reader, uint64_t seq, int error,
                       const struct store_fault *fault)
{
    struct load_reader *r = container_of(reader, struct load_reader, reader);
    log_line(r->log, LOG_TYPE_ERROR, "Error: A queued message %s: %s (%s, byte %" PRIu64 ").",
             error == -EBADMSG ? "is damaged and cannot be delivered" : "cannot be read now",
             fault->text, fault->path, fault->offset);
    if (r->load->count < SESSION_LOAD_COUNT)
        r->load->entries[r->load->count++] =
            (struct loaded){ .seq = seq, .is_unread = error != -EBADMSG };
}

static void load(struct storage *st, struct store_load *l)
{
    struct load_reader r = {
        .reader = { on_entry, on_damaged },
        .load = l,
        .log = st->server->log,
        .clock_ns = env_wall_ns(st->env) - env_monotonic_ns(st->env),
    };
    l->entries = memory_alloc(SESSION_LOAD_COUNT * sizeof *l->entries);
    if (l->entries == NULL)
        return; /* is_last is false: he will ask again */
    int result = store_read_queue(st->store, l->key, l->from, &r.reader);
    l->is_last = result == 0 && !r.is_full;
}

/* One after the other until one has not expired. */
static bool on_entry_expires(struct store_reader *reader, uint64_t seq, struct bytes data,
                             struct bytes body)
{
    struct load_reader *r = container_of(reader, struct load_reader, reader);
    bool no_memory;
    struct message *m = stored_message_read(body, r->clock_ns, &no_memory);
    bool is_expired = m != NULL && message_is_expired(m, r->now_ns);
    message_unref(m);
    if (!is_expired)
        return false;
    r->load->entries[r->load->count++] = (struct loaded){ .seq = seq };
    return r->load->count < SESSION_LOAD_COUNT;
}

/* Finishes what has expired at the front of a queue that nobody reads.  0, or why the store is
 * broken. */
static int expire(struct storage *st, struct store_load *l)
{
    struct load_reader r = {
        .reader = { on_entry_expires, on_damaged },
        .load = l,
        .log = st->server->log,
        .now_ns = env_monotonic_ns(st->env),
        .clock_ns = env_wall_ns(st->env) - env_monotonic_ns(st->env),
    };
    struct buffer records = { 0 };
    l->entries = memory_alloc(SESSION_LOAD_COUNT * sizeof *l->entries);
    if (l->entries == NULL || store_read_queue(st->store, l->key, l->from, &r.reader) != 0)
        return 0;
    int result = 0;
    for (size_t i = 0; i < l->count && result == 0; i++)
        result = record_finish(&records, l->key, l->entries[i].seq);
    if (result == 0 && records.size > 0)
        result = store_add(st->store, records.data, records.size);
    buffer_fini(&records);
    if (result == -ENOMEM) {
        l->count = 0; /* they stay */
        result = 0;
    }
    return result;
}

/* ------------------------------------------------------------------------------------ a turn -- */

/* Nothing is believed any more: what was promised is on the disk already, and nothing else will be
 * promised. */
static void fail(struct storage *st, int error)
{
    if (st->error != 0)
        return;
    if (error == -EIO) /* the store knows better why */
        error = store_commit(st->store) != 0 ? store_commit(st->store) : error;
    st->error = error;
    log_line(st->server->log, LOG_TYPE_ERROR,
             "Error: The store in %s failed: %s. Nothing more is acknowledged; the broker ends.",
             st->server->store_folder, strerror(-error));
    server_fail(st->server);
}

static void add_request(struct storage *st, struct store_request *r)
{
    int result = 0;
    if (r->records.size > 0)
        result = store_add(st->store, r->records.data, r->records.size);
    const struct drop_first *firsts = (const void *)r->drop_firsts.data;
    for (size_t i = 0; result == 0 && i < r->drop_firsts.size / sizeof *firsts; i++) {
        result = store_finish_first(st->store, firsts[i].key, firsts[i].from);
        if (result == -ENOENT)
            result = 0;
    }
    for (struct store_load *l = r->loads; l != NULL && result == 0; l = l->next)
        if (l->expires)
            result = expire(st, l);
    if (result != 0)
        fail(st, result);
}

static int write_retained(const struct message *m, int64_t clock_ns, struct buffer *out)
{
    struct buffer key = { 0 }, value = { 0 };
    struct durable_key k = { .kind = KEY_RETAINED, .filter = m->topic };
    int result = durable_key_write(&key, &k);
    if (result == 0 && m->payload.size > 0)
        result = stored_message_write(&value, m, clock_ns);
    if (result == 0)
        result = m->payload.size > 0 ? record_put(out, buffer_bytes(&key), buffer_bytes(&value))
                                     : record_remove(out, buffer_bytes(&key));
    buffer_fini(&key);
    buffer_fini(&value);
    return result;
}

/* Retained Messages in the order of their setting, whoever set them. */
static void add_retained(struct storage *st)
{
    struct buffer out = { 0 };
    int64_t clock_ns = env_wall_ns(st->env) - env_monotonic_ns(st->env);
    int result = 0;
    for (struct retained_update *c = retained_take_updates(st->server->retained), *next; c != NULL;
         c = next) {
        next = c->next;
        if (result == 0)
            result = write_retained(c->message, clock_ns, &out);
        storage_promise(st, -(int64_t)message_size(c->message));
        message_unref(c->message);
        memory_free(c);
    }
    if (result == 0 && out.size > 0)
        result = store_add(st->store, out.data, out.size);
    buffer_fini(&out);
    if (result != 0)
        fail(st, result);
}

static void commit(struct storage *st, int64_t now_ns)
{
    int result;
    if (st->sync_window_ns == 0) {
        result = store_commit(st->store);
    } else {
        bool wrote = store_batch_size(st->store) > 0;
        result = store_write(st->store);
        if (wrote && st->sync_due_ns == INT64_MAX)
            st->sync_due_ns = now_ns + st->sync_window_ns;
        if (result == 0 && now_ns >= st->sync_due_ns) {
            result = store_sync(st->store);
            st->sync_due_ns = INT64_MAX;
        }
    }
    if (result != 0)
        fail(st, result);
}

static void clean(struct storage *st, int64_t now_ns)
{
    int result = now_ns < st->no_cleaning_until_ns
                     ? 0
                     : store_clean(st->store, CLEAN_BYTES, storage_is_full(st));
    st->has_cleaning = result > 0;
    if (result == -EBADMSG || result == -ENOMEM) { /* the log grows, but all is well otherwise */
        st->no_cleaning_until_ns = now_ns + CLEAN_RETRY_NS;
        log_line(st->server->log, LOG_TYPE_ERROR, "Error: The store in %s cannot be cleaned: %s.%s",
                 st->server->store_folder, strerror(-result),
                 result == -EBADMSG ? "  See what `chappe store check` says." : "");
    } else if (result < 0) {
        fail(st, result);
    }
}

/* What is on its way has not been taken off the room that was seen. */
static uint64_t room_left(const struct storage *st)
{
    uint64_t room = atomic_load_explicit(&st->room, memory_order_relaxed);
    int64_t promised = atomic_load_explicit(&st->promised, memory_order_relaxed);
    uint64_t used = ROOM_MARGIN + (promised > 0 ? (uint64_t)promised : 0);
    return room > used ? room - used : 0;
}

static void log_room(struct storage *st, bool is_full)
{
    log_line(st->server->log, is_full ? LOG_TYPE_WARNING : LOG_TYPE_NOTICE,
             is_full ? "Warning: The disk of %s is full: messages that would have to be stored are "
                       "refused."
                     : "The disk of %s has room again: messages are stored.",
             st->server->store_folder);
}

/* Full is a disk on which something was refused, or nothing could be taken. */
static void look_for_room(struct storage *st)
{
    atomic_store_explicit(&st->room, store_room(st->store), memory_order_relaxed);
    uint64_t left = room_left(st), refused = atomic_load(&st->refused_bytes);
    bool was_full = storage_is_full(st), is_full = left == 0 || (refused > 0 && left < refused);
    if (!is_full)
        atomic_store(&st->refused_bytes, 0);
    atomic_store_explicit(&st->is_full, is_full, memory_order_relaxed);
    if (is_full != was_full)
        log_room(st, is_full);
}

static void look_around(struct storage *st, int64_t now_ns)
{
    bool is_near = atomic_load_explicit(&st->room, memory_order_relaxed) < ROOM_NEAR;
    bool is_time = st->looked_ns == 0 || now_ns - st->looked_ns >= ROOM_INTERVAL_NS;
    if (is_near || is_time || atomic_load(&st->refused_bytes) > 0)
        look_for_room(st);
    if (!is_time)
        return;
    st->looked_ns = now_ns;
    pthread_mutex_lock(&st->stats_lock);
    st->stats = store_stats(st->store);
    pthread_mutex_unlock(&st->stats_lock);
}

bool storage_turn(struct storage *st)
{
    int64_t now_ns = env_monotonic_ns(st->env);
    struct mail *first = mailbox_take(&st->mailbox);
    bool has_work = first != NULL || st->has_cleaning || now_ns >= st->sync_due_ns;
    for (struct mail *m = first; m != NULL && st->error == 0; m = m->next)
        add_request(st, container_of(m, struct store_request, mail));
    if (st->error == 0)
        add_retained(st);
    if (st->error == 0)
        clean(st, now_ns);
    if (st->error == 0)
        commit(st, now_ns);
    for (struct mail *m = first, *next; m != NULL; m = next) {
        struct store_request *r = container_of(m, struct store_request, mail);
        next = m->next;
        for (struct store_load *l = r->loads; l != NULL && st->error == 0; l = l->next)
            if (!l->expires)
                load(st, l);
        reply(st, r);
    }
    if (st->error == 0)
        look_around(st, now_ns);
    return has_work;
}

int64_t storage_wait_ns(const struct storage *st)
{
    int64_t wait_ns = INT64_MAX;
    if (st->error != 0)
        return wait_ns;
    if (st->has_cleaning)
        return CLEAN_PAUSE_NS;
    if (storage_is_full(st) || atomic_load(&st->refused_bytes) > 0)
        wait_ns = FULL_PAUSE_NS; /* somebody else may have made room */
    if (st->sync_due_ns != INT64_MAX) {
        int64_t left = st->sync_due_ns - env_monotonic_ns(st->env);
        if (left < wait_ns)
            wait_ns = left > 0 ? left : 0;
    }
    return wait_ns;
}

/* --------------------------------------------------------------------------------- its life --- */

static void *run(void *argument)
{
    struct storage *st = argument;
    struct net_event none[1];
    while (!atomic_load(&st->is_stopping)) {
        int64_t wait_ns = storage_wait_ns(st);
        if (wait_ns > 0 && mailbox_sleep(&st->mailbox))
            (void)st->env->network->poller_wait(st->poller, none, 1, wait_ns);
        mailbox_awake(&st->mailbox);
        (void)storage_turn(st);
    }
    return NULL;
}

int storage_start(struct storage *st)
{
    int result = -pthread_create(&st->thread, NULL, run, st);
    st->has_thread = result == 0;
    return result;
}

void storage_stop(struct storage *st)
{
    if (st == NULL)
        return;
    if (st->has_thread) {
        atomic_store(&st->is_stopping, true);
        st->env->network->poller_wake(st->poller);
        pthread_join(st->thread, NULL);
        st->has_thread = false;
    }
    st->has_cleaning = false;
    (void)storage_turn(st); /* what was posted meanwhile, and the last Retained Messages */
    if (st->error == 0 && st->sync_due_ns != INT64_MAX) {
        int result = store_sync(st->store);
        if (result != 0)
            fail(st, result);
        st->sync_due_ns = INT64_MAX;
    }
}

void storage_close(struct storage *st)
{
    if (st == NULL)
        return;
    for (struct mail *m = mailbox_take(&st->mailbox), *next; m != NULL; m = next) {
        next = m->next;
        store_request_destroy(container_of(m, struct store_request, mail));
    }
    store_close(st->store);
    if (st->poller != NULL)
        st->env->network->poller_destroy(st->poller);
    pthread_mutex_destroy(&st->stats_lock);
    memory_free(st);
}

/* How far the reading has come, every few seconds. */
struct progress {
    struct server *server;
    int64_t said_ns;
};

static void on_progress(void *context, uint64_t read, uint64_t all)
{
    struct progress *p = context;
    int64_t now_ns = env_monotonic_ns(p->server->env);
    if (now_ns - p->said_ns < 2 * SECOND_NS)
        return;
    p->said_ns = now_ns;
    log_line(p->server->log, LOG_TYPE_INFORMATION,
             "Reading the store: %" PRIu64 " of %" PRIu64 " MB.", read >> 20, all >> 20);
}

/* "LOCATION/chappe". */
static int name_folder(struct server *s, const struct config *config)
{
    const char *location = config->persistence_location;
    size_t length = location == NULL ? 0 : strlen(location);
    while (length > 1 && location[length - 1] == '/')
        length--;
    s->store_folder = memory_alloc(length + sizeof "/chappe");
    if (s->store_folder == NULL)
        return -ENOMEM;
    if (length > 0)
        memcpy(s->store_folder, location, length);
    memcpy(s->store_folder + length, length > 0 ? "/chappe" : "chappe", length > 0 ? 8 : 7);
    return 0;
}

static void log_fault(struct server *s, const struct store_fault *fault)
{
    if (fault->path[0] == '\0')
        log_line(s->log, LOG_TYPE_ERROR, "Error: The store in %s cannot be opened: %s.",
                 s->store_folder, fault->text);
    else
        log_line(s->log, LOG_TYPE_ERROR,
                 "Error: The store in %s cannot be opened: %s (%s, byte %" PRIu64 ").",
                 s->store_folder, fault->text, fault->path, fault->offset);
}

static void warn_of_network(struct server *s)
{
    uint64_t space;
    bool is_network = false;
    if (s->env->files->space(s->env->files, s->store_folder, &space, &is_network) == 0 &&
        is_network)
        log_line(s->log, LOG_TYPE_WARNING,
                 "Warning: %s is on a network file system: what is safe there is its server's "
                 "affair.",
                 s->store_folder);
}

/* Who comes from Mosquitto has a database there. */
static void tell_of_import(struct server *s, const struct store *store)
{
    const struct config *config = atomic_load(&s->config);
    const char *location =
        config->persistence_location == NULL ? "." : config->persistence_location;
    char path[PATH_SIZE];
    struct file *file;
    if (store_stats(store).sequence != 0 || config->persistence_file == NULL)
        return;
    snprintf(path, sizeof path, "%s/%s", location, config->persistence_file);
    if (s->env->files->open(s->env->files, path, FILE_READ, &file) != 0)
        return;
    file->ops->close(file);
    log_line(s->log, LOG_TYPE_NOTICE,
             "The store is new, and there is Mosquitto's %s: `chappe store import %s` takes over "
             "what is in it (stop the broker before).",
             path, path);
}

int storage_open(struct server *s, struct storage **out)
{
    const struct config *config = atomic_load(&s->config);
    struct progress progress = { s, env_monotonic_ns(s->env) };
    struct store_fault fault = { 0 };
    int result = name_folder(s, config);
    if (result != 0)
        return result;
    struct storage *st = memory_alloc_zero(sizeof *st);
    if (st == NULL)
        return -ENOMEM;
    st->server = s;
    st->env = s->env;
    st->sync_window_ns = config->persistence_sync_window_ms * (SECOND_NS / 1000);
    st->sync_due_ns = INT64_MAX;
    mailbox_init(&st->mailbox);
    pthread_mutex_init(&st->stats_lock, NULL);
    atomic_init(&st->room, UINT64_MAX);
    struct store_options o = { .files = s->env->files,
                               .folder = s->store_folder,
                               .id = s->seed,
                               .segment_size = s->store_segment_size,
                               .reserve = config->persistence_reserve,
                               .on_progress = on_progress,
                               .context = &progress };
    result = store_open(&o, &st->store, &fault);
    if (result != 0)
        log_fault(s, &fault);
    else
        st->poller = s->env->network->poller_create(s->env->network);
    if (result == 0 && st->poller == NULL)
        result = -ENOMEM;
    if (result != 0) {
        storage_close(st);
        return result;
    }
    warn_of_network(s);
    tell_of_import(s, st->store);
    look_around(st, env_monotonic_ns(s->env));
    *out = st;
    return 0;
}

struct store *storage_store(struct storage *st)
{
    return st->store;
}

bool storage_has_room(struct storage *st, size_t bytes)
{
    if (bytes + PROMISE_OVERHEAD <= room_left(st))
        return true;
    /* It is full for this one: the thread will look, and say so. */
    if (atomic_exchange(&st->refused_bytes, bytes + PROMISE_OVERHEAD) == 0)
        st->env->network->poller_wake(st->poller);
    return false;
}

bool storage_is_full(const struct storage *st)
{
    return atomic_load_explicit(&st->is_full, memory_order_relaxed);
}

void storage_promise(struct storage *st, int64_t bytes)
{
    int64_t whole = bytes < 0 ? bytes - PROMISE_OVERHEAD : bytes + PROMISE_OVERHEAD;
    atomic_fetch_add_explicit(&st->promised, whole, memory_order_relaxed);
}

struct store_stats storage_stats(struct storage *st)
{
    pthread_mutex_lock(&st->stats_lock);
    struct store_stats stats = st->stats;
    pthread_mutex_unlock(&st->stats_lock);
    return stats;
}
