/* io/notify_test.c: what a supervisor receives, on a datagram socket of the test's own. */
#include "io/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* Listens where `name` says, as systemd writes it: '@' first is an abstract address. */
static int listen_at(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && strlen(name) < sizeof address.sun_path);
    memcpy(address.sun_path, name, strlen(name));
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    return fd;
}

static void assert_received(int fd, const char *state)
{
    char got[64] = "";
    ssize_t size = recv(fd, got, sizeof got - 1, 0);
    assert_int_equal(size, strlen(state));
    assert_string_equal(got, state);
}

static void test_abstract_address(void **state)
{
    char name[64];
    snprintf(name, sizeof name, "@chappe-notify-test-%d", (int)getpid());
    int fd = listen_at(name);
    setenv("NOTIFY_SOCKET", name, 1);
    notify_supervisor("READY=1");
    notify_supervisor("STOPPING=1");
    assert_received(fd, "READY=1");
    assert_received(fd, "STOPPING=1");
    close(fd);
    notify_supervisor("READY=1"); /* nobody listens: nobody's trouble */
}

static void test_path(void **state)
{
    char folder[] = "/tmp/chappe-notify-XXXXXX", name[64];
    assert_non_null(mkdtemp(folder));
    snprintf(name, sizeof name, "%s/socket", folder);
    int fd = listen_at(name);
    setenv("NOTIFY_SOCKET", name, 1);
    notify_supervisor("WATCHDOG=1");
    assert_received(fd, "WATCHDOG=1");
    close(fd);
    unlink(name);
    rmdir(folder);
}

/* Without a usable address nothing happens. */
static void test_no_address(void **state)
{
    static char much_too_long[200];
    memset(much_too_long, 'a', sizeof much_too_long - 1);
    unsetenv("NOTIFY_SOCKET");
    notify_supervisor("READY=1");
    setenv("NOTIFY_SOCKET", "", 1);
    notify_supervisor("READY=1");
    setenv("NOTIFY_SOCKET", much_too_long, 1);
    notify_supervisor("READY=1");
}

static void set_or_not(const char *name, const char *value)
{
    if (value == NULL)
        unsetenv(name);
    else
        setenv(name, value, 1);
}

static void test_watchdog(void **state)
{
    char own[32];
    snprintf(own, sizeof own, "%d", (int)getpid());
    const struct {
        const char *usec, *pid;
        int64_t ns;
    } rows[] = {
        { NULL, NULL, INT64_MAX },
        { "", NULL, INT64_MAX },
        { "0", NULL, INT64_MAX },
        { "-5", NULL, INT64_MAX },
        { "words", NULL, INT64_MAX },
        { "9223372036854775807", NULL, INT64_MAX },
        { "30000000", NULL, INT64_C(15000000000) },
        { "30000000", "1", INT64_MAX }, /* meant for another process */
        { "30000000", own, INT64_C(15000000000) },
        { "1", NULL, 500 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set_or_not("WATCHDOG_USEC", rows[i].usec);
        set_or_not("WATCHDOG_PID", rows[i].pid);
        assert_int_equal(notify_watchdog_ns(), rows[i].ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_abstract_address),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_no_address),
        cmocka_unit_test(test_watchdog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
