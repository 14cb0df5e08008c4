/* session/session_durable_test.c: a durable Session in a small world that may end at any moment.
 *
 *     publishers --.        arrive               .-> the Client: acknowledges, and remembers QoS 2
 *     (FIFO each)   '---> session -> sink events -'
 *         |                  ^   |
 *         |    mail (FIFO)   |   v   jobs (FIFO)
 *         '-- deposits --> the storage
 *
 * The storage is a map of seq to what is known of it, and does its jobs one by one; whatever is
 * still a job or in a mail is lost in a crash.  Nobody here looks into the session: what counts is
 * what the Client gets. */
#include "session/test_sink.h"

#include "mqtt/reason.h"

enum {
    STEPS = 3000,
    SEEDS = 25,
    PUBLISHERS = 3,
    MESSAGES_MAX = STEPS + 1,
    QUEUE_MAX = 4 * STEPS,
    UNSTORED = 1 << 30 /* numbers from here on */
};

struct entry { /* of one seq */
    unsigned publisher, qos;
    bool is_until_sent;
    bool is_open;                  /* the session has it */
    bool is_safe;                  /* the session has been told that it is on the disk */
    bool is_sent, is_sent_here;    /* by this session; in this connection */
    bool was_sent, was_first;      /* before the crash; one of the first then, so perhaps sent */
    bool is_finished, is_received; /* the session said so */
    unsigned accepted;             /* by the Client */
    bool is_lost;                  /* dropped, or not on the disk when the world ended */

    bool is_on_disk, is_finished_on_disk, is_released_on_disk;
};

enum job_kind { JOB_STORE, JOB_FINISH, JOB_RECEIVED, JOB_DROP_FIRST, JOB_LOAD };
enum mail_kind { MAIL_STORED, MAIL_LOAD, MAIL_LOADED, MAIL_LOADED_LAST };

struct fifo {
    struct {
        int kind;
        uint64_t seq;
    } at[QUEUE_MAX];
    size_t head, tail;
};

struct sent { /* what the Client has to answer */
    uint16_t id;
    unsigned qos;
    uint64_t number; /* 0: a PUBREL */
};

struct world {
    struct session_options options;
    struct test_sink sink;
    struct session *session;
    uint64_t restored_end; /* behind all that was there at the last restart */
    uint64_t random, base, next_seq, unstored_number;
    bool is_attached, may_fail;
    struct entry entries[MESSAGES_MAX];
    struct fifo publishers[PUBLISHERS], deposits[PUBLISHERS], jobs, mail;
    uint64_t newest[PUBLISHERS]; /* first sendings of each go upwards */
    size_t unstored_open, pending_drops;
    struct sent sent[QUEUE_MAX];
    size_t sent_count;
    uint64_t client_has[65536]; /* QoS 2, not released: which seq */
    uint64_t owner[65536];      /* who was sent with this Packet Identifier */
};

static uint32_t below(struct world *w, uint32_t end)
{
    return test_random(&w->random) % end;
}

static struct entry *entry_of(struct world *w, uint64_t seq)
{
    assert_true(seq >= w->base && seq < w->next_seq);
    return &w->entries[seq - w->base];
}

static void push(struct fifo *f, int kind, uint64_t seq)
{
    assert_true(f->tail < QUEUE_MAX);
    f->at[f->tail].kind = kind;
    f->at[f->tail++].seq = seq;
}

static bool is_empty(const struct fifo *f)
{
    return f->head == f->tail;
}

/* Around calls of the session: an allocation may fail. */
static void fail_begin(struct world *w)
{
    memory_fail_at(w->may_fail && below(w, 8) == 0 ? 1 + below(w, 2) : 0);
}

static void fail_end(void)
{
    memory_fail_at(0);
}

/* -------------------------------------------------------------------------------- the Client -- */

