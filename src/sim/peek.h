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
