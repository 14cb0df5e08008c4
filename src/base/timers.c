/* base/timers.c: two wheels of lists, and bitmaps to find the lists that matter.
 *
 *     tick       deadline / width, rounded up: at this tick the timer fires, late but never early
 *     slot       tick % 1024
 *
 *                 turn (the next tick to be scanned)
 *                  v
 *     slots    . . A . . B . .         A, B: lists of timers
 *     occupied 0 0 1 0 0 1 0 0         the list is not empty
 *     near     0 0 1 0 0 0 0 0         it may have a timer of this round: tick < turn + 1024
 *
 * Invariant: a timer in a wheel has tick >= turn, or was overdue when it was set and waits in the
 * slot of `turn`; if its tick is below turn + 1024, its slot is near.  So the first near slot tells
 * when to wake up, and when only far timers are left one visit per round is enough to see them
 * come near.  A near slot may be a false alarm (its near timer was cancelled): a wake-up too many.
 *
 * Scanning a slot moves its whole list to `scan` in O(1), and each call takes from there: due ones
 * go to the caller, the others back into the wheel.  Of the two wheels, the slot with the earlier
 * time is scanned first.
 *
 * Late calls.  While a wheel is less than one round behind, a slot holds due timers of one tick
 * only, and scanning slots in turn is scanning in order.  After a longer sleep (a machine that was
 * suspended) a slot mixes rounds; then the whole wheel is gone through once, everything due moves
 * to the list `due`, and is sorted.  That one call is not short, but there is no good moment. */
#include "base/timers.h"
#include "base/memory.h"

enum {
    SLOTS = 1024,
    WORDS = SLOTS / 64,
    /* In ticks.  How far ahead is a deadline less than a second away, seen from within a tick? */
    FINE_AHEAD = 251,
    /* How far behind may a wheel be before it must catch up?  In the fine wheel every timer must
     * fit in one round, in the coarse one nothing of the next round may be due. */
    FINE_LAG = SLOTS - 1 - FINE_AHEAD,
    COARSE_LAG = SLOTS - 2,
};

#define FINE_WIDTH_NS   INT64_C(4000000)
#define COARSE_WIDTH_NS INT64_C(1000000000)

struct wheel {
    int64_t width_ns;
    int64_t turn;
    uint64_t occupied[WORDS], near[WORDS];
    struct list slots[SLOTS];
};

#define NEXT_UNKNOWN INT64_MIN

struct timers {
    int64_t now_ns;  /* as told last */
    int64_t next_ns; /* for timers_next_ns, which is asked in every turn; or NEXT_UNKNOWN */
    size_t count;
    struct list scan; /* what is left of the slot being scanned */
    struct list due;  /* found due by a catch-up, in order */
    struct wheel fine, coarse;
};

/* ------------------------------------------------------------------------------- bitmaps ------ */

static void bit_set(uint64_t *words, size_t bit)
{
    words[bit / 64] |= UINT64_C(1) << bit % 64;
}

static void bit_clear(uint64_t *words, size_t bit)
{
    words[bit / 64] &= ~(UINT64_C(1) << bit % 64);
}

/* How far from `start`, going round, is the first set bit?  SLOTS: there is none. */
static int64_t bit_distance(const uint64_t *words, size_t start)
{
    uint64_t word = words[start / 64] & UINT64_MAX << start % 64;
    for (size_t i = 0; i <= WORDS; i++) {
        size_t at = (start / 64 + i) % WORDS;
        if (i > 0)
            word = words[at];
        if (word != 0) {
            size_t bit = at * 64 + (size_t)__builtin_ctzll(word);
            return (int64_t)((bit - start) % SLOTS);
        }
    }
    return SLOTS;
}

/* --------------------------------------------------------------------------------- wheel ------ */

static int64_t tick_before(int64_t width_ns, int64_t time_ns) /* rounded down */
{
    return time_ns / width_ns - (time_ns % width_ns < 0);
}

