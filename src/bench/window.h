/* bench/window.h: the messages of one publisher that are under way.
 *
 *     slots   [ 8: free | 9: free | 6: 1 copy missing | 7: awaits PUBACK ]    next to publish: 8
 *
 * Message n lives in slot n % size, and its Packet Identifier is that slot plus one.  A slot is
 * free again when every copy has arrived and the broker has acknowledged the message: the window is
 * closed by whichever is slower. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum awaits { AWAITS_NOTHING, AWAITS_PUBACK, AWAITS_PUBREC, AWAITS_PUBCOMP };

struct slot {
    int64_t time_ns;  /* that its message has in it */
    uint32_t missing; /* copies that have not arrived */
    enum awaits awaits;
};

struct window {
    struct slot *slots;
    uint32_t size;
};

static inline struct slot *window_slot(const struct window *w, uint64_t number)
{
    return &w->slots[number <= UINT32_MAX ? (uint32_t)number % w->size : number % w->size];
}

static inline uint16_t window_packet_id(const struct window *w, const struct slot *s)
{
    return (uint16_t)(s - w->slots + 1);
}

static inline bool slot_is_free(const struct slot *s)
{
    return s->missing == 0 && s->awaits == AWAITS_NOTHING;
}

/* For a message that is about to be published. */
static inline void slot_take(struct slot *s, uint8_t qos, uint32_t copies, int64_t time_ns)
{
    s->time_ns = time_ns;
    s->missing = copies;
    s->awaits = qos == 0 ? AWAITS_NOTHING : qos == 1 ? AWAITS_PUBACK : AWAITS_PUBREC;
}

/* The answer to a PUBLISH or PUBREL: its slot, if it is the one that is due; else NULL. */
static inline struct slot *window_answer(const struct window *w, uint16_t packet_id,
                                         enum awaits due)
{
    if (packet_id == 0 || packet_id > w->size || w->slots[packet_id - 1].awaits != due)
        return NULL;
    return &w->slots[packet_id - 1];
}
