"""What all interop tests share: child processes whose output one can wait for, and expectations.

Nothing here hopes that enough time has passed; every wait names what it waits for and ends with it.
"""

import itertools
import os
import re
import subprocess
import threading
import time

DEADLINE_S = 30     # a safety net, for a machine that is busy with other things; nothing takes so long
LARGE = 10_000_000  # bytes of payload

_numbers = itertools.count(1)


class Failure(Exception):
    """A test did not see what it should."""


def expect(actual, wanted, about):
    if actual != wanted:
        raise Failure(f'{about}: {short(actual)} instead of {short(wanted)}')


def short(value):
    text = repr(value)
    return text if len(text) < 300 else f'{text[:300]}... ({len(text)} characters)'


def unique(word):
    """A word that no other test of this run uses: for topics and client ids."""
    return f'{word}{next(_numbers)}'


def wait_until(is_so, about):
    """For what more than one program does together; one program has wait_for()."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise Failure(f'{about}: not in {DEADLINE_S} s')
        time.sleep(0.01)                # looks again, a hundred times a second


class Program:
    """A child process.  Its lines (standard output and error together) are kept in self.lines."""

    def __init__(self, command, input_bytes=None):
        self.command = [str(word) for word in command]
        self.lines, self.changed = [], threading.Condition()
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        stdin=subprocess.PIPE if input_bytes is not None else subprocess.DEVNULL)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if input_bytes is not None:
            self.process.stdin.write(input_bytes)
            self.process.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.decode('utf-8', 'backslashreplace').rstrip('\n'))
                self.changed.notify_all()
        with self.changed:
            self.lines.append(None)         # the end
            self.changed.notify_all()

    def failure(self, what):
        output = '\n'.join(f'    {short(line)[1:-1]}' for line in self.lines[-12:] if line is not None)
        return Failure(f'{what}\n  {" ".join(self.command)} said:\n{output or "    nothing"}')

    def wait_for(self, pattern):
        """The first line that the pattern finds something in; a match object."""
        deadline, seen = time.monotonic() + DEADLINE_S, 0
        with self.changed:
            while True:
                for line in itertools.islice(self.lines, seen, None):
                    seen += 1
                    if line is None:
                        raise self.failure(f'ended without {pattern!r}')
                    if (match := re.search(pattern, line)):
                        return match
                if not self.changed.wait_for(lambda: len(self.lines) > seen, deadline - time.monotonic()):
                    raise self.failure(f'no {pattern!r} in {DEADLINE_S} s')

    def finish(self, status=0):
        """Waits for the end and expects this exit status.  The lines."""
        try:
            actual = self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise self.failure(f'still running after {DEADLINE_S} s') from None
        self.reader.join(DEADLINE_S)
        if actual != status:
            raise self.failure(f'exit status {actual} instead of {status}')
        return self.lines[:-1]

    def kill(self):
        """SIGKILL: to the broker, a client that is gone without a DISCONNECT."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(1)             # not for ever: a grandchild may still hold the pipe


def run(command, input_bytes=None):
    """Runs a command to its end; its lines."""
    with Program(command, input_bytes) as program:
        return program.finish()


def output_of(command):
    """Runs a command to its end; its standard output, untouched."""
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)
    if result.returncode != 0:
        raise Failure(f'{" ".join(map(str, command))}: exit status {result.returncode}\n{result.stderr.decode()}')
    return result.stdout


def large_payload():
    """Bytes of every value, none of them guessable from its neighbours."""
    return os.urandom(LARGE)
