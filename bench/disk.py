"""The disk itself: what a commit costs there when nobody does anything else."""

import os
import pathlib
import time

APPEND, OVERWRITE = 512, 4096       # bytes
COUNT = 300                         # commits of each kind
OVERWRITTEN = 16 * 2 ** 20          # bytes of the file


def file_system(folder):
    """Its type and device, of the innermost mount that the folder is in."""
    folder, found = str(pathlib.Path(folder).resolve()), ('', 'unknown', 'unknown')
    for line in pathlib.Path('/proc/self/mountinfo').read_text().splitlines():
        fields, kind = (part.split() for part in line.split(' - ', 1))
        where = fields[4]
        is_inside = where == '/' or (folder + '/').startswith(where + '/')
        if is_inside and len(where) >= len(found[0]):
            found = where, kind[0], kind[1]
    return {'type': found[1], 'device': found[2]}


def commit_times(folder):
    """p50 and p99 of a write and its fdatasync, in microseconds: at the end of a file that grows,
    and over bytes that are there already."""
    path = pathlib.Path(folder, f'commits-{os.getpid()}')
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        appends = times(fd, os.urandom(APPEND))
        os.pwrite(fd, os.urandom(OVERWRITTEN), 0)
        os.fsync(fd)
        overwrites = times(fd, os.urandom(OVERWRITE))
    finally:
        os.close(fd)
        path.unlink()
    return {'append_p50_us': quantile(appends, 0.50), 'append_p99_us': quantile(appends, 0.99),
            'overwrite_p50_us': quantile(overwrites, 0.50),
            'overwrite_p99_us': quantile(overwrites, 0.99)}


def times(fd, what):
    """Microseconds of each of COUNT commits, one behind the other in the file."""
    taken = []
    for at in range(0, COUNT * len(what), len(what)):
        begin = time.perf_counter_ns()
        os.pwrite(fd, what, at)
        os.fdatasync(fd)
        taken.append((time.perf_counter_ns() - begin) / 1000)
    return taken


def quantile(values, fraction):
    return sorted(values)[min(int(len(values) * fraction), len(values) - 1)]
