/* broker/client.h: a Client as its worker knows it: its Session and, while there is one, its
 * Network Connection.
 *
 * Lives as long as the Session.  Owned by one worker. */
#pragma once

#include "base/few.h"
#include "base/list.h"
#include "base/timers.h"
#include "broker/directory.h"
#include "broker/post.h"
#include "broker/publication.h"
#include "config/config.h"
#include "mqtt/topic.h"
#include "router/router.h"
#include "session/session.h"

struct connection;
struct durable;
struct store_load;
struct replay;
struct worker;

/* One of the Client's subscriptions.  What the router knows of it, or the group, is not here: the
 * filter's text, and of one that is not shared the options. */
struct client_subscription {
    union {
        struct subscription route;
        struct {
            struct share *share;
            uint32_t share_id;
        } __attribute__((packed, aligned(4))); /* is_shared */
    };
    uint16_t share_options; /* is_shared */
    bool is_shared;
    bool wants_retained; /* it waits in the Client's replay */
};

static_assert(sizeof(struct client_subscription) == 16, "there may be a million");

struct bytes client_subscription_filter(const struct client_subscription *s); /* as he wrote it */

/* For a Session that may outlive its Network Connection. */
struct client_expiry {
    struct client *client;
    struct timer timer; /* runs while not connected, unless it never expires */
};

struct client_username {
    uint16_t size;
    uint8_t text[];
};

/* The Will Message, and when it is due once the connection is gone. */
struct client_will {
    struct client *client;
    struct message *message;
    uint32_t delay_s;
    int64_t lifetime_ns; /* of the message once it is published; MESSAGE_NEVER: no end */
    struct timer delay_timer;
};

/* What most Clients never need: made when something goes wrong for the first time, and kept. */
struct client_trouble {
    struct client *client;
    struct list full_link; /* in worker->full_clients, and its handle in server->full */
    uint16_t takeovers;    /* in this minute */
    int64_t takeovers_since_ns;
    int64_t drop_logged_ns;
    uint32_t drops[DROP_COUNT]; /* by cause */
};

/* There is one for each Session, and most are idle: what is rare has blocks of its own. */
struct client {
    struct worker *worker;
    uint64_t handle;
    struct directory_entry *entry;    /* our claim on the Client Identifier */
    struct client_username *username; /* NULL: none */
    struct durable *durable;          /* NULL: it is not stored */
    struct session *session;
    struct delivery_sink sink;
    struct connection *connection;  /* NULL: not connected */
    struct few subscriptions;       /* struct client_subscription, by filter */
    struct replay *replay;          /* Retained Messages on their way; NULL: none */
    struct client_will *will;       /* NULL: none */
    struct client_trouble *trouble; /* NULL: none so far */
    struct client_expiry *expiry;   /* NULL: the Session ends with its connection */

    size_t held_bytes;
    uint32_t held_count;       /* messages of its session, as counted in the metrics */
    uint32_t publisher_hash;   /* of the Client Identifier */
    uint32_t session_expiry_s; /* UINT32_MAX: never */
    bool has_left_group;       /* once: handovers may still be on their way */
};

static inline struct bytes client_id_of(const struct client *c)
{
    return directory_client_id(c->entry);
}

static inline struct bytes client_username(const struct client *c) /* data NULL: none */
{
    return c->username == NULL ? (struct bytes){ 0 }
                               : (struct bytes){ c->username->text, c->username->size };
}

/* A new Session for a Client Identifier that has none.  Takes over the claim on success.  NULL: no
 * memory. */
struct client *client_create(struct worker *w, struct directory_entry *claim);

/* Ends the Session: subscriptions, queue and all.  Its connection must be gone.  Gives the claim
 * back. */
void client_destroy(struct client *c);

/* Its Network Connection begins: it is the Client's, but nothing is sent yet. */
void client_on_connected(struct client *c, struct connection *connection);
/* CONNACK is out: the Session goes on.  receive_max as in session_attach. */
void client_go_online(struct client *c, uint16_t receive_max);

