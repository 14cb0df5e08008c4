/* cli/mosquitto_db_fuzz.c: any bytes as a mosquitto.db, what is taken over from them, and a store
 * of it. */
#include "base/fake_disk.h"
#include "cli/store_import_fill.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t NOW = 1767225600;

struct checks {
    struct import_sink sink;
    uint64_t counts[IMPORT_KINDS];
};

static struct checks *next(struct import_sink *sink, enum import_kind kind)
{
    struct checks *c = (struct checks *)sink;
    c->counts[kind]++;
    return c;
}

static int check_session(struct import_sink *sink, const struct import_session *s)
{
    (void)next(sink, IMPORT_SESSIONS);
    assert(s->client_id.size > 0 && utf8_is_valid(s->client_id));
    assert(s->expires_at_s > NOW && s->expiry_s > 0);
    return 0;
}

static int check_subscription(struct import_sink *sink, uint32_t session,
                              const struct import_subscription *s)
{
    assert(session == next(sink, IMPORT_SUBSCRIPTIONS)->counts[IMPORT_SESSIONS] - 1);
    assert(s->filter.size > 0 && utf8_is_valid(s->filter));
    assert((s->options & 3) < 3);
    return 0;
}

static int check_received(struct import_sink *sink, uint32_t session, uint16_t packet_id)
{
    assert(session == next(sink, IMPORT_RECEIVED)->counts[IMPORT_SESSIONS] - 1);
    assert(packet_id != 0);
    return 0;
}

static void check_message(const struct import_message *m)
{
    assert(m->qos <= 2 && utf8_is_valid(m->topic) && topic_name_is_valid(m->topic));
}

static int check_queued(struct import_sink *sink, const struct import_message *m,
                        const struct import_entry *entries, size_t count)
{
    assert(count > 0);
    if (m != NULL)
        check_message(m);
    for (size_t i = 0; i < count; i++) {
        const struct import_entry *e = &entries[i];
        assert(e->session < next(sink, IMPORT_QUEUED)->counts[IMPORT_SESSIONS]);
        assert(e->qos > 0 && e->qos <= 2 && e->place > 0);
        assert(e->packet_id <= IMPORT_PACKET_ID_MAX);
        assert((e->state == IMPORT_WAITS) == (e->packet_id == 0));
        assert((e->state == IMPORT_AWAITS_PUBCOMP) == (m == NULL));
        assert(e->state != IMPORT_WAITS || m->expires_at_s > NOW);
    }
    return 0;
}

static int check_retained(struct import_sink *sink, const struct import_message *m)
{
    (void)next(sink, IMPORT_RETAINED);
    check_message(m);
    assert(m->expires_at_s > NOW);
    return 0;
}

static void check_fill(const struct store_import *s)
{
    struct fake_disk disk;
    struct store_fault fault;
    struct store *store;
    fake_disk_init(&disk, 1);
    struct store_options o = {
        .files = &disk.files, .folder = "store", .id = 7, .segment_size = 64 * 1024
    };
    assert(store_open(&o, &store, &fault) == 0);
    struct store_fill f = { .store = store, .now_ns = NOW * 1000000000 };
    assert(store_import_fill(s, &f) == 0);
    assert(store_stats(store).entries <= store_import_report(s)->taken[IMPORT_QUEUED]);
    store_check(store);
    store_close(store);
    fake_disk_fini(&disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct import_sink_ops ops = { check_session, check_subscription, check_received,
                                                check_queued, check_retained };
    struct checks c = { { &ops }, { 0 } };
    struct store_import_options o = { .now_s = NOW, .seed = 1 };
    struct mosquitto_db_fault fault = { 0 };
    struct store_import *s = NULL;
    int result = store_import_create(bytes_of(data, size), &o, &s, &fault);
    assert(result == 0 || (s == NULL && fault.text[0] != '\0' && fault.offset <= size));
    if (s == NULL)
        return 0;
    assert(store_import_emit(s, &c.sink) == 0);
    for (int kind = 0; kind < IMPORT_KINDS; kind++)
        assert(c.counts[kind] == store_import_report(s)->taken[kind]);
    check_fill(s);
    store_import_destroy(s);
    return 0;
}
