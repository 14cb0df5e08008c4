/* base/fake_disk.h: the file door onto a disk in memory, for tests, fuzzers and the simulator.
 *
 * It loses what a disk may lose.  A program sees its own writes at once; the disk has them for
 * certain only after sync, and names only after sync_folder.  What is in between is the subject:
 *
 *                 fake_disk_crash   fake_disk_power_loss
 *     open files  gone              gone
 *     locks       gone              gone
 *     bytes       all there         synced ones are there; each other sector is old or new,
 *                                   or new as of some moment before it was written again
 *     size        as it was         synced, or as it was, or in between
 *     names       all there         what sync_folder saw is there; each later change is made
 *                                   or not, but never one of a name without those before it
 *
 * After a failed sync the program goes on to see what it wrote, but nothing brings it to the disk
 * except writing it again: a later sync that succeeds proves nothing, as with Linux.  A crash may
 * bring some of these sectors back as they were.
 *
 * No system call, no clock; what is left to chance follows from the seeds.  One thread. */
#pragma once

#include "base/env.h"

/* What is written as one: a write may be torn at any multiple of it. */
enum { FAKE_DISK_SECTOR = 512 };

/* The most a file may have: what is longer is -EFBIG. */
enum { FAKE_DISK_FILE_MAX = 1 << 30 };

#define FAKE_DISK_CAPACITY (UINT64_C(1) << 40) /* unless a test sets another */

enum { FAKE_DISK_CHANGES = 64 }; /* of names; before there are more, the disk gets the oldest */

struct fake_disk_name;
struct fake_disk_node;
struct fake_disk_file;

/* A change of a folder that may not be on the disk yet: `to` is a name of the node, `from` is a
 * name of nothing any more.  Numbers of names and nodes; -1: none. */
struct fake_disk_change {
    int to, from, node;
};

struct fake_disk {
    struct files files; /* the door */
    bool is_network;    /* what `space` says; false */

    /* Private.  Names and nodes are known by their number; free places are kept and used again. */
    uint64_t random;
    uint64_t capacity;
    uint64_t calls, fail_in;
    int error;
    struct fake_disk_name *names;
    struct fake_disk_node **nodes;
    size_t name_count, node_count;
    struct fake_disk_file *open;
    struct fake_disk_change changes[FAKE_DISK_CHANGES]; /* the oldest first */
    size_t change_count;
};

/* An empty disk.  "." and "/" are folders; others are made with make_folder.  Paths are plain:
 * "folder/name", no "..", and there are no links.  Folders stay; a file is renamed within its
 * folder (-EXDEV). */
void fake_disk_init(struct fake_disk *d, uint64_t seed);
void fake_disk_fini(struct fake_disk *d); /* all files must have been closed */

/* The same disk and the same future, without open files and without a failure that waits.  0, or
 * -ENOMEM and *out is empty. */
int fake_disk_copy(struct fake_disk *out, const struct fake_disk *d);

/* --------------------------------------------------------------------------------- trouble ---- */

/* Open files answer -EBADF afterwards, and must still be closed by whoever has them. */
void fake_disk_crash(struct fake_disk *d);
void fake_disk_power_loss(struct fake_disk *d, uint64_t seed);

/* The nth call from now on (1 is the next one; 0: none) answers -error.  A write may then have
 * written a part from the front; a sync, some of the sectors, and the others are lost as above; a
 * sync_folder, some of the names.  All others have done nothing.  Closing is not a call. */
void fake_disk_fail_at(struct fake_disk *d, uint64_t nth, int error);
uint64_t fake_disk_calls(const struct fake_disk *d); /* since fake_disk_init */

/* Bytes of all files: beyond that, reserve answers -ENOSPC, and so does a write, after writing what
 * had room.  A removed file counts while it is open. */
void fake_disk_set_capacity(struct fake_disk *d, uint64_t bytes);

/* Damage on the disk, that reading sees at once.  0; -ENOENT; -EINVAL: not within the file. */
int fake_disk_flip_bit(struct fake_disk *d, const char *path, uint64_t bit);
int fake_disk_damage(struct fake_disk *d, const char *path, uint64_t offset, uint64_t size,
                     uint64_t seed); /* other bytes, all of them different */
int fake_disk_cut(struct fake_disk *d, const char *path, uint64_t size); /* the end is missing */

/* -------------------------------------------------------------------------- for the tests ----- */

/* None of these is a call, fails on request, or knows of the capacity. */

/* A file's bytes as a program sees them, good until the next call.  0 or -ENOENT. */
int fake_disk_file(const struct fake_disk *d, const char *path, struct bytes *out);

/* Makes the file or replaces its bytes, name and bytes on the disk for certain.  0, -ENOENT: no
 * such folder, -EISDIR, -EFBIG or -ENOMEM. */
int fake_disk_put(struct fake_disk *d, const char *path, struct bytes bytes);

void fake_disk_check(const struct fake_disk *d); /* invariants; asserts */