/* It is gone: the Will goes out or waits, and the Session ends or its expiry begins to run.  The
 * client may be destroyed by this. */
enum client_parting {
    PARTING_CLEAN,     /* DISCONNECT with success: no Will */
    PARTING_WITH_WILL, /* anything else */
};
void client_on_disconnected(struct client *c, enum client_parting how);
void client_on_session_expiry(struct client *c); /* destroys it */
/* Is its time over, though its timer, which may be late, has not said so? */
bool client_has_expired(const struct client *c);

/* The Will Message replaces the one there was.  Takes over its reference on success.  0, or -ENOMEM
 * and nothing changed. */
int client_set_will(struct client *c, struct message *message, uint32_t delay_s,
                    int64_t lifetime_ns);
void client_drop_will(struct client *c); /* if there is one */
/* Now, if there is one.  False: there is no room for it, and it is still there. */
bool client_publish_will(struct client *c);
void client_on_will_delay(struct client *c);

int client_set_username(struct client *c, struct bytes username); /* data NULL: none; 0, -ENOMEM */
/* 0, or -ENOMEM if it was 0 before. */
int client_set_expiry(struct client *c, uint32_t expiry_s);
uint16_t client_window(const struct client *c); /* messages of QoS > 0 in flight, at most */
struct session_options client_session_options(const struct config *config);

struct client_subscription *client_find_subscription(const struct client *c, struct bytes filter);

/* Adds a subscription, or replaces the options of the one with the same filter.  0 or -ENOMEM. */
int client_subscribe(struct client *c, struct bytes filter, uint32_t options, uint32_t id,
                     bool *is_new);
/* 0; -ENOENT: no such subscription; -ENOMEM: it is still there. */
int client_unsubscribe(struct client *c, struct bytes filter);
/* Takes it out of the router or its group; the object stays. */
void client_end_subscription(struct client *c, struct client_subscription *s, enum share_leave why);

/* Hands over one message that matched a subscription of this Client.  many_ids (owned) or NULL. */
void client_deliver(struct client *c, struct publication *p, uint32_t options, uint32_t id,
                    uint32_t *many_ids, bool is_retained);

/* The same from a group at home somewhere: with a ticket. */
void client_deliver_handover(struct client *c, const struct note *n);

/* The Session will outlive its connection: it is stored from now on, if anything is.  0 or
 * -ENOMEM. */
int client_make_durable(struct client *c);
/* The same for one that comes from the store: its key there, and the next place in its queue. */
int client_restore_durable(struct client *c, uint64_t key, uint64_t next_seq);
/* On a full disk: may it be stored as it is to be?  A Session that is stored already and says
 * nothing new may come back, for that makes room. */
bool client_may_be_stored(const struct worker *w, const struct client *c, bool says_more);
/* Writes down what is to be known of the Session itself; nothing if it is not durable.  0 or
 * -ENOMEM. */
int client_store_session(struct client *c, bool is_connected);

/* A message for a durable Session, which is on its way to the disk. */
void client_deliver_stored(struct worker *w, struct deposit *d, uint32_t index);
void client_on_stored(struct worker *w, uint64_t handle, uint64_t key, uint64_t seq);
/* What was read back from its queue: takes what is in it. */
void client_on_loaded(struct worker *w, struct store_load *l);

/* Tells the homes of the Client's groups that it is online or offline. */
void client_announce_to_groups(struct client *c);

/* To be called when something was done with its session: what it holds is counted, and with
 * queue_policy refuse-publisher, publishers everywhere are told if its queue is full, or not any
 * more. */
void client_after_session(struct client *c);
void client_count_held(struct client *c, size_t count, size_t bytes);
void client_leave_full(struct client *c); /* the Session ends */
void client_tick_full(struct worker *w);  /* now and then: expired messages make room */

/* Counts a message that will not reach this Client, and says so once a minute. */
void client_on_drop(struct client *c, enum drop cause);

/* What there is, or a new one.  NULL: no memory; then what it would have counted is not counted. */
struct client_trouble *client_trouble(struct client *c);

void client_check(const struct client *c);
