/* io/files_test.c: the real file door, in a temporary folder. */
#include "base/list.h"
#include "base/memory.h"
#include "io/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct folder {
    char path[32];
};

struct path {
    char text[320];
};

static void folder_open(struct folder *f)
{
    *f = (struct folder){ .path = "/tmp/chappe-files-XXXXXX" };
    assert_non_null(mkdtemp(f->path));
}

static struct path at(const struct folder *f, const char *name)
{
    struct path p;
    snprintf(p.text, sizeof p.text, "%s/%s", f->path, name);
    return p;
}

static void folder_close(struct folder *f)
{
    struct buffer names;
    buffer_init(&names);
    assert_int_equal(files_real.list(&files_real, f->path, &names), 0);
    for (size_t i = 0; i < names.size; i += strlen((char *)names.data + i) + 1)
        (void)remove(at(f, (char *)names.data + i).text);
    buffer_fini(&names);
    assert_int_equal(rmdir(f->path), 0);
}

static struct file *open_file(const char *path, enum file_open how)
{
    struct file *f;
    assert_int_equal(files_real.open(&files_real, path, how, &f), 0);
    return f;
}

static void make_file(const char *path, const char *text)
{
    struct file *f = open_file(path, FILE_CREATE);
    assert_int_equal(f->ops->write_at(f, bytes_of_string(text), 0), 0);
    f->ops->close(f);
}

static void assert_file(const char *path, const char *text)
{
    struct buffer whole;
    buffer_init(&whole);
    assert_int_equal(files_real.read(&files_real, path, &whole), 0);
    assert_int_equal(whole.size, strlen(text));
    assert_memory_equal(whole.data, text, whole.size);
    buffer_fini(&whole);
}

static unsigned mode_of(const char *path)
{
    struct stat s;
    assert_int_equal(lstat(path, &s), 0);
    return s.st_mode & 0777;
}

/* ------------------------------------------------------------------------------- opening ------ */

