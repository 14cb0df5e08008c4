/* broker/post.c: letters between workers.
 *
 *     writer --- outbox ---> reader's mailbox ---> read
 *        ^                                          |
 *        '------- returned (a lock-free stack) <----'
 *
 * So in steady traffic a letter is never allocated, and no thread frees what another one made,
 * which costs more than all else on this way.
 *
 * What a group and its members tell each other must arrive, or they believe different things for
 * good: when there is no memory for a letter, such a note takes the spare one.  A new spare is
 * sought each turn. */
#include "broker/post.h"
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/deposit.h"
#include "broker/publication.h"
#include "broker/server.h"
#include "broker/worker.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    BUDGET_BYTES = 8 * 1024 * 1024,
    COUNT_STEP = 64 * 1024, /* the counter is another worker's cache line: not for every note */
    COPIED_MAX = 1024,      /* messages up to this size travel in the letter */
    POOL_MAX = 64,
    ALIGNMENT = _Alignof(struct note),
};

static_assert(_Alignof(struct message) <= ALIGNMENT && _Alignof(struct subscriber) <= ALIGNMENT &&
                  sizeof(struct subscriber) % ALIGNMENT == 0,
              "what follows a note is aligned");
static_assert(sizeof(struct note) + sizeof(struct message) + COPIED_MAX + ALIGNMENT +
                      sizeof(struct subscriber) <=
                  LETTER_SIZE,
              "any small message fits an empty letter");

/* ------------------------------------------------------------------------- where letters are -- */

/* Letters that have come back.  What is more than the pool keeps is freed. */
static void take_returned(struct worker *w)
{
    struct letter *l = atomic_exchange_explicit(&w->returned_letters, NULL, memory_order_acquire);
    while (l != NULL) {
        struct letter *next = l->next;
        if (w->letter_pool_count == POOL_MAX) {
            memory_free(l);
        } else {
            l->next = w->letter_pool;
            w->letter_pool = l;
            w->letter_pool_count++;
        }
        l = next;
    }
}

void letter_return(struct worker *reader, struct letter *l)
{
    struct worker *writer = reader->server->workers[l->from];
    struct letter *top = atomic_load_explicit(&writer->returned_letters, memory_order_relaxed);
    do
        l->next = top;
    while (!atomic_compare_exchange_weak_explicit(&writer->returned_letters, &top, l,
                                                  memory_order_release, memory_order_relaxed));
}

static struct letter *find_letter(struct worker *w)
{
    if (w->letter_pool == NULL)
        take_returned(w);
    struct letter *l = w->letter_pool;
    if (l == NULL)
        return memory_alloc(sizeof *l);
    w->letter_pool = l->next;
    w->letter_pool_count--;
    return l;
}

void post_fini(struct worker *w)
{
    take_returned(w);
    while (w->letter_pool != NULL) {
        struct letter *l = w->letter_pool;
        w->letter_pool = l->next;
        memory_free(l);
    }
    w->letter_pool_count = 0;
    memory_free(w->spare_letter);
    w->spare_letter = NULL;
}

/* ------------------------------------------------------------------------------------ writing - */

static bool may_use_spare(enum note_kind kind)
{
    return kind != NOTE_DELIVER && kind != NOTE_DELIVER_STORED && kind != NOTE_HANDOFF;
}

static struct letter *new_letter(struct worker *w, struct outbox *box, enum note_kind kind)
{
    struct letter *l = find_letter(w);
    if (l == NULL && may_use_spare(kind)) {
        l = w->spare_letter;
        w->spare_letter = NULL;
    }
    if (l == NULL)
        return NULL;
    l->next = NULL;
    l->mail.kind = MAIL_LETTER;
    l->from = w->index;
    l->last = l->used = 0;
    l->number = ++w->letters_begun;
    l->bytes = l->counted = 0;
    if (box->last == NULL)
        box->first = l;
    else
        box->last->next = l;
    box->last = l;
    w->has_letters = true;
    return l;
}

static void count_unread(struct worker *w, unsigned to, struct letter *l)
{
    struct worker *target = w->server->workers[to];
    int64_t more = (int64_t)(l->bytes - l->counted);
    int64_t before =
        atomic_fetch_add_explicit(&target->unread_bytes[w->index], more, memory_order_relaxed);
    l->counted = l->bytes;
    if (before + more > BUDGET_BYTES)
        w->is_over_budget = true;
}

/* A note and `behind` bytes after it. */
static struct note *add_note(struct worker *w, unsigned to, enum note_kind kind, uint64_t handle,
                             size_t bytes, size_t behind)
{
    assert(to < w->server->worker_count);
    size_t size = sizeof(struct note) + behind;
    assert(size % ALIGNMENT == 0);
    struct outbox *box = &w->outboxes[to];
    struct letter *l = box->last;
    if ((l == NULL || LETTER_SIZE - l->used < size) && (l = new_letter(w, box, kind)) == NULL)
        return NULL;
    l->bytes += bytes;
    if (l->bytes - l->counted >= COUNT_STEP)
        count_unread(w, to, l);
    struct note *n = (struct note *)(void *)(l->notes + l->used);
    l->last = l->used;
    l->used += (uint32_t)size;
    n->kind = kind;
    n->size = (uint32_t)size;
    n->handle = handle;
    return n;
}

struct note *post_note(struct worker *w, unsigned to, enum note_kind kind, uint64_t handle,
                       size_t bytes)
{
    return add_note(w, to, kind, handle, bytes, 0);
}

