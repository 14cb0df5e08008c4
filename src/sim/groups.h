/* sim/groups.h: Shared Subscriptions in the model: each message of a group goes to one member. */
#pragma once

#include "sim/model.h"

/* For every group that matches.  How many did. */
size_t groups_route(struct model *m, const struct sim_message *message, int64_t expires_ns,
                    const struct promise *promise);
bool groups_need_store(const struct model *m, unsigned topic); /* is one durable that matches? */

/* One that was stored is finished. */
void groups_done(struct model *m, struct expected *e);

/* The broker has died: what was with a group, or with its members, is lost; unless it comes back
 * from the disk to the group of the same filter.  False: there is none. */
void groups_on_crash(struct model *m);
bool groups_restore(struct model *m, unsigned filter, struct expected *e);

/* SUBSCRIBE: joins, or changes options. */
void groups_join(struct model *m, struct sim_session *s, unsigned filter);
void groups_leave(struct model *m, struct sim_session *s, unsigned filter); /* UNSUBSCRIBE */
void groups_on_session_end(struct model *m, struct sim_session *s);

/* What a client has received, of a group that it is or was a member of: the first that fits and
 * that nobody has; NULL: none.  The caller makes it the client's. id: the Subscription Identifier,
 * 0: none; 3.x has none. */
struct expected *groups_find(const struct model *m, const struct sim_session *s,
                             const struct publish *p, const struct sim_message *message,
                             uint32_t id, int64_t sent_ns, enum version version);

/* The smallest packet that a member, or former one, takes; 0: no limit. */
uint32_t group_max_packet_size(const struct sim_group *g);

void groups_check_quiet(struct model *m);