static int64_t tick_after(int64_t width_ns, int64_t time_ns) /* rounded up */
{
    return time_ns / width_ns + (time_ns % width_ns > 0);
}

static int64_t tick_time(const struct wheel *w, int64_t tick)
{
    int64_t time_ns;
    return __builtin_mul_overflow(tick, w->width_ns, &time_ns) ? INT64_MAX : time_ns;
}

static size_t slot_of(int64_t tick)
{
    return (size_t)tick % SLOTS; /* two's complement: right for ticks before zero, too */
}

static void wheel_init(struct wheel *w, int64_t width_ns, int64_t now_ns)
{
    w->width_ns = width_ns;
    w->turn = tick_before(width_ns, now_ns) + 1;
    for (size_t i = 0; i < SLOTS; i++)
        list_init(&w->slots[i]);
}

/* When the wheel has to be looked at for this timer. */
static int64_t wheel_add(struct wheel *w, struct timer *timer, int64_t tick)
{
    if (tick < w->turn)
        tick = w->turn;
    size_t slot = slot_of(tick);
    bool is_near = tick - w->turn < SLOTS;
    list_push_back(&w->slots[slot], &timer->link);
    bit_set(w->occupied, slot);
    if (is_near)
        bit_set(w->near, slot);
    return tick_time(w, is_near ? tick : w->turn + COARSE_LAG);
}

/* Moves a slot's list to the end of *out. */
static void slot_take(struct wheel *w, size_t slot, struct list *out)
{
    struct list *from = &w->slots[slot];
    if (!list_is_empty(from)) {
        from->next->prev = out->prev;
        out->prev->next = from->next;
        from->prev->next = out;
        out->prev = from->prev;
        list_init(from);
    }
    bit_clear(w->occupied, slot);
    bit_clear(w->near, slot);
}

/* If this is the head of one of the wheel's slots, the slot has become empty. */
static void slot_emptied(struct wheel *w, const struct list *head)
{
    uintptr_t offset = (uintptr_t)head - (uintptr_t)w->slots;
    if (offset >= sizeof(w->slots))
        return;
    bit_clear(w->occupied, offset / sizeof(struct list));
    bit_clear(w->near, offset / sizeof(struct list));
}

/* The next tick whose slot has anything in it; INT64_MAX: the wheel is empty. */
static int64_t wheel_next_occupied(const struct wheel *w)
{
    int64_t distance = bit_distance(w->occupied, slot_of(w->turn));
    return distance == SLOTS ? INT64_MAX : w->turn + distance;
}

static int64_t wheel_next_ns(const struct wheel *w)
{
    int64_t distance = bit_distance(w->near, slot_of(w->turn));
    if (distance < SLOTS)
        return tick_time(w, w->turn + distance);
    if (wheel_next_occupied(w) == INT64_MAX)
        return INT64_MAX;
    return tick_time(w, w->turn + COARSE_LAG); /* all are still far then */
}

/* -------------------------------------------------------------------------------- timers ------ */

struct timers *timers_create(int64_t now_ns)
{
    struct timers *t = memory_alloc_zero(sizeof(*t));
    if (t == NULL)
        return NULL;
    t->now_ns = now_ns;
    t->next_ns = INT64_MAX;
    list_init(&t->scan);
    list_init(&t->due);
    wheel_init(&t->fine, FINE_WIDTH_NS, now_ns);
    wheel_init(&t->coarse, COARSE_WIDTH_NS, now_ns);
    return t;
}

/* Timers that are still set are their owners' memory, perhaps gone already: not touched. */
void timers_destroy(struct timers *t)
{
    memory_free(t);
}

void timer_init(struct timer *timer, unsigned kind)
{
    assert(kind < TIMER_KINDS_MAX);
    *timer = (struct timer){ .deadline_and_kind = kind };
    list_init(&timer->link);
}

