/* broker/post.c: letters between workers.
 *
 * What a group and its members tell each other must arrive, or they believe different things for
 * good: when there is no memory for a letter, such a note takes the spare one.  A new spare is
 * sought each turn. */
#include "broker/post.h"
#include "base/memory.h"
#include "broker/connection.h"
#include "broker/server.h"
#include "broker/worker.h"
#include <assert.h>

enum {
    BUDGET_BYTES = 8 * 1024 * 1024,
    COUNT_STEP = 64 * 1024, /* the counter is another worker's cache line: not for every note */
};

static bool may_use_spare(enum note_kind kind)
{
    return kind != NOTE_DELIVER && kind != NOTE_HANDOFF;
}

static struct letter *new_letter(struct worker *w, struct outbox *box, enum note_kind kind)
{
    struct letter *l = memory_alloc(sizeof *l);
    if (l == NULL && may_use_spare(kind)) {
        l = w->spare_letter;
        w->spare_letter = NULL;
    }
    if (l == NULL)
        return NULL;
    l->next = NULL;
    l->from = w->index;
    l->count = 0;
    l->number = ++w->letters_begun;
    l->bytes = l->counted = 0;
    if (box->last == NULL)
        box->first = l;
    else
        box->last->next = l;
    box->last = l;
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

struct note *post_note(struct worker *w, unsigned to, enum note_kind kind, uint64_t handle,
                       size_t bytes)
{
    assert(to < w->server->worker_count);
    struct outbox *box = &w->outboxes[to];
    struct letter *l = box->last;
    if ((l == NULL || l->count == LETTER_NOTES) && (l = new_letter(w, box, kind)) == NULL)
        return NULL;
    l->bytes += bytes;
    if (l->bytes - l->counted >= COUNT_STEP)
        count_unread(w, to, l);
    struct note *n = &l->notes[l->count++];
    n->kind = kind;
    n->handle = handle;
    return n;
}

void post_letters(struct worker *w)
{
    if (w->spare_letter == NULL)
        w->spare_letter = memory_alloc(sizeof *w->spare_letter);
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

static void note_drop(struct worker *w, struct note *n)
{
    if (n->kind == NOTE_DELIVER) {
        message_unref(n->deliver.message);
        memory_free(n->deliver.many_ids);
    } else if (n->kind == NOTE_SHARE_HANDOVER) {
        message_unref(n->handover.message);
    } else if (n->kind == NOTE_HANDOFF) {
        handoff_destroy(w, n->handoff);
    }
}

void letter_destroy(struct worker *w, struct letter *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        note_drop(w, &l->notes[i]);
    memory_free(l);
}
