/* sim/peek.c: see peek.h. */
#include "sim/peek.h"
#include "broker/client.h"
#include "broker/connection.h"
#include "broker/durable.h"
#include "broker/storage.h"

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

struct peek_identity peek_identity(const struct server *s, struct bytes client_id)
{
    const struct directory_entry *e = directory_find(s->directory, client_id);
    if (e == NULL || e->client == NULL)
        return (struct peek_identity){ 0 };
    const struct client *c = e->client;
    return (struct peek_identity){ c->handle, c->durable == NULL ? 0 : c->durable->key };
}

bool peek_is_attached(const struct server *s, struct bytes client_id, const struct stream *stream)
{
    const struct directory_entry *e = directory_find(s->directory, client_id);
    return e != NULL && e->client != NULL && e->client->connection != NULL &&
           e->client->connection->stream == stream;
}

bool peek_storage_is_wanted(const struct server *s)
{
    for (unsigned i = 0; s->storage != NULL && i < s->worker_count; i++)
        if (s->workers[i]->staging.under_way != NULL)
            return true;
    return false;
}

bool peek_is_storing(const struct server *s)
{
    for (unsigned i = 0; s->storage != NULL && i < s->worker_count; i++)
        if (!list_is_empty(&s->workers[i]->staging.deposits))
            return true;
    return peek_storage_is_wanted(s);
}

bool peek_has_room(const struct server *s, size_t bytes)
{
    return s->storage == NULL || storage_has_room(s->storage, bytes);
}

bool peek_is_full(const struct server *s)
{
    return s->storage != NULL && storage_is_full(s->storage);
}
