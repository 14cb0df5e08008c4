/* broker/two_servers_test.c: two servers in one process do not notice each other.
 *
 * Both run on threads of their own, with real clocks and sockets; clients on loopback connections
 * talk to them in the notation of mqtt/notation.h.  That something does not arrive is seen by what
 * arrives instead: a message of the own server, sent later. */
#include "broker/server.h"
#include "io/env_real.h"
#include "mqtt/notation.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { WORKERS = 2, PATIENCE_S = 20 };

struct house {
    int port;
    struct config *config;
    struct server *server;
};

/* ---------------------------------------------------------------------------------- servers --- */

/* One that nobody uses at the moment. */
static int free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd); /* it never listened */
    return ntohs(address.sin_port);
}

/* False: somebody else was quicker with this port. */
static bool try_port(struct house *h)
{
    char text[128];
    struct config_error error = { 0 };
    snprintf(text, sizeof text, "listener %d 127.0.0.1\nallow_anonymous true\n", h->port);
    assert_int_equal(
        config_parse(&env_real, bytes_of_string(text), "test.conf", NULL, NULL, &h->config, &error),
        0);
    h->server = server_create(&env_real, h->config, NULL, WORKERS);
    assert_non_null(h->server);
    if (server_listen(h->server) == 0)
        return true;
    server_destroy(h->server);
    config_destroy(h->config);
    return false;
}

static void open_house(struct house *h)
{
    do
        h->port = free_port();
    while (!try_port(h));
    assert_int_equal(server_start(h->server), 0);
}

static void close_house(struct house *h)
{
    server_stop(h->server);
    server_join(h->server);
    server_destroy(h->server);
    config_destroy(h->config);
    h->server = NULL;
}

/* ---------------------------------------------------------------------------------- clients --- */

static void say(int fd, const char *text)
{
    struct notation n;
    struct bytes bytes = notation_read(&n, text);
    assert_int_equal(send(fd, bytes.data, bytes.size, MSG_NOSIGNAL), bytes.size);
}

/* Exactly these bytes come next. */
static void hear(int fd, const char *text)
{
    struct notation n;
    struct bytes wanted = notation_read(&n, text);
    uint8_t got[NOTATION_SIZE_MAX];
    for (size_t size = 0; size < wanted.size;) {
        ssize_t now = recv(fd, got + size, wanted.size - size, 0);
        assert_true(now > 0);
        size += (size_t)now;
    }
    assert_memory_equal(got, wanted.data, wanted.size);
}

static void hear_end(int fd)
{
    uint8_t byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    (void)close(fd); /* nothing was on its way */
}

static int visit(const struct house *h, const char *hello, const char *connack)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)h->port) };
    struct timeval patience = { .tv_sec = PATIENCE_S };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    say(fd, hello);
    hear(fd, connack);
    return fd;
}

#define HELLO_STAYS "10 { s'MQTT' 04 00 0000 s'same' }"
#define HELLO_GUEST "10 { s'MQTT' 04 02 0000 s'guest' }"

/* -------------------------------------------------------------------------------- the tests --- */

static void test_messages_stay(void **state)
{
    struct house one, two;
    open_house(&one);
    open_house(&two);
    int a = visit(&one, HELLO_STAYS, "20 { 00 00 }");
    int b = visit(&two, HELLO_STAYS, "20 { 00 00 }"); /* the same name: no takeover */
    say(a, "82 { 0001 s'#' 01 s'$share/g/s' 01 }");
    hear(a, "90 { 0001 01 01 }");
    say(b, "82 { 0001 s'#' 01 s'$share/g/s' 01 }");
    hear(b, "90 { 0001 01 01 }");

    int guest = visit(&one, HELLO_GUEST, "20 { 00 00 }");
    say(guest, "33 { s't' 0001 'of one' }");
    hear(guest, "40 { 0001 }");
    hear(a, "32 { s't' 0001 'of one' }");
    say(b, "82 { 0002 s't' 00 }"); /* nothing is retained here */
    hear(b, "90 { 0002 00 }");
    say(b, "30 { s't' 'of two' }");
    hear(b, "30 { s't' 'of two' }"); /* and this is the first that comes */
    assert_int_equal(server_metric(one.server, METRIC_publish_received), 1);
    assert_int_equal(server_metric(two.server, METRIC_publish_received), 1);
    assert_int_equal(server_metric(one.server, METRIC_clients_connected), 2);
    assert_int_equal(server_metric(two.server, METRIC_clients_connected), 1);

    (void)close(a); /* the servers clean up after them */
    (void)close(b);
    (void)close(guest);
    close_house(&two);
    close_house(&one);
}

static void test_one_stops(void **state)
{
    struct house one, two;
    open_house(&one);
    open_house(&two);
    int a = visit(&one, HELLO_STAYS, "20 { 00 00 }");
    int b = visit(&two, HELLO_STAYS, "20 { 00 00 }");
    say(b, "82 { 0001 s'#' 00 }");
    hear(b, "90 { 0001 00 }");

    close_house(&one);
    hear_end(a);
    int guest = visit(&two, HELLO_GUEST, "20 { 00 00 }");
    say(guest, "32 { s't' 0001 'still' }");
    hear(guest, "40 { 0001 }");
    hear(b, "30 { s't' 'still' }");

    open_house(&one); /* a new one: it knows nothing of the old one's Sessions */
    a = visit(&one, HELLO_STAYS, "20 { 00 00 }");
    (void)close(b);
    b = visit(&two, HELLO_STAYS, "20 { 01 00 }"); /* and this one knows its own */
    close_house(&two);
    hear_end(b);
    hear_end(guest);
    say(a, "c0 00");
    hear(a, "d0 00");
    close_house(&one);
    hear_end(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_stay),
        cmocka_unit_test(test_one_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