static void client_on_stored_publish(struct world *w, const struct test_event *e)
{
    struct entry *it = entry_of(w, e->number);
    bool again = e->kind == TEST_AGAIN;
    assert_true(w->is_attached && it->is_open && !it->is_sent_here);
    assert_int_equal(e->id, e->number % SESSION_STORED_IDS + 1);
    assert_true(it->qos == 1 || it->is_safe);
    if (it->is_sent)
        assert_true(again);
    else /* what was there before the crash may have been sent [MQTT-3.3.1-1] */
        assert_int_equal(again, e->number < w->restored_end);
    if (!it->is_sent) {
        assert_true(e->number > w->newest[it->publisher]); /* [MQTT-4.6.0-5] [MQTT-4.6.0-6] */
        w->newest[it->publisher] = e->number;
    }
    it->is_sent = it->is_sent_here = true;

    w->sent[w->sent_count++] = (struct sent){ e->id, it->qos, e->number };
    w->owner[e->id] = e->number;
    if (it->qos == 2 && w->client_has[e->id] != 0) { /* [MQTT-4.3.3-10] */
        assert_int_equal(w->client_has[e->id], e->number);
        return;
    }
    if (it->qos == 2)
        w->client_has[e->id] = e->number;
    it->accepted++;
    assert_true(it->qos == 1 || it->accepted == 1);
}

static void client_on_unstored_publish(struct world *w, const struct test_event *e)
{
    assert_true(e->id == 0 || e->id > SESSION_STORED_IDS);
    if (e->id != 0)
        w->sent[w->sent_count++] = (struct sent){ e->id, 1, e->number };
}

/* The broker lets PUBREL go only when it is on the disk that PUBREC has come, or that this one was
 * sent.  Else it might come again after a crash, when the Client has forgotten it. */
static bool may_release(struct world *w, uint16_t id)
{
    const struct entry *it = entry_of(w, w->owner[id]);
    return it->is_until_sent ? it->is_finished_on_disk : it->is_released_on_disk;
}

static void close_entry(struct world *w, uint64_t number)
{
    if (number >= UNSTORED) {
        w->unstored_open--;
        return;
    }
    struct entry *it = entry_of(w, number);
    assert_true(it->is_open);
    it->is_open = false;
}

/* The PUBREL may have been repeated, and answered already. */
static void client_release(struct world *w, uint16_t id)
{
    const struct entry *it = entry_of(w, w->owner[id]);
    bool is_expected = it->is_open && (it->is_received || it->is_until_sent);
    w->client_has[id] = 0;
    assert_int_equal(session_on_pubcomp(w->session, id, 0), is_expected);
    if (is_expected)
        close_entry(w, w->owner[id]);
}

static void client_answer(struct world *w, size_t index)
{
    struct sent s = w->sent[index];
    if (s.number == 0 && !may_release(w, s.id))
        return;
    w->sent_count--;
    memmove(w->sent + index, w->sent + index + 1, (w->sent_count - index) * sizeof s);
    fail_begin(w);
    if (s.number == 0) {
        client_release(w, s.id);
    } else if (s.qos == 2) {
        assert_true(session_on_pubrec(w->session, s.id, REASON_SUCCESS, 0));
    } else {
        assert_true(session_on_puback(w->session, s.id, REASON_SUCCESS, 0));
        close_entry(w, s.number);
    }
    fail_end();
}

/* ------------------------------------------------------------------------- what the sink noted -
 */

static void on_dropped(struct world *w, const struct test_event *e)
{
    bool stays = e->cause == DROP_NO_MEMORY && e->number < UNSTORED; /* and may yet be found */
    if (e->cause != DROP_OFFLINE && !stays)                          /* QoS 0 */
        close_entry(w, e->number);
    if (e->number < UNSTORED)
        entry_of(w, e->number)->is_lost = true;
}

static void on_finished(struct world *w, uint64_t seq)
{
    assert_false(entry_of(w, seq)->is_finished);
    entry_of(w, seq)->is_finished = true;
    push(&w->jobs, JOB_FINISH, seq);
}

static void on_received(struct world *w, uint64_t seq)
{
    struct entry *it = entry_of(w, seq);
    assert_true(it->qos == 2 && !it->is_received && !it->is_finished && !it->is_until_sent);
    it->is_received = true;
    push(&w->jobs, JOB_RECEIVED, seq);
}

