"""A broker with a store: its files, and how to disturb them."""

import ctypes
import os
import re
import signal
import struct

from broker import Broker, BrokerFailure
from tracing import Trace

START_REFUSED, STORE_FAILED = 1, 4          # exit statuses
SEGMENT_SIZE = 16 * 1024 * 1024
FIRST_BATCH = 4096
BATCH_HEADER_SIZE = 40
VERSION_AT, BYTE_ORDER_AT, HEADER_SUM_AT = 8, 12, 40


class StoreBroker(Broker):
    """Its store is in location/chappe.  As root it stays root, or it could not write in our folder."""

    def __init__(self, command, lines='', location=None, user='root', **words):
        super().__init__(command, lines, **words)
        self.location = location or self.path('store')
        self.lines = f'persistence true\npersistence_location {self.location}\n{self.lines}'
        if os.geteuid() == 0:
            self.lines += f'\nuser {user}'
        self.traces = []
        if location is None:
            os.mkdir(self.location, 0o755)

    @property
    def store(self):
        return os.path.join(self.location, 'chappe')

    # ---- its life -----------------------------------------------------------------------------------

    def kill(self):
        """kill -9, and the end that it makes."""
        self.detach()
        self.signal(signal.SIGKILL)
        status = self.expect_exit()
        if status != -signal.SIGKILL:
            raise BrokerFailure(f'was killed, and ended with {status}\n{self.log_tail()}')

    def end(self):
        """As kill, for one that may have ended already."""
        self.detach()
        self.process.kill()
        self.expect_exit()

    def restart_after_kill(self):
        self.kill()
        return self.start()

    def refuse(self, *texts):
        """Starts, and expects to be told, with these texts in one line of the log, that it cannot."""
        self.forget_log()
        self.launch()
        self.expect_end(START_REFUSED, *texts)

    def expect_end(self, wanted, *texts):
        """It ends by itself; with one line in the log that says why, if that is an error."""
        status = self.expect_exit()
        if status is None:
            raise BrokerFailure(f'did not end\n{self.log_tail()}')
        lines = self.errors()
        if status != wanted or len(lines) != (wanted != 0) or any(text not in lines[0] for text in texts):
            raise BrokerFailure(f'ended with status {status}, expected {wanted} and one error with '
                                f'{", ".join(map(repr, texts))}\n{self.log_tail()}')

    def errors(self):
        return [line for line in self.log().splitlines() if 'Error: ' in line]

    def forget_log(self):
        if self.log():
            super().forget_log()

    def restored(self):
        """What it said last about what it has found, as text after 'Store FOLDER: '."""
        return re.findall(r'Store \S+: (.*)', self.log())[-1]

    # ---- strace -------------------------------------------------------------------------------------

    def trace(self, *injections):
        """From now on; one at a time."""
        self.traces.append(Trace(self.process.pid, self.path(f'trace{len(self.traces)}'), injections))
        return self.traces[-1]

    def detach(self):
        for trace in self.traces:
            trace.stop()

    def stop(self):
        self.detach()
        return super().stop()

    # ---- files --------------------------------------------------------------------------------------

    def segments(self):
        """Paths, the oldest first."""
        return sorted(os.path.join(self.store, name) for name in os.listdir(self.store) if name.endswith('.log'))

    def save(self):
        """Returns a function that puts the segments back as they are now."""
        saved = {}
        for path in self.segments():
            with open(path, 'rb') as f:
                saved[path] = f.read()

        def undo():
            for name in os.listdir(self.store):
                os.unlink(os.path.join(self.store, name))
            for path, content in saved.items():
                with open(path, 'wb') as f:
                    os.chmod(path, 0o600)
                    f.write(content)
        return undo

    def contents(self):
        """{name: hash, mode, size and time of the last change} of all that is there, but the empty lock."""
        found = {}
        for name in os.listdir(self.store):
            path = os.path.join(self.store, name)
            status = os.lstat(path)
            if name != 'lock':
                with open(path, 'rb') as f:
                    found[name] = (hash(f.read()), status.st_mode, status.st_size, status.st_mtime_ns)
        return found


def patch(path, offset, new):
    """Writes bytes into a file's middle; returns what was there."""
    with open(path, 'r+b') as f:
        f.seek(offset)
        old = f.read(len(new))
        f.seek(offset)
        f.write(new)
    return old


def flip(path, offset):
    """One bit."""
    with open(path, 'rb') as f:
        f.seek(offset)
        byte = f.read(1)[0]
    patch(path, offset, bytes((byte ^ 1,)))


def xxh3(raw):
    """The sums of the store.  The library is there: the broker needs it."""
    library = ctypes.CDLL('libxxhash.so.0')
    library.XXH3_64bits.restype = ctypes.c_uint64
    library.XXH3_64bits.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
    return library.XXH3_64bits(raw, len(raw))


def change_header(path, offset, new):
    """Another value in a segment's header, and the sum that goes with it."""
    with open(path, 'rb') as f:
        header = bytearray(f.read(HEADER_SUM_AT))
        assert f.read(8) == struct.pack('<Q', xxh3(bytes(header))), 'the sum of a header is another one now'
    header[offset:offset + len(new)] = new
    patch(path, 0, bytes(header) + struct.pack('<Q', xxh3(bytes(header))))


def batches(path):
    """(offset, size with header and padding) of each batch at the beginning of a segment."""
    found, at = [], FIRST_BATCH
    with open(path, 'rb') as f:
        raw = f.read()
    while raw[at + 8:at + 12] == b'btch':
        size = BATCH_HEADER_SIZE + struct.unpack_from('<Q', raw, at + 24)[0]
        found.append((at, size))
        at += size
    return found