static void test_open(void **state)
{
    static const struct {
        const char *name;
        enum file_open how;
        int result;
    } rows[] = {
        { "file", FILE_READ, 0 },          { "file", FILE_WRITE, 0 },
        { "file", FILE_CREATE, 0 },        { "none", FILE_READ, -ENOENT },
        { "none", FILE_WRITE, -ENOENT },   { "none", FILE_CREATE, 0 },
        { "link", FILE_READ, -ELOOP },     { "link", FILE_WRITE, -ELOOP },
        { "link", FILE_CREATE, -ELOOP },   { "dangling", FILE_CREATE, -ELOOP },
        { "folder", FILE_READ, -EISDIR },  { "folder", FILE_WRITE, -EISDIR },
        { "pipe", FILE_READ, -EINVAL },    { "pipe", FILE_WRITE, -EINVAL },
        { "file/x", FILE_READ, -ENOTDIR }, { "none/x", FILE_CREATE, -ENOENT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct folder d;
        struct file *f = NULL;
        folder_open(&d);
        make_file(at(&d, "file").text, "text");
        assert_int_equal(symlink("file", at(&d, "link").text), 0);
        assert_int_equal(symlink("nowhere", at(&d, "dangling").text), 0);
        assert_int_equal(mkdir(at(&d, "folder").text, 0700), 0);
        assert_int_equal(mkfifo(at(&d, "pipe").text, 0600), 0);
        int result = files_real.open(&files_real, at(&d, rows[i].name).text, rows[i].how, &f);
        assert_int_equal(result, rows[i].result);
        assert_int_equal(f != NULL, result == 0);
        if (f != NULL)
            f->ops->close(f);
        assert_file(at(&d, "file").text, "text");
        assert_int_equal(access(at(&d, "nowhere").text, F_OK), -1);
        folder_close(&d);
    }
}

static void test_modes(void **state)
{
    struct folder d;
    folder_open(&d);
    mode_t before = umask(0);
    make_file(at(&d, "file").text, "");
    assert_int_equal(files_real.make_folder(&files_real, at(&d, "folder").text), 0);
    (void)umask(before);
    assert_int_equal(mode_of(at(&d, "file").text), 0600);
    assert_int_equal(mode_of(at(&d, "folder").text), 0700);
    assert_int_equal(files_real.make_folder(&files_real, at(&d, "folder").text), -EEXIST);
    folder_close(&d);
}

/* A program that is started while the store is open must not inherit it, nor its lock. */
static void test_is_closed_on_exec(void **state)
{
    struct folder d;
    folder_open(&d);
    int expected = open(d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the next descriptor */
    close(expected);
    struct file *f = open_file(at(&d, "file").text, FILE_CREATE);
    assert_int_equal(fcntl(expected, F_GETFD), FD_CLOEXEC);
    f->ops->close(f);
    assert_int_equal(fcntl(expected, F_GETFD), -1);
    folder_close(&d);
}

static void test_no_memory(void **state)
{
    struct folder d;
    struct file *f = NULL;
    struct buffer names;
    folder_open(&d);
    (void)memory_fail_at(1);
    assert_int_equal(files_real.open(&files_real, at(&d, "file").text, FILE_CREATE, &f), -ENOMEM);
    assert_null(f);
    assert_int_equal(access(at(&d, "file").text, F_OK), -1);
    make_file(at(&d, "file").text, "text");
    buffer_init(&names);
    (void)memory_fail_at(1);
    assert_int_equal(files_real.list(&files_real, d.path, &names), -ENOMEM);
    (void)memory_fail_at(1);
    assert_int_equal(files_real.read(&files_real, at(&d, "file").text, &names), -ENOMEM);
    (void)memory_fail_at(0);
    buffer_fini(&names);
    folder_close(&d);
}

/* --------------------------------------------------------------------- reading and writing ---- */

static void test_reads_what_was_written(void **state)
{
    struct folder d;
    char out[16];
    folder_open(&d);
    struct file *f = open_file(at(&d, "file").text, FILE_CREATE);
    assert_int_equal(f->ops->size(f), 0);
    assert_int_equal(f->ops->read_at(f, out, sizeof out, 0), 0);
    assert_int_equal(f->ops->write_at(f, BYTES("hello"), 2), 0);
    assert_int_equal(f->ops->write_at(f, BYTES("HE"), 2), 0);
    assert_int_equal(f->ops->write_at(f, BYTES(""), 100), 0); /* nothing */
    assert_int_equal(f->ops->sync(f), 0);
    assert_int_equal(f->ops->size(f), 7);
    assert_int_equal(f->ops->read_at(f, out, sizeof out, 0), 7);
    assert_memory_equal(out, "\0\0HEllo", 7);
    assert_int_equal(f->ops->read_at(f, out, 2, 3), 2);
    assert_memory_equal(out, "El", 2);
    assert_int_equal(f->ops->read_at(f, out, sizeof out, 7), 0);
    assert_int_equal(f->ops->read_at(f, out, 1, UINT64_MAX), -EINVAL);
    assert_int_equal(f->ops->write_at(f, BYTES("x"), UINT64_MAX), -EINVAL);
    f->ops->close(f);

    f = open_file(at(&d, "file").text, FILE_CREATE); /* kept */
    assert_int_equal(f->ops->size(f), 7);
    f->ops->close(f);
    f = open_file(at(&d, "file").text, FILE_READ);
    assert_int_equal(f->ops->write_at(f, BYTES("x"), 0), -EBADF);
    assert_true(f->ops->reserve(f, 100) < 0);
    f->ops->close(f);
    folder_close(&d);
}

/* More than one call of the system takes. */
static void test_large_write(void **state)
{
    enum { SIZE = 5 * 1024 * 1024 + 3 };
    struct folder d;
    folder_open(&d);
    uint8_t *bytes = malloc(SIZE), *out = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    struct file *f = open_file(at(&d, "file").text, FILE_CREATE);
    assert_int_equal(f->ops->write_at(f, bytes_of(bytes, SIZE), 1), 0);
    assert_int_equal(f->ops->read_at(f, out, SIZE, 1), SIZE);
    assert_memory_equal(bytes, out, SIZE);
    f->ops->close(f);
    free(bytes);
    free(out);
    folder_close(&d);
}

/* A limit cuts a write short and refuses the rest: what had room is there, and the error is told.
 */
static void test_short_write(void **state)
{
    struct folder d;
    struct rlimit before, small;
    folder_open(&d);
    struct file *f = open_file(at(&d, "file").text, FILE_CREATE);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int written = f->ops->write_at(f, BYTES("0123456789"), 995);
    int64_t size = f->ops->size(f);
    int reserved = f->ops->reserve(f, 2000);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(written, -EFBIG);
    assert_int_equal(size, 1000);
    assert_int_equal(reserved, -EFBIG);
    assert_int_equal(f->ops->size(f), 1000);
    f->ops->close(f);
    folder_close(&d);
}

static void test_reserve(void **state)
{
    enum { SIZE = 1024 * 1024 };
    struct folder d;
    struct stat s;
    char out[8];
    folder_open(&d);
    struct file *f = open_file(at(&d, "file").text, FILE_CREATE);
    assert_int_equal(f->ops->write_at(f, BYTES("abc"), 0), 0);
    assert_int_equal(f->ops->reserve(f, SIZE), 0);
    assert_int_equal(f->ops->size(f), SIZE);
    assert_int_equal(stat(at(&d, "file").text, &s), 0);
    assert_true(s.st_blocks * 512 >= SIZE);
    assert_int_equal(f->ops->reserve(f, 10), 0); /* never shorter */
    assert_int_equal(f->ops->size(f), SIZE);
    assert_int_equal(f->ops->read_at(f, out, sizeof out, 0), sizeof out);
    assert_memory_equal(out, "abc\0\0\0\0", sizeof out);
    assert_int_equal(f->ops->reserve(f, UINT64_MAX), -EFBIG);

    uint64_t room;
    bool is_network;
    assert_int_equal(files_real.space(&files_real, d.path, &room, &is_network), 0);
    assert_true(f->ops->reserve(f, room * 2 + SIZE) < 0); /* -ENOSPC, or too long for a file */
    assert_int_equal(f->ops->size(f), SIZE);              /* nothing has changed */
    f->ops->close(f);
    folder_close(&d);
}

/* ------------------------------------------------------------------- a system that fails ------ */

enum step { SYNC, SYNC_FOLDER, RESERVE };

/* From now on this call of the system answers with the error, in this process.  False: we may not.
 */
static bool refuse_call(long number, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof code[0], code };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int take_step(enum step step, struct file *f, const char *folder)
{
    switch (step) {
    case SYNC:
        return f->ops->sync(f);
    case SYNC_FOLDER:
        return files_real.sync_folder(&files_real, folder);
    case RESERVE:
        return f->ops->reserve(f, 100000);
    }
    return 0;
}

/* Zeros where fallocate is not to be had; nothing changed when there is no room; and a sync that
 * was interrupted is one that failed. */
static void test_failing_system(void **state)
{
    enum { CANNOT = 77 };
    static const struct {
        long call;
        int error;
        long other_call; /* 0: none */
        int other_error;
        enum step step;
        int result;
        int64_t size;
    } rows[] = {
        { SYS_fdatasync, EIO, 0, 0, SYNC, -EIO, 3 },
        { SYS_fdatasync, EINTR, 0, 0, SYNC, -EINTR, 3 },
        { SYS_fsync, EIO, 0, 0, SYNC_FOLDER, -EIO, 3 },
        { SYS_fallocate, ENOSPC, 0, 0, RESERVE, -ENOSPC, 3 },
        { SYS_fallocate, EDQUOT, 0, 0, RESERVE, -EDQUOT, 3 },
        { SYS_fallocate, ENOSPC, SYS_ftruncate, EIO, RESERVE, -EIO, 3 },
        { SYS_fallocate, EOPNOTSUPP, 0, 0, RESERVE, 0, 100000 },
        { SYS_fallocate, EOPNOTSUPP, SYS_fdatasync, ENOSPC, RESERVE, -ENOSPC, 3 },
        { SYS_fallocate, EOPNOTSUPP, SYS_pwrite64, ENOSPC, RESERVE, -ENOSPC, 3 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct folder d;
        int status;
        folder_open(&d);
        make_file(at(&d, "file").text, "abc");
        struct file *f = open_file(at(&d, "file").text, FILE_WRITE);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (!refuse_call(rows[i].call, rows[i].error) ||
                (rows[i].other_call != 0 && !refuse_call(rows[i].other_call, rows[i].other_error)))
                _exit(CANNOT);
            _exit(take_step(rows[i].step, f, d.path) == rows[i].result ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        int64_t size = f->ops->size(f);
        f->ops->close(f);
        folder_close(&d);
        if (WEXITSTATUS(status) == CANNOT)
            skip();
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_int_equal(size, rows[i].size);
    }
}

/* --------------------------------------------------------------------------------- locks ------ */

static void test_locks(void **state)
{
    static const struct {
        enum file_lock first, second;
        int result;
    } rows[] = {
        { FILE_LOCK_SHARED, FILE_LOCK_SHARED, 0 },
        { FILE_LOCK_SHARED, FILE_LOCK_EXCLUSIVE, -EAGAIN },
        { FILE_LOCK_EXCLUSIVE, FILE_LOCK_SHARED, -EAGAIN },
        { FILE_LOCK_EXCLUSIVE, FILE_LOCK_EXCLUSIVE, -EAGAIN },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct folder d;
        folder_open(&d);
        struct file *a = open_file(at(&d, "lock").text, FILE_CREATE);
        struct file *b = open_file(at(&d, "lock").text, FILE_WRITE);
        assert_int_equal(a->ops->lock(a, rows[i].first), 0);
        assert_int_equal(a->ops->lock(a, rows[i].first), 0); /* its own is not in the way */
        assert_int_equal(b->ops->lock(b, rows[i].second), rows[i].result);
        struct file *reader = open_file(at(&d, "lock").text, FILE_READ);
        assert_int_equal(reader->ops->lock(reader, FILE_LOCK_EXCLUSIVE), -EBADF);
        reader->ops->close(reader); /* which gives away nobody else's lock */
        assert_int_equal(b->ops->lock(b, rows[i].second), rows[i].result);
        a->ops->close(a);
        assert_int_equal(b->ops->lock(b, FILE_LOCK_EXCLUSIVE), 0);
        b->ops->close(b);
        folder_close(&d);
    }
}

/* --------------------------------------------------------------------------------- names ------ */

static void test_names(void **state)
{
    struct folder d;
    char out[1];
    folder_open(&d);
    make_file(at(&d, "new").text, "new");
    make_file(at(&d, "old").text, "old");
    struct file *old = open_file(at(&d, "old").text, FILE_READ);
    assert_int_equal(files_real.rename(&files_real, at(&d, "new").text, at(&d, "old").text), 0);
    assert_int_equal(files_real.sync_folder(&files_real, d.path), 0);
    assert_file(at(&d, "old").text, "new");
    assert_int_equal(old->ops->read_at(old, out, 1, 0), 1); /* who has it open still has it */
    assert_int_equal(out[0], 'o');
    old->ops->close(old);

    struct buffer names;
    buffer_init(&names);
    assert_int_equal(files_real.list(&files_real, d.path, &names), 0);
    assert_int_equal(names.size, 4);
    assert_memory_equal(names.data, "old", 4);
    buffer_fini(&names);

    assert_int_equal(files_real.rename(&files_real, at(&d, "new").text, at(&d, "old").text),
                     -ENOENT);
    assert_int_equal(files_real.remove(&files_real, at(&d, "new").text), -ENOENT);
    assert_int_equal(files_real.remove(&files_real, at(&d, "old").text), 0);
    assert_int_equal(access(at(&d, "old").text, F_OK), -1);
    folder_close(&d);
}

/* The operator may have put the data elsewhere, and the configuration, too. */
static void test_links_that_are_followed(void **state)
{
    struct folder d;
    folder_open(&d);
    assert_int_equal(mkdir(at(&d, "folder").text, 0700), 0);
    assert_int_equal(symlink("folder", at(&d, "data").text), 0);
    make_file(at(&d, "data/file").text, "text");
    assert_int_equal(files_real.sync_folder(&files_real, at(&d, "data").text), 0);
    assert_int_equal(symlink("folder/file", at(&d, "link").text), 0);
    assert_file(at(&d, "link").text, "text");
    assert_int_equal(files_real.remove(&files_real, at(&d, "data/file").text), 0);
    folder_close(&d);
}

static void test_what_is_not_there(void **state)
{
    struct folder d;
    struct buffer out;
    uint64_t bytes = 1;
    bool is_network = true;
    folder_open(&d);
    make_file(at(&d, "file").text, "text");
    const struct files *files = &files_real;
    buffer_init(&out);
    assert_int_equal(files->read(files, at(&d, "none").text, &out), -ENOENT);
    assert_int_equal(files->read(files, d.path, &out), -EISDIR);
    assert_int_equal(files->list(files, at(&d, "none").text, &out), -ENOENT);
    assert_int_equal(files->list(files, at(&d, "file").text, &out), -ENOTDIR);
    assert_int_equal(out.size, 0);
    assert_int_equal(files->make_folder(files, at(&d, "none/x").text), -ENOENT);
    assert_int_equal(files->remove(files, d.path), -EISDIR);
    assert_int_equal(files->sync_folder(files, at(&d, "none").text), -ENOENT);
    assert_int_equal(files->sync_folder(files, at(&d, "file").text), -ENOTDIR);
    assert_int_equal(files->space(files, at(&d, "none").text, &bytes, &is_network), -ENOENT);
    assert_int_equal(bytes, 1); /* not written */
    buffer_fini(&out);
    folder_close(&d);
}

/* Of the file systems that every Linux has. */
static void test_space(void **state)
{
    uint64_t bytes = 1;
    bool is_network = true;
    assert_int_equal(files_real.space(&files_real, "/proc", &bytes, &is_network), 0);
    assert_int_equal(bytes, 0);
    assert_false(is_network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_is_closed_on_exec),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(test_large_write),
        cmocka_unit_test(test_short_write),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_failing_system),
        cmocka_unit_test(test_locks),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_links_that_are_followed),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
