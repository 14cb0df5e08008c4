/* broker/shares.h: Shared Subscriptions at home on this worker.
 *
 * The router says which groups exist; a group's queue (router/share.h) lives at home with one
 * worker.  These functions are called there, directly or for a note of another worker. */
#pragma once

#include "base/bytes.h"
#include "broker/post.h"

struct client;
struct deposit;
struct publication;
struct worker;

void shares_init(struct worker *w);

/* The home worker of a new group. */
unsigned shares_home_for(const struct worker *w, struct bytes name, struct bytes filter);

/* From the member's side: tell the home, wherever it is. */
void shares_set_member(struct client *c, uint64_t group, uint32_t options, uint32_t id);
void shares_leave(struct client *c, uint64_t group, enum share_leave why, size_t joined);
void shares_finish(struct worker *w, uint64_t group, uint64_t member, uint64_t ticket);
void shares_return(struct worker *w, uint64_t group, uint64_t member, uint64_t ticket);

/* At home. */
void shares_push(struct worker *w, uint64_t group, struct publication *p); /* matched just now */
void shares_on_deliver(struct worker *w, uint64_t group, struct publication *p); /* by note */
/* One that is on its way to the disk, matched just now or a while ago. */
void shares_push_stored(struct worker *w, struct deposit *d, uint32_t index);
/* One that was read back from the disk, before there are members.  0 or -ENOMEM. */
int shares_restore(struct worker *w, uint64_t group, struct message *m, uint64_t key, uint64_t seq);
void shares_on_handover(struct worker *w, struct note *n); /* at the member's worker */
void shares_on_note(struct worker *w, struct note *n);     /* NOTE_SHARE_*, but HANDOVER */
void shares_take_config(struct worker *w); /* groups that exist get the new limits */
void shares_destroy_all(struct worker *w);
void shares_check(const struct worker *w); /* every group at home here; asserts */