bool timer_is_set(const struct timer *timer)
{
    return !list_is_empty(&timer->link);
}

static struct timer *timer_of(struct list *link)
{
    return container_of(link, struct timer, link);
}

static int64_t place(struct timers *t, struct timer *timer)
{
    int64_t deadline_ns = timer_deadline_ns(timer);
    int64_t tick = tick_after(FINE_WIDTH_NS, deadline_ns);
    if (tick <= tick_before(FINE_WIDTH_NS, t->now_ns) + FINE_AHEAD)
        return wheel_add(&t->fine, timer, tick);
    return wheel_add(&t->coarse, timer, tick_after(COARSE_WIDTH_NS, deadline_ns));
}

static uint64_t round_up(int64_t deadline_ns)
{
    uint64_t mask = TIMER_KINDS_MAX - 1;
    return deadline_ns > INT64_MAX - (int64_t)mask ? INT64_MAX & ~mask
                                                   : ((uint64_t)deadline_ns + mask) & ~mask;
}

void timers_set(struct timers *t, struct timer *timer, int64_t deadline_ns)
{
    timers_cancel(t, timer);
    timer->deadline_and_kind = round_up(deadline_ns) | timer_kind(timer);
    int64_t look_ns = place(t, timer);
    if (look_ns < t->next_ns)
        t->next_ns = look_ns;
    t->count++;
}

void timers_cancel(struct timers *t, struct timer *timer)
{
    if (!timer_is_set(timer))
        return;
    struct list *next = timer->link.next;
    bool alone = next == timer->link.prev; /* then both are the list's head */
    list_remove(&timer->link);
    if (alone) {
        slot_emptied(&t->fine, next);
        slot_emptied(&t->coarse, next);
        t->next_ns = NEXT_UNKNOWN;
    }
    assert(t->count > 0);
    t->count--;
}

/* ------------------------------------------------------------------------------ catching up --- */

static int64_t deadline_of(const struct list *link)
{
    return timer_deadline_ns(container_of(link, const struct timer, link));
}

/* Merges two chains linked by `next` and ended by NULL; equal deadlines keep their order. */
static struct list *merge(struct list *a, struct list *b)
{
    struct list *first = NULL, **end = &first;
    while (a != NULL && b != NULL) {
        struct list **smaller = deadline_of(b) < deadline_of(a) ? &b : &a;
        *end = *smaller;
        end = &(*smaller)->next;
        *smaller = *end;
    }
    *end = a != NULL ? a : b;
    return first;
}

/* Merge sort without recursion: sorted[i] is a sorted chain of 2^i elements, or NULL. */
static void sort_by_deadline(struct list *l)
{
    struct list *sorted[64] = { NULL };
    for (struct list *link; (link = list_pop_front(l)) != NULL;) {
        struct list *chain = link;
        size_t i = 0;
        for (chain->next = NULL; sorted[i] != NULL; i++) {
            chain = merge(sorted[i], chain);
            sorted[i] = NULL;
        }
        sorted[i] = chain;
    }
    struct list *all = NULL;
    for (size_t i = 0; i < 64; i++)
        all = merge(sorted[i], all);
    while (all != NULL) {
        struct list *rest = all->next;
        list_init(all);
        list_push_back(l, all);
        all = rest;
    }
}

/* Goes once through the whole wheel. */
static void catch_up(struct timers *t, struct wheel *w, int64_t target)
{
    size_t start = slot_of(w->turn);
    w->turn = target + 1;
    for (size_t i = 0; i < SLOTS; i++) {
        struct list taken;
        list_init(&taken);
        slot_take(w, (start + i) % SLOTS, &taken);
        for (struct list *link; (link = list_pop_front(&taken)) != NULL;) {
            if (deadline_of(link) <= t->now_ns)
                list_push_back(&t->due, link);
            else
                wheel_add(w, timer_of(link), tick_after(w->width_ns, deadline_of(link)));
        }
    }
    sort_by_deadline(&t->due);
}