static void take_events(struct world *w)
{
    for (size_t i = 0; i < w->sink.count; i++) {
        const struct test_event *e = &w->sink.events[i];
        bool is_publish = e->kind == TEST_PUBLISH || e->kind == TEST_AGAIN;
        if (is_publish && e->number < UNSTORED)
            client_on_stored_publish(w, e);
        else if (is_publish)
            client_on_unstored_publish(w, e);
        else if (e->kind == TEST_PUBREL)
            w->sent[w->sent_count++] = (struct sent){ .id = e->id };
        else if (e->kind == TEST_FINISHED)
            on_finished(w, e->number);
        else if (e->kind == TEST_RECEIVED)
            on_received(w, e->number);
        else if (e->kind == TEST_DROP_FIRST)
            push(&w->jobs, JOB_DROP_FIRST, e->number), w->pending_drops++;
        else if (e->kind == TEST_DROPPED)
            on_dropped(w, e);
    }
    w->sink.count = 0;
}

/* ------------------------------------------------------------------------------- the storage -- */

static bool is_waiting_on_disk(const struct entry *it)
{
    return it->is_on_disk && !it->is_finished_on_disk && !it->is_released_on_disk;
}

static uint64_t first_on_disk(struct world *w, uint64_t from) /* next_seq: none */
{
    while (from < w->next_seq && !is_waiting_on_disk(entry_of(w, from)))
        from++;
    return from;
}

static void storage_load(struct world *w, uint64_t from)
{
    uint64_t left = 1 + below(w, 100), seq = first_on_disk(w, from);
    for (; left > 0 && seq < w->next_seq; left--, seq = first_on_disk(w, seq + 1))
        push(&w->mail, MAIL_LOAD, seq);
    push(&w->mail, seq < w->next_seq ? MAIL_LOADED : MAIL_LOADED_LAST, 0);
}

static void storage_drop_first(struct world *w, uint64_t from)
{
    uint64_t seq = first_on_disk(w, from);
    assert_true(seq < w->next_seq);
    struct entry *it = entry_of(w, seq);
    assert_true(it->is_open && !it->is_sent_here);
    it->is_open = false;
    it->is_finished_on_disk = it->is_lost = true;
    w->pending_drops--;
}

static void storage_step(struct world *w)
{
    if (is_empty(&w->jobs))
        return;
    int kind = w->jobs.at[w->jobs.head].kind;
    uint64_t seq = w->jobs.at[w->jobs.head++].seq;
    switch (kind) {
    case JOB_STORE: /* not at all if it has been finished meanwhile */
        entry_of(w, seq)->is_on_disk = !entry_of(w, seq)->is_finished;
        push(&w->mail, MAIL_STORED, seq);
        break;
    case JOB_FINISH:
        entry_of(w, seq)->is_finished_on_disk = true;
        break;
    case JOB_RECEIVED:
        entry_of(w, seq)->is_released_on_disk = true;
        break;
    case JOB_DROP_FIRST:
        storage_drop_first(w, seq);
        break;
    case JOB_LOAD:
        storage_load(w, seq);
        break;
    }
}

static void load(struct world *w, uint64_t seq)
{
    const struct entry *it = entry_of(w, seq);
    struct delivery d = test_stored(seq, it->qos, it->is_until_sent ? DELIVERY_UNTIL_SENT : 0);
    fail_begin(w);
    session_load(w->session, &d);
    fail_end();
}

static void mail_step(struct world *w)
{
    if (is_empty(&w->mail))
        return;
    int kind = w->mail.at[w->mail.head].kind;
    uint64_t seq = w->mail.at[w->mail.head++].seq;
    if (kind == MAIL_LOAD) {
        load(w, seq);
        return;
    }
    if (kind == MAIL_STORED)
        entry_of(w, seq)->is_safe = true;
    fail_begin(w);
    if (kind == MAIL_STORED)
        session_on_stored(w->session, seq, 0);
    else
        session_on_loaded(w->session, kind == MAIL_LOADED_LAST, 0);
    fail_end();
}

/* ----------------------------------------------------------------------------------- steps ---- */

static void step_publish(struct world *w)
{
    unsigned publisher = below(w, PUBLISHERS);
    uint64_t seq = w->next_seq++;
    *entry_of(w, seq) = (struct entry){
        .publisher = publisher,
        .qos = 1 + below(w, 2),
        .is_until_sent = below(w, 6) == 0,
    };
    push(&w->publishers[publisher], 0, seq);
}

