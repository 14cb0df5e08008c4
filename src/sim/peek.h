/* sim/peek.h: the few questions that the simulation asks of the broker's insides.
 *
 * Kept in one place: whoever changes the broker sees what is looked at. */
#pragma once

#include "base/bytes.h"
#include "broker/server.h"

struct stream;

enum peek_session {
    PEEK_NO_SESSION,
    PEEK_SESSION,
    PEEK_SESSION_WITH_WILL,
};

/* Is there a Session of this Client Identifier, and does it have a Will still to be published? */
enum peek_session peek_session(const struct server *s, struct bytes client_id);

/* Is a walk over Retained Messages under way that has been put off? */
bool peek_has_walks(const struct server *s);

/* The stream of the connection that a tap was shown. */
struct stream *peek_stream(const struct connection *c);

/* Who somebody is to the broker: changes when the Session is a new one.  key: of a durable Session,
 * its number in the store; 0: it is not durable.  handle 0: there is none. */
struct peek_identity {
    uint64_t handle, key;
};
struct peek_identity peek_identity(const struct server *s, struct bytes client_id);

/* Has the CONNECT of this connection been dealt with, so that the Session is its own? */
bool peek_is_attached(const struct server *s, struct bytes client_id, const struct stream *stream);

/* Does something wait for the storage thread? */
bool peek_storage_is_wanted(const struct server *s);
/* That, or will there be something in a moment? */
bool peek_is_storing(const struct server *s);
/* Would a message of so many bytes be stored? */
bool peek_has_room(const struct server *s, size_t bytes);
bool peek_is_full(const struct server *s); /* the disk: nothing new is stored */
