/* The loop against a listener in this process: connecting, losing, coming back, stopping. */
#include "client/test_peer.h"

#include "chappe/loop.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listen_on(uint16_t *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

struct fixture {
    int listener, server; /* server: the accepted end, -1: none */
    struct chappe_client *client;
    struct chappe_loop *loop;
    struct chappe_event event;
};

static void start(struct fixture *f, uint32_t reconnect_max_ms)
{
    uint16_t port;
    struct chappe_client_options options = { .version = CHAPPE_MQTT_3_1_1, .clean_start = true };
    memset(f, 0, sizeof *f);
    f->server = -1;
    f->listener = listen_on(&port);
    assert_int_equal(chappe_client_create(&options, &f->client), 0);
    struct chappe_loop_options where = { .host = "127.0.0.1",
                                         .port = port,
                                         .nodelay = true,
                                         .bind_address = "127.0.0.1",
                                         .connect_timeout_ms = 5000,
                                         .reconnect_min_ms = 2,
                                         .reconnect_max_ms = reconnect_max_ms };
    assert_int_equal(chappe_loop_create(f->client, &where, &f->loop), 0);
}

static void end(struct fixture *f)
{
    chappe_loop_destroy(f->loop);
    chappe_client_destroy(f->client);
    close(f->server);
    close(f->listener);
}

static int next(struct fixture *f, int timeout_ms)
{
    int result = chappe_loop_next(f->loop, timeout_ms, &f->event);
    return result > 0 ? (int)f->event.type : result;
}

static void server_says(struct fixture *f, const char *hex)
{
    uint8_t bytes[100];
    size_t size = peer_unhex(hex, bytes, sizeof bytes);
    assert_int_equal(write(f->server, bytes, size), size);
}

static void server_hears(struct fixture *f, const char *hex)
{
    uint8_t bytes[100], got[100];
    size_t size = peer_unhex(hex, bytes, sizeof bytes);
    assert_int_equal(recv(f->server, got, size, MSG_WAITALL), size);
    assert_memory_equal(got, bytes, size);
}

static void accept_and_greet(struct fixture *f)
{
    assert_int_equal(next(f, 0), 0); /* lets CONNECT go */
    f->server = accept(f->listener, NULL, NULL);
    assert_true(f->server >= 0);
    server_hears(f, "10 0c 0004 4d515454 04 02 0000 0000");
    server_says(f, "20 02 00 00");
    assert_int_equal(next(f, 5000), CHAPPE_EVENT_CONNECTED);
}

static void a_connection_from_begin_to_end(void **state)
{
    struct fixture f;
    start(&f, 0);
    assert_int_equal(next(&f, 0), -ENOTCONN);
    assert_int_equal(chappe_loop_connect(f.loop), 0);
    assert_int_equal(chappe_loop_connect(f.loop), -EISCONN);
    accept_and_greet(&f);
    server_says(&f, "30 04 0001 74 78");
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_MESSAGE);
    assert_text(f.event.message.payload, "x");
    assert_int_equal(next(&f, 1), 0); /* nothing more, in time */

    struct chappe_message m = { .topic = chappe_string("t") };
    assert_int_equal(chappe_client_publish(f.client, &m, NULL), 0);
    assert_int_equal(chappe_client_disconnect(f.client, CHAPPE_SUCCESS, NO_PROPERTIES), 0);
    assert_int_equal(next(&f, 0), 0);
    server_hears(&f, "30 03 0001 74 e0 00");
    close(f.server);
    f.server = -1;
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(f.event.error, 0);
    assert_int_equal(next(&f, 5000), -ENOTCONN);
    end(&f);
}

/* What the Server said before it went is read, though we were just about to write. */
static void last_words_are_read(void **state)
{
    struct fixture f;
    start(&f, 0);
    assert_int_equal(chappe_loop_connect(f.loop), 0);
    accept_and_greet(&f);
    server_says(&f, "30 04 0001 74 78 30 04 0001 74 79");
    close(f.server);
    f.server = -1;
    struct chappe_message m = { .topic = chappe_string("t") };
    assert_int_equal(chappe_client_publish(f.client, &m, NULL), 0);
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_MESSAGE);
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_MESSAGE);
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(f.event.error, -ECONNRESET);
    assert_int_equal(next(&f, 5000), -ENOTCONN);
    end(&f);
}