static void step_arrive(struct world *w, unsigned publisher)
{
    struct fifo *f = &w->publishers[publisher];
    if (is_empty(f))
        return;
    uint64_t seq = f->at[f->head++].seq;
    struct entry *it = entry_of(w, seq);
    unsigned flags =
        (it->qos == 2 ? DELIVERY_UNSAFE : 0u) | (it->is_until_sent ? DELIVERY_UNTIL_SENT : 0u);
    struct delivery d = test_stored(seq, it->qos, flags);
    d.deposit = &message_ref(d.message)->block; /* any block will do */
    it->is_open = true;
    fail_begin(w);
    session_deliver(w->session, &d, 0);
    fail_end();
    take_events(w);
    push(&w->deposits[publisher], JOB_STORE, seq);
}

/* What a publisher stores gets to the storage later than to the session. */
static void step_deposit(struct world *w, unsigned publisher)
{
    struct fifo *f = &w->deposits[publisher];
    if (!is_empty(f))
        push(&w->jobs, JOB_STORE, f->at[f->head++].seq);
}

static void step_unstored(struct world *w)
{
    struct delivery d = test_delivery(UNSTORED + ++w->unstored_number, below(w, 2), 0);
    w->unstored_open += d.qos;
    fail_begin(w);
    session_deliver(w->session, &d, 0);
    fail_end();
}

static void detach(struct world *w)
{
    fail_begin(w);
    session_detach(w->session);
    fail_end();
    w->is_attached = false;
    w->sent_count = 0;
    for (uint64_t seq = w->base; seq < w->next_seq; seq++)
        entry_of(w, seq)->is_sent_here = false;
}

static void attach(struct world *w)
{
    w->is_attached = true;
    session_attach(w->session, (uint16_t)(1 + below(w, 20)));
    session_pump(w->session, 0);
}

static void step_load(struct world *w)
{
    uint64_t from;
    if (session_begin_load(w->session, &from))
        push(&w->jobs, JOB_LOAD, from);
}

static void step(struct world *w)
{
    uint32_t what = below(w, 100);
    if (what < 16)
        step_publish(w);
    else if (what < 32)
        step_arrive(w, below(w, PUBLISHERS));
    else if (what < 45)
        step_deposit(w, below(w, PUBLISHERS));
    else if (what < 47)
        step_unstored(w);
    else if (what < 62)
        storage_step(w);
    else if (what < 80)
        mail_step(w);
    else if (what < 97 && w->sent_count > 0)
        client_answer(w, below(w, 2) == 0 ? 0 : below(w, (uint32_t)w->sent_count));
    else if (what == 98 && below(w, 2) == 0)
        w->is_attached ? detach(w) : attach(w);
    else if (what == 99 && w->is_attached)
        session_pump(w->session, 0);
}

/* ----------------------------------------------------------------------------------- crash ---- */

static void forget_what_was_in_memory(struct world *w)
{
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        w->publishers[i].head = w->publishers[i].tail = 0;
        w->deposits[i].head = w->deposits[i].tail = 0;
        w->newest[i] = 0;
    }
    w->jobs.head = w->jobs.tail = w->mail.head = w->mail.tail = 0;
    w->sent_count = w->unstored_open = w->pending_drops = 0;
    w->is_attached = false;
}

/* An entry after the crash; *rank counts those that wait. */
static void revive(struct world *w, struct entry *it, uint64_t *rank)
{
    bool is_waiting = is_waiting_on_disk(it);
    bool was_sent = it->was_sent || it->is_sent;
    it->is_lost |= !it->is_on_disk;
    /* Its owner has agreed to that. */
    it->is_lost |= it->is_until_sent && it->is_finished_on_disk && it->accepted == 0;
    it->is_safe = it->is_open =
        is_waiting || (it->is_on_disk && it->is_released_on_disk && !it->is_finished_on_disk);
    it->is_sent = it->is_sent_here = false;
    it->was_sent = was_sent;
    it->was_first = is_waiting && *rank < w->options.inflight_max;
    it->is_finished = it->is_finished_on_disk;
    it->is_received = it->is_released_on_disk;
    *rank += is_waiting;
}

