/* broker/watched_disk.h: a fake disk behind a door that remembers what failed.
 *
 *     server -> watched door -> base/fake_disk
 *
 * After a write or a sync that failed, a store may promise nothing more; after another call that
 * failed, it may.  For tests: what is wrong is asserted.  One thread. */
#pragma once

#include "base/fake_disk.h"

struct watched_disk {
    struct files files; /* the door */
    struct fake_disk disk;
    unsigned open_count;     /* of files */
    bool has_failed;         /* some call has answered an error other than -ENOENT or -EEXIST */
    bool has_failed_writing; /* a write or sync has */
    bool has_failed_reading;
    uint64_t write_count, sync_count; /* calls that were made */
};

void watched_disk_init(struct watched_disk *d, uint64_t seed);
void watched_disk_fini(struct watched_disk *d);
