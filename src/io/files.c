/* io/files.c: the file door, over Linux' system calls.
 *
 * Everything that can be interrupted is begun again, except syncing: what a sync did that did not
 * say 0 is not known, and asking twice would hide it.  Locks belong to the open file (OFD), not to
 * the process: two stores in one process keep each other out, and closing some other descriptor of
 * the file gives nothing away. */
#include "io/files.h"
#include "base/list.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

struct real_file {
    struct file file;
    int fd;
};

static int fd_of(const struct file *f)
{
    return container_of(f, struct real_file, file)->fd;
}

/* --------------------------------------------------------------------------- an open file ----- */

static ssize_t read_at(struct file *f, void *out, size_t size, uint64_t offset)
{
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd_of(f), (char *)out + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        done += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)done;
}

static int write_all(int fd, struct bytes bytes, uint64_t offset)
{
    while (bytes.size > 0) {
        ssize_t put = pwrite(fd, bytes.data, bytes.size, (off_t)offset);
        if (put < 0 && errno != EINTR)
            return -errno;
        if (put == 0)
            return -EIO; /* for ever, otherwise */
        size_t done = put > 0 ? (size_t)put : 0;
        bytes = bytes_after(bytes, done);
        offset += done;
    }
    return 0;
}

static int write_at(struct file *f, struct bytes bytes, uint64_t offset)
{
    return write_all(fd_of(f), bytes, offset);
}

static int sync_file(struct file *f)
{
    return fdatasync(fd_of(f)) == 0 ? 0 : -errno;
}

static int64_t size_of_fd(int fd)
{
    struct stat s;
    return fstat(fd, &s) == 0 ? s.st_size : -errno;
}

static int64_t file_size(struct file *f)
{
    return size_of_fd(fd_of(f));
}

/* Where the file system cannot set room aside, zeros take it.  That the room is really there may
 * only show when they are on the disk (NFS). */
static int append_zeros(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[64 * 1024];
    while (from < to) {
        size_t size = to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros;
        int error = write_all(fd, bytes_of(zeros, size), from);
        if (error != 0)
            return error;
        from += size;
    }
    return fdatasync(fd) == 0 ? 0 : -errno;
}

static int allocate(int fd, uint64_t from, uint64_t to)
{
    int failed;
    do
        failed = fallocate(fd, 0, 0, (off_t)to);
    while (failed != 0 && errno == EINTR);
    if (failed == 0)
        return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS ? append_zeros(fd, from, to) : -errno;
}

static int reserve(struct file *f, uint64_t size)
{
    int fd = fd_of(f);
    int64_t before = size_of_fd(fd);
    if (before < 0)
        return (int)before;
    if (size <= (uint64_t)before)
        return 0;
    if (size > INT64_MAX)
        return -EFBIG;
    int error = allocate(fd, (uint64_t)before, size);
    if (error != 0 && ftruncate(fd, before) != 0) /* either may have stopped half way */
        return -EIO;
    return error;
}

static int lock(struct file *f, enum file_lock how)
{
    struct flock whole = { .l_type = how == FILE_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK,
                           .l_whence = SEEK_SET };
    if (fcntl(fd_of(f), F_OFD_SETLK, &whole) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno; /* POSIX allows either */
}

static void close_file(struct file *f)
{
    if (f == NULL)
        return;
    (void)close(fd_of(f)); /* what had to reach the disk was synced */
    memory_free(container_of(f, struct real_file, file));
}

static const struct file_ops real_ops = { read_at,   write_at, sync_file, reserve,
                                          file_size, lock,     close_file };

/* -------------------------------------------------------------------------------- opening ----- */

static int expect_file(int fd)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return -errno;
    if (S_ISDIR(s.st_mode))
        return -EISDIR;
    return S_ISREG(s.st_mode) ? 0 : -EINVAL;
}

/* O_NONBLOCK: whoever put a pipe in the file's place shall not hold us up. */
static int open_flags(enum file_open how)
{
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    switch (how) {
    case FILE_READ:
        return flags | O_RDONLY;
    case FILE_WRITE:
        return flags | O_RDWR;
    case FILE_CREATE:
        return flags | O_RDWR | O_CREAT;
    }
    return -1; /* no such enum file_open */
}

