/* mqtt/packet_bench.c: nanoseconds per PUBLISH, decoded and encoded. */
#include "mqtt/packet.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 5, OPERATIONS = 2000000 };

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Keeps the compiler from dropping what nobody reads. */
static void use(const void *p)
{
    __asm__ volatile("" : : "g"(p) : "memory");
}

static struct publish sample(enum version version)
{
    struct publish p = { .qos = 1, .packet_id = 4711 };
    p.topic = BYTES("plant/7/line/3/temp/celsius");
    p.payload = BYTES("{\"value\":21.5,\"unit\":\"C\"}");
    if (version == VERSION_5_0) {
        p.properties.message_expiry_interval = 3600;
        p.properties.content_type = BYTES("application/json");
        p.properties.correlation_data = BYTES("0123456789abcdef");
        properties_add(&p.properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
        properties_add(&p.properties, PROPERTY_CONTENT_TYPE);
        properties_add(&p.properties, PROPERTY_CORRELATION_DATA);
    }
    return p;
}

static void decode_many(struct bytes whole, enum version version)
{
    struct packet packet;
    struct frame frame;
    enum reason why;
    for (int i = 0; i < OPERATIONS; i++) {
        use(&whole);
        if (frame_decode(whole, &frame) != DECODE_DONE ||
            packet_decode(whole, version, &packet, &why) != DECODE_DONE)
            abort();
        use(&packet);
    }
}

static void encode_many(const struct packet *p, enum version version, uint8_t *out)
{
    for (int i = 0; i < OPERATIONS; i++) {
        use(p);
        if (packet_size(p, version) == 0)
            abort();
        packet_encode(p, version, out);
        use(out);
    }
}

static void report(const char *what, double best_ns)
{
    printf("%-33s %5.1f ns\n", what, best_ns / OPERATIONS);
}

static void bench(enum version version, const char *name)
{
    struct packet p = { .type = PACKET_PUBLISH, .publish = sample(version) };
    uint8_t out[256];
    struct bytes whole = { out, packet_size(&p, version) };
    packet_encode(&p, version, out);

    double decode_ns = 1e18, encode_ns = 1e18;
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_ns();
        decode_many(whole, version);
        double middle = now_ns();
        encode_many(&p, version, out);
        double end = now_ns();
        decode_ns = middle - start < decode_ns ? middle - start : decode_ns;
        encode_ns = end - middle < encode_ns ? end - middle : encode_ns;
    }
    char what[64];
    snprintf(what, sizeof what, "decode PUBLISH %s", name);
    report(what, decode_ns);
    snprintf(what, sizeof what, "encode PUBLISH %s", name);
    report(what, encode_ns);
}

int main(void)
{
    bench(VERSION_3_1_1, "3.1.1");
    bench(VERSION_5_0, "5.0, 3 properties");
    return 0;
}
