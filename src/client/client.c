/* client/client.c: a state, an input and an output.
 *
 *     receive  ->  in  [ used | packet | packet | pa        ]      next() takes one packet at a
 * time output   <-  out [ sent | packet | packet ]                  every send_ appends one
 *
 * Events are pulled, not pushed: the application is never called from inside the client, so it may
 * call anything between two events, and it alone decides how fast messages are taken.  A message is
 * acknowledged when the application comes back for the next event: by then it has had its chance to
 * do something about it. */
#include "base/memory.h"
#include "client/state.h"
#include "mqtt/topic.h"
#include <assert.h>
#include <errno.h>

enum { BUFFER_KEEP_MAX = 1024 * 1024 }; /* an empty buffer larger than this is given back */

#define SECOND_NS INT64_C(1000000000)

/* --------------------------------------------------------------------------------- life ------ */

int chappe_client_create(const struct chappe_client_options *options, struct chappe_client **client)
{
    struct chappe_client *c = memory_alloc_zero(sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    int failure = settings_init(&c->settings, options);
    if (failure != 0) {
        memory_free(c);
        return failure;
    }
    buffer_init(&c->in);
    buffer_init(&c->out);
    outbox_init(&c->outbox);
    list_init(&c->requests);
    aliases_in_init(&c->aliases_in, 0);
    aliases_out_init(&c->aliases_out, 0);
    *client = c;
    return 0;
}

/* Buffers, aliases and requests, which end with a connection. */
static void forget_connection(struct chappe_client *c)
{
    while (!list_is_empty(&c->requests))
        client_forget_request(c, container_of(c->requests.next, struct request, link));
    aliases_in_fini(&c->aliases_in);
    aliases_out_fini(&c->aliases_out);
    arrivals_forget_unacknowledged(&c->arrivals);
    c->handed_id = 0;
}

void chappe_client_destroy(struct chappe_client *c)
{
    if (c == NULL)
        return;
    forget_connection(c);
    outbox_fini(&c->outbox);
    buffer_fini(&c->in);
    buffer_fini(&c->out);
    memory_free(c->assigned_id);
    settings_fini(&c->settings);
    memory_free(c);
}

int chappe_client_configure(struct chappe_client *c, const struct chappe_client_options *options)
{
    if (c->state != CHAPPE_OFFLINE)
        return -EISCONN;
    struct settings settings;
    int failure = settings_init(&settings, options);
    if (failure != 0)
        return failure;
    settings_fini(&c->settings);
    c->settings = settings;
    return 0;
}

enum chappe_client_state chappe_client_state(const struct chappe_client *c)
{
    return c->state;
}

static const char *known_id(const struct chappe_client *c)
{
    const struct bytes *id = &c->settings.connect.client_id;
    return id->size > 0 ? (const char *)id->data : c->assigned_id;
}

const char *chappe_client_id(const struct chappe_client *c)
{
    const char *id = known_id(c);
    return id == NULL ? "" : id;
}

size_t chappe_client_queued(const struct chappe_client *c)
{
    return c->outbox.count;
}

struct tracer client_tracer(const struct chappe_client *c)
{
    return (struct tracer){ c->settings.trace, c->settings.trace_context, known_id(c),
                            client_version(c) };
}

/* ------------------------------------------------------------------------------- output ------ */

/* Moves what is still wanted to the front, once it is the smaller half. */
static void compact(struct buffer *b, size_t *used)
{
    if (*used == 0 || *used < b->size / 2)
        return;
    memmove(b->data, b->data + *used, b->size - *used);
    b->size -= *used;
    *used = 0;
}

static void give_back(struct buffer *b, size_t *used)
{
    *used = 0;
    b->size = 0;
    if (b->capacity > BUFFER_KEEP_MAX)
        buffer_fini(b);
}

int client_send(struct chappe_client *c, const struct packet *p)
{
    size_t size = packet_size(p, client_version(c));
    compact(&c->out, &c->out_used);
    uint8_t *at = buffer_reserve(&c->out, size);
    if (at == NULL)
        return -ENOMEM;
    packet_encode(p, client_version(c), at);
    buffer_commit(&c->out, size);
    struct tracer tracer = client_tracer(c);
    trace_sent(&tracer, p);
    return 0;
}

struct chappe_bytes chappe_client_output(const struct chappe_client *c)
{
    if (c->out.size == c->out_used)
        return chappe_bytes(NULL, 0);
    return chappe_bytes(c->out.data + c->out_used, c->out.size - c->out_used);
}

void chappe_client_sent(struct chappe_client *c, size_t size, int64_t now_ns)
{
    assert(size <= c->out.size - c->out_used);
    c->now_ns = now_ns;
    c->sent_ns = now_ns;
    c->out_used += size;
    if (c->out_used == c->out.size)
        give_back(&c->out, &c->out_used);
}

/* ----------------------------------------------------------------------- begin and end ------ */

/* 5.0 has Clean Start for the first connection; a Session that outlives its connection is taken up
 * by the later ones.  Before 5.0 one flag says both. */
static bool starts_clean(const struct chappe_client *c)
{
    bool resumes =
        client_version(c) == VERSION_5_0 && c->had_session && c->settings.session_expiry_s > 0;
    return c->settings.connect.clean_start && !resumes;
}

int chappe_client_connect(struct chappe_client *c, int64_t now_ns)
{
    if (c->state != CHAPPE_OFFLINE)
        return -EISCONN;
    give_back(&c->in, &c->in_used);
    give_back(&c->out, &c->out_used);

    struct packet p = { .type = PACKET_CONNECT, .connect = c->settings.connect };
    p.connect.clean_start = starts_clean(c);
    if (p.connect.client_id.size == 0 && c->assigned_id != NULL)
        p.connect.client_id = bytes_of_string(c->assigned_id);
    if (client_send(c, &p) != 0)
        return -ENOMEM;

    forget_connection(c);
    c->limits = (struct server_limits){ UINT16_MAX, 2, true, PACKET_SIZE_MAX };
    aliases_in_init(&c->aliases_in, c->settings.topic_alias_max);
    c->said_clean = p.connect.clean_start;
    c->said_disconnect = c->end_told = c->end_pending = c->ping_pending = false;
    c->now_ns = c->connect_ns = c->sent_ns = c->received_ns = now_ns;
    c->keep_alive_ns = c->settings.connect.keep_alive_s * SECOND_NS;
    c->state = CHAPPE_CONNECTING;
    return 0;
}

void client_start_closing(struct chappe_client *c)
{
    c->state = CHAPPE_CLOSING;
    c->closing_ns = c->now_ns;
    c->handed_id = 0;
}

bool client_fail(struct chappe_client *c, int error, enum reason why, struct chappe_event *event)
{
    if (error == -EPROTO && c->state == CHAPPE_CONNECTED &&
        version_has_reason_codes(client_version(c))) {
        struct packet p = { .type = PACKET_DISCONNECT, .disconnect.reason = why };
        (void)client_send(c, &p); /* a courtesy: it ends without it as well */
    }
    client_start_closing(c);
    c->end_told = true;
    event->type = CHAPPE_EVENT_DISCONNECTED;
    event->error = error;
    event->reason = (enum chappe_reason)why;
    return true;
}

bool client_breach(struct chappe_client *c, enum reason why, struct chappe_event *event)
{
    return client_fail(c, -EPROTO, why, event);
}

bool client_answer(struct chappe_client *c, const struct packet *p, struct chappe_event *event)
{
    return client_send(c, p) != 0 && client_fail(c, -ENOMEM, REASON_SUCCESS, event);
}

void chappe_client_closed(struct chappe_client *c, int error)
{
    if (c->state == CHAPPE_OFFLINE)
        return;
    forget_connection(c);
    c->state = CHAPPE_OFFLINE;
    c->end_pending = !c->end_told;
    c->end_error = error == 0 ? -ECONNRESET : error;
    if (c->said_disconnect)
        c->end_error = 0;
}

static bool tell_end(struct chappe_client *c, struct chappe_event *event)
{
    c->end_pending = false;
    c->end_told = true;
    event->type = CHAPPE_EVENT_DISCONNECTED;
    event->error = c->end_error;
    return true;
}

/* ---------------------------------------------------------------------------- deadlines ------ */

static int64_t later(int64_t a, int64_t b)
{
    return __builtin_add_overflow(a, b, &a) ? CHAPPE_NEVER : a;
}

static int64_t ping_due_ns(const struct chappe_client *c)
{
    if (c->keep_alive_ns == 0)
        return CHAPPE_NEVER;
    if (c->ping_pending)
        return later(c->ping_ns, c->keep_alive_ns);
    /* Also when only the Server has been silent: then we want to know whether it is still there. */
    int64_t quiet_ns = c->sent_ns < c->received_ns ? c->sent_ns : c->received_ns;
    return later(quiet_ns, c->keep_alive_ns);
}

int64_t chappe_client_deadline_ns(const struct chappe_client *c)
{
    switch (c->state) {
    case CHAPPE_CONNECTING:
        return later(c->connect_ns, c->settings.connect_timeout_ns);
    case CHAPPE_CONNECTED:
        return ping_due_ns(c);
    case CHAPPE_CLOSING:
        if (c->out.size > c->out_used)
            return later(c->closing_ns, c->settings.connect_timeout_ns);
        return CHAPPE_NEVER;
    case CHAPPE_OFFLINE:
        break;
    }
    return CHAPPE_NEVER;
}

/* [MQTT-3.1.2-20]; a PINGREQ that stays without answer is the end (section 3.1.2.10). */
static bool on_quiet(struct chappe_client *c, struct chappe_event *event)
{
    if (c->ping_pending)
        return client_fail(c, -ETIMEDOUT, REASON_SUCCESS, event);
    c->ping_pending = true;
    c->ping_ns = c->now_ns;
    return client_answer(c, &(struct packet){ .type = PACKET_PINGREQ }, event);
}

static bool on_deadline(struct chappe_client *c, struct chappe_event *event)
{
    switch (c->state) {
    case CHAPPE_CONNECTING:
        return client_fail(c, -ETIMEDOUT, REASON_SUCCESS, event);
    case CHAPPE_CONNECTED:
        return on_quiet(c, event);
    case CHAPPE_CLOSING:
        give_back(&c->out, &c->out_used); /* the Server does not read: never mind */
        return false;
    case CHAPPE_OFFLINE:
        break;
    }
    return false;
}

/* --------------------------------------------------------------------------------- input ------ */

int chappe_client_receive(struct chappe_client *c, struct chappe_bytes bytes, int64_t now_ns)
{
    if (c->state == CHAPPE_OFFLINE)
        return -ENOTCONN;
    c->now_ns = now_ns;
    if (c->state == CHAPPE_CLOSING || bytes.size == 0)
        return 0; /* nobody listens any more */
    if (c->in_used == c->in.size)
        give_back(&c->in, &c->in_used);
    compact(&c->in, &c->in_used);
    if (buffer_append(&c->in, bytes_in(bytes)) != 0)
        return -ENOMEM;
    c->received_ns = now_ns;
    return 0;
}

/* Takes packets off the input until one of them is an event. */
static bool read_packets(struct chappe_client *c, struct chappe_event *event)
{
    while (c->state == CHAPPE_CONNECTING || c->state == CHAPPE_CONNECTED) {
        struct frame frame;
        struct bytes rest = bytes_after(buffer_bytes(&c->in), c->in_used);
        enum decode_result result = frame_decode(rest, &frame);
        if (result == DECODE_BAD)
            return client_breach(c, REASON_MALFORMED_PACKET, event);
        if (frame.size > c->settings.packet_size_max)
            return client_breach(c, REASON_PACKET_TOO_LARGE, event); /* [MQTT-3.1.2-24] */
        if (result == DECODE_MORE)
            return false;
        c->in_used += frame.size;
        if (client_on_packet(c, bytes_of(rest.data, frame.size), frame.type, event))
            return true;
    }
    return false;
}

/* The application is back: it is done with the message it had. */
static bool settle(struct chappe_client *c, struct chappe_event *event)
{
    if (c->handed_id == 0)
        return false;
    uint16_t packet_id = c->handed_id;
    c->handed_id = 0;
    int failure = client_acknowledge(c, packet_id, REASON_SUCCESS, (struct bytes){ NULL, 0 });
    return failure == -ENOMEM && client_fail(c, -ENOMEM, REASON_SUCCESS, event);
}

static bool tell_dropped(struct chappe_client *c, struct chappe_event *event)
{
    struct outgoing *m = outbox_first_dropped(&c->outbox);
    if (m == NULL)
        return false;
    event->type = CHAPPE_EVENT_PUBLISHED;
    event->packet_id = m->packet_id;
    event->error = m->error;
    event->reason = (enum chappe_reason)m->reason;
    packet_ids_give_back(&c->ids, m->packet_id);
    outbox_remove(&c->outbox, m);
    return true;
}

bool chappe_client_next(struct chappe_client *c, int64_t now_ns, struct chappe_event *event)
{
    memset(event, 0, sizeof *event);
    c->now_ns = now_ns;
    if (settle(c, event))
        return true;
    if (c->end_pending)
        return tell_end(c, event);
    if (now_ns >= chappe_client_deadline_ns(c) && on_deadline(c, event))
        return true;
    if (read_packets(c, event))
        return true;
    if (c->state == CHAPPE_CONNECTED)
        client_send_waiting(c);
    return tell_dropped(c, event);
}

bool chappe_topic_matches(struct chappe_bytes filter, struct chappe_bytes name)
{
    struct bytes share, rest;
    if (topic_filter_split_share(bytes_in(filter), &share, &rest) == SHARE_INVALID)
        return false;
    return topic_filter_is_valid(rest, NULL) && topic_name_is_valid(bytes_in(name)) &&
           topic_filter_matches(rest, bytes_in(name));
}
