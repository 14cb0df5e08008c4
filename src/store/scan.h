/* store/scan.h: the log as it stands in the files, for tools that look at it and for opening.
 *
 * Reads segments in order and reports every batch and record, or what is wrong.  Needs no lock and
 * keeps no state: a folder that somebody is writing to gives what was complete at that moment. (Who
 * wants its segments to stay until then locks `keep`.)  Memory: the largest batch. */
#pragma once

#include "store/store.h"

struct scan_place {
    const char *path;
    uint64_t store_id;
    uint64_t segment, offset; /* of the record, or of the batch */
    uint64_t sequence;        /* of the batch; elsewhere: the one that is expected there */
};

struct scan_sink {
    /* All may be NULL.  A negative errno ends the scan, which returns it. */
    int (*on_segment)(struct scan_sink *, const struct scan_place *at, uint64_t file_size);
    int (*on_batch)(struct scan_sink *, const struct scan_place *at, uint32_t records,
                    uint64_t size);
    int (*on_record)(struct scan_sink *, const struct scan_place *at, const struct record *record,
                     struct bytes raw);
    /* The end, by the rules of the format: what is behind it was never promised.  Torn: something
     * is there, and who writes on begins a new segment.  At offset 0: this segment has no valid
     * header and nothing in it, on_segment was not called for it, and it is made anew.  Not called
     * if the last segment is of another store. */
    int (*on_end)(struct scan_sink *, const struct scan_place *at, bool is_torn);
    /* Damage: the scan goes on at the next valid batch if this returns 0. */
    int (*on_damage)(struct scan_sink *, const struct scan_place *at, const char *what);
};

/* on_record is called for records of whole, valid batches only.  0, what a sink said, or a negative
 * errno with *fault filled in: -ENOENT: no segment is there; -EBADMSG: damaged, and nobody was
 * asked; -EPROTONOSUPPORT: of another version or byte order, and no sink was called. */
int scan_folder(const struct files *files, const char *folder, struct scan_sink *sink,
                struct store_fault *fault);
