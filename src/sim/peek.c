/* sim/peek.c: see peek.h. */
#include "sim/peek.h"
#include "broker/client.h"
#include "broker/connection.h"

enum peek_session peek_session(const struct server *s, struct bytes client_id)
{
    const struct directory_entry *e = directory_find(s->directory, client_id);
    if (e == NULL || e->client == NULL)
        return PEEK_NO_SESSION;
    return e->client->will != NULL ? PEEK_SESSION_WITH_WILL : PEEK_SESSION;
}

bool peek_has_walks(const struct server *s)
{
    for (unsigned i = 0; i < s->worker_count; i++)
        if (!list_is_empty(&s->workers[i]->replays))
            return true;
    return false;
}

struct stream *peek_stream(const struct connection *c)
{
    return c->stream;
}
