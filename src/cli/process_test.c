/* cli/process_test.c: what can be seen of a process from within, or from its parent.
 *
 * What cannot be undone (another user, another stdout) is tried in a child. */
#include "cli/process.h"

#include <fcntl.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs in a child; its exit status. */
static int in_child(int (*run)(void *), void *context)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run(context));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_cpus(void **state)
{
    assert_true(process_usable_cpus() >= 1);
    assert_true(process_usable_cpus() <= sysconf(_SC_NPROCESSORS_CONF));
}

/* -------------------------------------------------------------------------------- signals ----- */

static int block_and_wait(void *context)
{
    static const int wanted[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGTERM };
    sigset_t signals;
    process_block_signals(&signals);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct timespec none = { 0 };
        (void)raise(wanted[i]); /* kills nobody */
        if (sigtimedwait(&signals, NULL, &none) != wanted[i])
            return 1;
    }
    (void)raise(SIGPIPE); /* is ignored */
    return sigismember(&signals, SIGRTMIN) == 1 ? 0 : 2;
}

static void test_signals(void **state)
{
    assert_int_equal(in_child(block_and_wait, NULL), 0);
}

/* ----------------------------------------------------------------------------------- limits --- */

static int raise_limit(void *context)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    limit.rlim_cur = limit.rlim_max < 64 ? limit.rlim_max : 64;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 2;
    process_raise_descriptor_limit();
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == limit.rlim_max ? 0 : 3;
}

static void test_descriptor_limit(void **state)
{
    assert_int_equal(in_child(raise_limit, NULL), 0);
}

/* ----------------------------------------------------------------------------------- files ---- */

static void test_pid_file(void **state)
{
    char folder[] = "/tmp/chappe-pid-XXXXXX", path[64], text[32] = "";
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pid", folder);
    for (int i = 0; i < 2; i++) { /* the second time over what is there */
        assert_int_equal(process_write_pid(path), 0);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        size_t size = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[size] = '\0';
        assert_int_equal(strtol(text, NULL, 10), getpid());
        assert_int_equal(strspn(text, "0123456789"), size); /* no newline */
    }
    assert_int_equal(process_write_pid(folder), -1);
    unlink(path);
    rmdir(folder);
}

/* ----------------------------------------------------------------------------------- stdout --- */

struct pipe_ends {
    int read, write;
    size_t size; /* to print */
};

static int print_into(void *context)
{
    static uint8_t text[1024 * 1024];
    const struct pipe_ends *p = context;
    memset(text, 'x', sizeof text);
    (void)close(p->read);
    if (dup2(p->write, STDOUT_FILENO) < 0)
        return 2;
    return process_print(bytes_of(text, p->size)) ? 0 : 1;
}

static void test_print(void **state)
{
    char got[16] = "";
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct pipe_ends p = { ends[0], ends[1], 10 };
    assert_int_equal(in_child(print_into, &p), 0);
    assert_int_equal(read(ends[0], got, sizeof got), 10);
    p.size = 1024 * 1024; /* more than a pipe holds, and nobody reads: it gives up */
    int blocked = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct pipe_ends stuck = { blocked, ends[1], p.size };
    assert_int_equal(in_child(print_into, &stuck), 1);
    (void)close(blocked);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* --------------------------------------------------------------------------------- privileges - */

struct drop_row {
    const char *user, *puid, *pgid;
    int result;
    const char *becomes; /* a user's name, a number; NULL: stays */
};

static void set_or_not(const char *name, const char *value)
{
    if (value == NULL)
        unsetenv(name);
    else
        setenv(name, value, 1);
}

static uid_t uid_of(const char *who)
{
    const struct passwd *entry = getpwnam(who);
    return entry != NULL ? entry->pw_uid : (uid_t)strtoul(who, NULL, 10);
}

static int drop(void *context)
{
    const struct drop_row *row = context;
    uid_t before = geteuid();
    unsetenv("SNAP_NAME");
    set_or_not("PUID", row->puid);
    set_or_not("PGID", row->pgid);
    if (process_drop_privileges(row->user, NULL) != row->result)
        return 1;
    if (row->becomes == NULL)
        return geteuid() == before ? 0 : 2;
    return geteuid() == uid_of(row->becomes) && getuid() == geteuid() && getegid() != 0 ? 0 : 3;
}

static void test_privileges(void **state)
{
    static const struct drop_row as_root[] = {
        { "nobody", NULL, NULL, 0, "nobody" },
        { "no-such-user-here", NULL, NULL, -1, NULL },
        { "root", NULL, NULL, 0, NULL },            /* with a warning */
        { "nobody", "12345", "12346", 0, "12345" }, /* the environment wins */
        { NULL, "12345", NULL, 0, "12345" },
        { NULL, NULL, "12345", 0, "12345" },
    };
    static const struct drop_row as_user = { "no-such-user-here", NULL, NULL, 0, NULL };
    if (geteuid() != 0) {
        assert_int_equal(in_child(drop, (void *)&as_user), 0);
        return;
    }
    for (size_t i = 0; i < sizeof as_root / sizeof as_root[0]; i++)
        assert_int_equal(in_child(drop, (void *)&as_root[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_descriptor_limit),
        cmocka_unit_test(test_pid_file),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_privileges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