static size_t aligned(size_t size)
{
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static struct note *begin_reference(struct worker *w, unsigned to, struct publication *p)
{
    struct message *kept = publication_keep(p);
    struct note *n = kept == NULL ? NULL
                                  : add_note(w, to, NOTE_DELIVER, 0, message_size(kept),
                                             sizeof(struct subscriber));
    if (n != NULL)
        n->deliver.message = message_ref(kept);
    return n;
}

static struct note *begin_copy(struct worker *w, unsigned to, const struct message *m)
{
    size_t size = message_size(m);
    struct note *n = add_note(w, to, NOTE_DELIVER, 0, size,
                              aligned(sizeof *m + size) + sizeof(struct subscriber));
    if (n != NULL)
        n->deliver.message = message_write(m, n + 1);
    return n;
}

/* A note with room for one target.  NULL: no memory. */
static struct note *begin_delivery(struct worker *w, unsigned to, struct publication *p,
                                   uint32_t *many_ids)
{
    bool is_small = message_size(p->message) <= COPIED_MAX;
    struct note *n = is_small ? begin_copy(w, to, p->message) : begin_reference(w, to, p);
    if (n == NULL)
        return NULL;
    n->deliver.is_counted = !is_small;
    n->deliver.targets_at = n->size - (uint32_t)sizeof(struct subscriber);
    n->deliver.publisher_hash = p->publisher_hash;
    n->deliver.many_ids = many_ids;
    return n;
}

/* Makes room for one more target in the last note of the letter.  False: there is none, or it is
 * another kind of note. */
static bool extend_delivery(struct letter *l)
{
    struct note *n = (struct note *)(void *)(l->notes + l->last);
    if (n->kind != NOTE_DELIVER || n->deliver.many_ids != NULL ||
        LETTER_SIZE - l->used < sizeof(struct subscriber))
        return false;
    n->size += (uint32_t)sizeof(struct subscriber);
    l->used += (uint32_t)sizeof(struct subscriber);
    l->bytes += sizeof(struct subscriber);
    return true;
}

int post_message(struct worker *w, struct publication *p, struct subscriber who, uint32_t *many_ids,
                 uint64_t *in_letter)
{
    unsigned to = handle_worker(who.handle);
    struct letter *l = w->outboxes[to].last;
    bool is_there = l != NULL && l->number == *in_letter && many_ids == NULL && extend_delivery(l);
    if (!is_there) {
        if (begin_delivery(w, to, p, many_ids) == NULL)
            return -ENOMEM;
        l = w->outboxes[to].last;
        *in_letter = l->number;
    }
    memcpy(l->notes + l->used - sizeof who, &who, sizeof who);
    return 0;
}

void post_letters(struct worker *w)
{
    if (w->spare_letter == NULL)
        w->spare_letter = find_letter(w);
    if (!w->has_letters)
        return;
    w->has_letters = false;
    for (unsigned to = 0; to < w->server->worker_count; to++) {
        struct outbox *box = &w->outboxes[to];
        struct worker *target = w->server->workers[to];
        bool must_wake = false;
        while (box->first != NULL) {
            struct letter *l = box->first;
            box->first = l->next;
            count_unread(w, to, l); /* before it is read */
            atomic_fetch_add(&w->server->posted_letters, 1);
            must_wake |= mailbox_post(&target->mailbox, &l->mail);
        }
        box->last = NULL;
        if (must_wake) /* never ourselves: we are awake */
            w->env->network->poller_wake(target->poller);
    }
}

/* ------------------------------------------------------------------------------ back-pressure - */

static int64_t unread_by(const struct worker *w, unsigned to)
{
    return atomic_load_explicit(&w->server->workers[to]->unread_bytes[w->index],
                                memory_order_relaxed);
}

static bool is_any_unread_above(const struct worker *w, int64_t bytes)
{
    for (unsigned to = 0; to < w->server->worker_count; to++)
        if (unread_by(w, to) > bytes)
            return true;
    return false;
}

/* Asked for every message: nobody's counters are looked at unless one has been above. */
bool post_is_over_budget(const struct worker *w)
{
    return w->is_over_budget && is_any_unread_above(w, BUDGET_BYTES);
}

bool post_is_within_half_budget(struct worker *w)
{
    if (is_any_unread_above(w, BUDGET_BYTES / 2))
        return false;
    w->is_over_budget = false;
    return true;
}

/* ------------------------------------------------------------------------------------ reading - */

struct note *letter_next(struct letter *l, struct note *n)
{
    uint8_t *at = n == NULL ? l->notes : (uint8_t *)n + n->size;
    return at == l->notes + l->used ? NULL : (struct note *)(void *)at;
}

static void note_drop(struct worker *w, struct note *n)
{
    if (n->kind == NOTE_DELIVER) {
        if (n->deliver.is_counted)
            message_unref(n->deliver.message);
        memory_free(n->deliver.many_ids);
    } else if (n->kind == NOTE_SHARE_HANDOVER) {
        message_unref(n->handover.message);
    } else if (n->kind == NOTE_DELIVER_STORED) {
        deposit_unref(n->deposit);
    } else if (n->kind == NOTE_SETTLED) {
        deposit_unref(n->settled);
    } else if (n->kind == NOTE_HANDOFF) {
        handoff_destroy(w, n->handoff);
    }
}

void letter_destroy(struct worker *w, struct letter *l)
{
    for (struct note *n = NULL; (n = letter_next(l, n)) != NULL;)
        note_drop(w, n);
    memory_free(l);
}
