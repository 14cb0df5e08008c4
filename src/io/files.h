/* io/files.h: the file door of the real world: files of the operating system. */
#pragma once

#include "base/env.h"

/* Static; any thread, but for what base/env.h says of an open file.
 *
 * Links are followed to a folder and by `read`; the file that `open` shall open is never one
 * (-ELOOP), nor anything but a file (-EISDIR, -EINVAL). */
extern const struct files files_real;
