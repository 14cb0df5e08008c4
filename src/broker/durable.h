/* broker/durable.h: the number and the queue's next place of each durable Session, for publishers
 * on any worker.
 *
 * A publisher has to write down where in a Session's stored queue its message goes before anybody
 * else is asked.  So each durable Session has a row here: its key, under which the store knows it,
 * and a counter of places.  Rows are found by the Session's handle and never freed, so a look at
 * one whose Session has just ended is harmless: it gives a place in a queue that nobody has any
 * more. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct durable {
    _Atomic uint64_t handle; /* whose row it is; 0: nobody's */
    _Atomic uint64_t key;    /* never 0 while it is somebody's */
    _Atomic uint64_t next_seq;
};

struct durable_table;

struct durable_table *durable_table_create(unsigned workers); /* NULL: no memory */
void durable_table_destroy(struct durable_table *t);          /* NULL is fine */

/* The Session's own worker: its row, from now on.  NULL: no memory. */
struct durable *durable_add(struct durable_table *t, uint64_t handle, uint64_t key,
                            uint64_t next_seq);
void durable_remove(struct durable_table *t, uint64_t handle); /* fine if it has none */

/* Any worker.  NULL: not durable, or gone. */
struct durable *durable_find(const struct durable_table *t, uint64_t handle);