static int open_fd(const char *path, int flags)
{
    int fd;
    do
        fd = openat(AT_FDCWD, path, flags, 0600);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int open_file(const struct files *files, const char *path, enum file_open how,
                     struct file **out)
{
    struct real_file *f = memory_alloc(sizeof *f);
    if (f == NULL)
        return -ENOMEM;
    int fd = open_fd(path, open_flags(how));
    int error = fd < 0 ? fd : expect_file(fd);
    if (error != 0) {
        if (fd >= 0)
            (void)close(fd); /* nothing was written */
        memory_free(f);
        return error;
    }
    *f = (struct real_file){ { &real_ops }, fd };
    *out = &f->file;
    return 0;
}

/* --------------------------------------------------------------------------------- folders ---- */

static int make_folder(const struct files *files, const char *path)
{
    return mkdir(path, 0700) == 0 ? 0 : -errno;
}

static int rename_file(const struct files *files, const char *from, const char *to)
{
    return rename(from, to) == 0 ? 0 : -errno;
}

static int remove_file(const struct files *files, const char *path)
{
    return unlink(path) == 0 ? 0 : -errno;
}

static int sync_folder(const struct files *files, const char *path)
{
    int fd = open_fd(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    int error = fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd); /* opened for reading: nothing can be lost */
    return error;
}

static int list_folder(const struct files *files, const char *path, struct buffer *out)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return -errno;
    int error = 0;
    while (error == 0) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            error = -errno; /* 0: the end */
            break;
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            error = buffer_append(out, bytes_of(name, strlen(name) + 1));
    }
    (void)closedir(folder); /* as above */
    return error;
}

static int read_to_end(int fd, struct buffer *out)
{
    enum { STEP = 16 * 1024 };
    for (;;) {
        uint8_t *room = buffer_reserve(out, STEP);
        if (room == NULL)
            return -ENOMEM;
        ssize_t got = read(fd, room, STEP);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return 0;
        buffer_commit(out, got > 0 ? (size_t)got : 0);
    }
}

static int read_file(const struct files *files, const char *path, struct buffer *out)
{
    int fd = open_fd(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    int error = read_to_end(fd, out);
    (void)close(fd); /* as above */
    return error;
}

/* ----------------------------------------------------------------------------------- space ---- */

/* What statfs(2) calls the file systems that another machine may write to; numbers of our own,
 * because linux/magic.h knows half of them.  FUSE is one: it does not tell what is behind it. */
static bool is_network_type(uint32_t type)
{
    static const uint32_t types[] = {
        0x00006969, /* NFS */
        0x0000517B, /* SMB */
        0xFF534D42, /* CIFS */
        0xFE534D42, /* SMB 2 and 3 */
        0x65735546, /* FUSE */
        0x01021997, /* 9p */
        0x00C36400, /* Ceph */
        0x5346414F, /* AFS */
        0x6B414653, /* the kernel's own AFS */
        0x73757245, /* Coda */
        0x0000564C, /* NCP */
        0x01161970, /* GFS2 */
        0x7461636F, /* OCFS2 */
        0x0BD00BD0, /* Lustre */
        0x47504653, /* GPFS */
        0xBEEFDEAD, /* StorNext */
        0xAAD7AAEA, /* PanFS */
        0x19830326, /* BeeGFS */
        0xBACBACBC, /* folders shared by VMware */
        0x786F4256, /* by VirtualBox */
        0x7C7C6673, /* by Parallels */
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i] == type)
            return true;
    return false;
}

static int space(const struct files *files, const char *path, uint64_t *bytes, bool *is_network)
{
    struct statfs s;
    int failed;
    do
        failed = statfs(path, &s);
    while (failed != 0 && errno == EINTR);
    if (failed != 0)
        return -errno;
    uint64_t block = (uint64_t)(s.f_frsize > 0 ? s.f_frsize : s.f_bsize);
    if (__builtin_mul_overflow(block, (uint64_t)s.f_bavail, bytes))
        *bytes = UINT64_MAX;
    *is_network = is_network_type((uint32_t)s.f_type);
    return 0;
}

const struct files files_real = { read_file,   list_folder, open_file,   make_folder,
                                  rename_file, remove_file, sync_folder, space };