/* ------------------------------------------------------------------------------- expiring ----- */

static struct timer *expired(struct timers *t, struct list *link)
{
    t->count--;
    return timer_of(link);
}

/* The next due timer of the slot being scanned; NULL when the slot is done. */
static struct timer *scan_next(struct timers *t)
{
    for (struct list *link; (link = list_pop_front(&t->scan)) != NULL;) {
        if (deadline_of(link) <= t->now_ns)
            return expired(t, link);
        place(t, timer_of(link));
    }
    return NULL;
}

static void scan_slot(struct timers *t, struct wheel *w, int64_t tick)
{
    w->turn = tick + 1;
    slot_take(w, slot_of(tick), &t->scan);
}

/* The time of a slot if it has come, INT64_MAX if not. */
static int64_t slot_time(const struct wheel *w, int64_t tick, int64_t target)
{
    return tick <= target ? tick_time(w, tick) : INT64_MAX;
}

/* No slot is half scanned, and no catch-up left anything to hand out. */
static bool nothing_found(const struct timers *t)
{
    return list_is_empty(&t->scan) && list_is_empty(&t->due);
}

/* The next due timer, by the times of their slots. */
static struct timer *next_due(struct timers *t, int64_t fine_target, int64_t coarse_target)
{
    for (;;) {
        struct timer *timer = scan_next(t);
        if (timer != NULL)
            return timer;

        int64_t fine_tick = wheel_next_occupied(&t->fine);
        int64_t coarse_tick = wheel_next_occupied(&t->coarse);
        int64_t fine_ns = slot_time(&t->fine, fine_tick, fine_target);
        int64_t coarse_ns = slot_time(&t->coarse, coarse_tick, coarse_target);
        int64_t earlier_ns = fine_ns < coarse_ns ? fine_ns : coarse_ns;

        if (!list_is_empty(&t->due) && deadline_of(t->due.next) <= earlier_ns)
            return expired(t, list_pop_front(&t->due));
        if (earlier_ns == INT64_MAX)
            return NULL;
        if (coarse_ns == earlier_ns) /* in a tie it has the older deadlines */
            scan_slot(t, &t->coarse, coarse_tick);
        else
            scan_slot(t, &t->fine, fine_tick);
    }
}

struct timer *timers_expire(struct timers *t, int64_t now_ns)
{
    assert(now_ns >= t->now_ns);
    t->now_ns = now_ns;
    int64_t fine_target = tick_before(FINE_WIDTH_NS, now_ns);
    int64_t coarse_target = tick_before(COARSE_WIDTH_NS, now_ns);
    if (fine_target < t->fine.turn && coarse_target < t->coarse.turn && nothing_found(t))
        return NULL;
    t->next_ns = NEXT_UNKNOWN;
    if (fine_target - t->fine.turn > FINE_LAG)
        catch_up(t, &t->fine, fine_target);
    if (coarse_target - t->coarse.turn > COARSE_LAG)
        catch_up(t, &t->coarse, coarse_target);
    struct timer *timer = next_due(t, fine_target, coarse_target);
    if (timer != NULL)
        return timer;
    t->fine.turn = fine_target + 1;
    t->coarse.turn = coarse_target + 1;
    return NULL;
}

static int64_t find_next_ns(const struct timers *t)
{
    if (t->count == 0)
        return INT64_MAX;
    if (!nothing_found(t))
        return t->now_ns; /* the caller stopped half-way */
    int64_t fine_ns = wheel_next_ns(&t->fine);
    int64_t coarse_ns = wheel_next_ns(&t->coarse);
    return fine_ns < coarse_ns ? fine_ns : coarse_ns;
}

int64_t timers_next_ns(struct timers *t)
{
    if (t->next_ns == NEXT_UNKNOWN)
        t->next_ns = find_next_ns(t);
    return t->next_ns;
}