static void a_lost_connection_is_made_again(void **state)
{
    struct fixture f;
    start(&f, 4);
    assert_int_equal(chappe_loop_connect(f.loop), 0);
    accept_and_greet(&f);
    close(f.server);
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_DISCONNECTED);
    int result;
    while ((result = next(&f, 20)) == CHAPPE_EVENT_DISCONNECTED)
        ; /* attempts may fail while the port is closed: here it is not */
    assert_int_equal(result, 0);
    f.server = accept(f.listener, NULL, NULL);
    server_hears(&f, "10 0c 0004 4d515454 04 02 0000 0000");
    server_says(&f, "20 02 00 00");
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_CONNECTED);

    /* The port is closed now: each attempt is told. */
    close(f.listener);
    close(f.server);
    f.listener = f.server = -1;
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_DISCONNECTED);
    assert_int_equal(f.event.error, -ECONNREFUSED);
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_DISCONNECTED);
    end(&f);
}

static void a_final_refusal_is_not_tried_again(void **state)
{
    struct fixture f;
    start(&f, 4);
    assert_int_equal(chappe_loop_connect(f.loop), 0);
    assert_int_equal(next(&f, 0), 0);
    f.server = accept(f.listener, NULL, NULL);
    server_says(&f, "20 02 00 05");
    assert_int_equal(next(&f, 5000), CHAPPE_EVENT_REFUSED);
    close(f.server);
    f.server = -1;
    assert_int_equal(next(&f, 5000), -ENOTCONN);
    end(&f);
}

static void stopping_and_watching(void **state)
{
    struct fixture f;
    int pipe_ends[2];
    start(&f, 0);
    assert_int_equal(chappe_loop_connect(f.loop), 0);
    chappe_loop_stop(f.loop);
    assert_int_equal(next(&f, -1), -ECANCELED);
    assert_int_equal(next(&f, 0), 0); /* told once */
    assert_int_equal(pipe(pipe_ends), 0);
    chappe_loop_watch(f.loop, pipe_ends[0]);
    assert_int_equal(write(pipe_ends[1], "x", 1), 1);
    assert_int_equal(next(&f, -1), 0);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    end(&f);
}

static bool count_events(void *context, const struct chappe_event *event)
{
    return ++*(int *)context < 2;
}

static void run_goes_on_until_told(void **state)
{
    struct fixture f;
    int count = 0;
    start(&f, 0);
    assert_int_equal(chappe_loop_connect(f.loop), 0);
    accept_and_greet(&f);
    server_says(&f, "30 03 0001 74 30 03 0001 74 30 03 0001 74");
    assert_int_equal(chappe_loop_run(f.loop, count_events, &count), 0);
    assert_int_equal(count, 2);
    chappe_loop_stop(f.loop);
    assert_int_equal(chappe_loop_run(f.loop, count_events, &count), -ECANCELED);
    end(&f);
}

static void where_nobody_listens(void **state)
{
    struct chappe_client_options options = { .clean_start = true };
    struct chappe_client *client;
    struct chappe_loop *loop;
    uint16_t port;
    int fd = listen_on(&port);
    close(fd);
    assert_int_equal(chappe_client_create(&options, &client), 0);

    struct chappe_loop_options where = { .host = "127.0.0.1", .port = port };
    assert_int_equal(chappe_loop_create(client, &where, &loop), 0);
    assert_int_equal(chappe_loop_connect(loop), -ECONNREFUSED);
    chappe_loop_destroy(loop);

    where.unix_path = "/nowhere/at/all";
    assert_int_equal(chappe_loop_create(client, &where, &loop), 0);
    assert_int_equal(chappe_loop_connect(loop), -ENOENT);
    chappe_loop_destroy(loop);

    char long_path[200];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    where.unix_path = long_path;
    assert_int_equal(chappe_loop_create(client, &where, &loop), 0);
    assert_int_equal(chappe_loop_connect(loop), -ENAMETOOLONG);
    chappe_loop_destroy(loop);
    chappe_client_destroy(client);
}

static void a_unix_socket_will_do(void **state)
{
    struct chappe_client_options options = { .clean_start = true };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct chappe_client *client;
    struct chappe_loop *loop;
    struct chappe_event event;
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/chappe-loop-test-%d", getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(chappe_client_create(&options, &client), 0);
    struct chappe_loop_options where = { .unix_path = address.sun_path };
    assert_int_equal(chappe_loop_create(client, &where, &loop), 0);
    assert_int_equal(chappe_loop_connect(loop), 0);
    assert_int_equal(chappe_loop_next(loop, 0, &event), 0);
    chappe_loop_destroy(loop);
    chappe_client_destroy(client);
    close(listener);
    unlink(address.sun_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_from_begin_to_end),
        cmocka_unit_test(last_words_are_read),
        cmocka_unit_test(a_lost_connection_is_made_again),
        cmocka_unit_test(a_final_refusal_is_not_tried_again),
        cmocka_unit_test(stopping_and_watching),
        cmocka_unit_test(run_goes_on_until_told),
        cmocka_unit_test(where_nobody_listens),
        cmocka_unit_test(a_unix_socket_will_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