static void crash(struct world *w)
{
    uint64_t count = 0, first = 0;
    session_destroy(w->session);
    w->sink.count = 0;
    forget_what_was_in_memory(w);
    w->session = session_create(&w->options, &w->sink.sink);
    assert_int_equal(session_set_durable(w->session, true), 0);
    for (uint64_t seq = w->base; seq < w->next_seq; seq++) {
        struct entry *it = entry_of(w, seq);
        revive(w, it, &count);
        if (first == 0 && count > 0)
            first = seq;
        if (it->is_open && it->is_received)
            assert_int_equal(session_restore_released(w->session, seq), 0);
    }
    w->restored_end = w->next_seq;
    session_restore_queue(w->session, first, count, w->restored_end);
}

/* ---------------------------------------------------------------------------------- checks ---- */

static void check(struct world *w)
{
    size_t open = w->unstored_open - w->pending_drops, forgotten = 0;
    struct session_stats stats = session_stats(w->session);
    session_check(w->session);
    for (uint64_t seq = w->base; seq < w->next_seq; seq++)
        if (entry_of(w, seq)->is_open) {
            open++;
            forgotten += entry_of(w, seq)->is_lost; /* in the store alone, for want of memory */
        }
    assert_in_range(stats.queued_count + stats.inflight_count, open - forgotten, open);
    assert_true(stats.queued_count - stats.disk_count <= 3 * SESSION_LOAD_COUNT);
    assert_int_equal(session_is_attached(w->session), w->is_attached);
}

/* Without further trouble, all of it arrives and the store is empty. */
static void finish(struct world *w)
{
    w->may_fail = false;
    if (w->is_attached)
        detach(w);
    take_events(w);
    attach(w);
    for (unsigned i = 0; i < 40 * STEPS; i++) {
        take_events(w);
        step_arrive(w, i % PUBLISHERS);
        step_deposit(w, i % PUBLISHERS);
        storage_step(w);
        take_events(w);
        mail_step(w);
        take_events(w);
        step_load(w);
        if (w->sent_count > 0)
            client_answer(w, i % w->sent_count);
    }
    take_events(w);
    check(w);
    assert_false(session_waits(w->session));
    assert_int_equal(session_stats(w->session).inflight_count, 0);
    for (uint64_t seq = w->base; seq < w->next_seq; seq++) {
        const struct entry *it = entry_of(w, seq);
        assert_true(it->accepted > 0 || it->is_lost);
        assert_true(it->is_lost || (it->is_finished && !it->is_open));
        assert_false(is_waiting_on_disk(it));
    }
}

struct row {
    struct session_options options;
    uint64_t base; /* the first seq */
    unsigned crashes;
    bool may_fail;
};

static void play(const struct row *row, uint64_t seed)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    w.random = seed;
    w.sink = test_sink_make();
    w.options = row->options;
    w.base = w.next_seq = row->base;
    w.session = session_create(&w.options, &w.sink.sink);
    w.may_fail = row->may_fail;
    assert_int_equal(session_set_durable(w.session, true), 0);
    for (int i = 0; i < STEPS; i++) {
        step(&w);
        take_events(&w);
        if (below(&w, 3) > 0)
            step_load(&w);
        if (i % 16 == 0)
            check(&w);
        if (row->crashes > 0 && below(&w, STEPS) < row->crashes)
            crash(&w);
    }
    finish(&w);
    session_destroy(w.session);
}

static void nothing_is_lost_and_nothing_comes_twice(void **state)
{
    static const struct row rows[] = {
        { { .inflight_max = 20 }, .base = 1 },
        { { .inflight_max = 1 }, .base = SESSION_STORED_IDS - 100 },
        { { .inflight_max = 5 }, .base = 3 * SESSION_STORED_IDS - 300, .crashes = 10 },
        { { .inflight_max = 30 }, .base = 1, .crashes = 40 },
        { { .inflight_max = 20 }, .base = 32000, .crashes = 5, .may_fail = true },
        { { .inflight_max = 3, .queued_messages_max = 40 }, .base = 1 },
        { { .inflight_max = 9, .queued_messages_max = 40, .policy = SESSION_DROP_OLDEST }, 1 },
        { { .inflight_max = 9, .queued_bytes_max = 300, .policy = SESSION_DROP_OLDEST }, 77, 3 },
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            play(&rows[row], seed * 1000 + row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_and_nothing_comes_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
