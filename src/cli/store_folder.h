/* cli/store_folder.h: the folders of stores: finding one, keeping it as it is, making another. */
#pragma once

#include "base/env.h"

/* Is a store in it? */
bool store_folder_is_store(const struct files *files, const char *folder);

/* Which folder is meant: the one given, or "chappe" in it.  0; -ENOENT: there is none; or another
 * negative errno of looking. */
int store_folder_find(const struct files *files, const char *given, char *out, size_t size);

/* Bytes and number of its files. */
struct store_folder_sizes {
    uint64_t segments, segment_bytes, spares, spare_bytes;
};
int store_folder_measure(const struct files *files, const char *folder,
                         struct store_folder_sizes *out);

/* A broker gives no segment back until *out is closed.  Waits for one that is about to.  *out NULL:
 * it is a copy that no broker has used, or there is no right to it.  0 or a negative errno. */
int store_folder_keep(const struct files *files, const char *folder, struct file **out);

/* If we are root: everything in it belongs to the owner of `like`.  0 or a negative errno. */
int store_folder_give(const struct files *files, const char *folder, const char *like);

/* No broker starts on it until *out is closed; -EAGAIN: one runs.  *out NULL: as above. */
int store_folder_lock(const struct files *files, const char *folder, struct file **out);

/* ---------------------------------------------------------------------------- a new one ------- */

/* Made under a name of its own, and given its right one when it is whole. */
struct store_target {
    const struct files *files;
    const char *to;
    char partial[4096];
};

/* Makes the folder.  0; -EEXIST: something is there already; or a negative errno. */
int store_target_begin(struct store_target *t, const struct files *files, const char *to);
/* What is in it belongs to the owner of `like` (if we are root), and gets its name.  0 or a
 * negative errno. */
int store_target_finish(struct store_target *t, const char *like);
void store_target_abandon(struct store_target *t); /* removes it */
