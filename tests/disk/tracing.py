"""strace on a running broker: who syncs when, and faults in its system calls."""

import re
import signal
import subprocess

CALLS = ('pwrite64', 'fdatasync', 'fsync')
LINE = re.compile(r'^(\d+) +([\d.]+) (\w+)\(.*\) += (-?\d+)')
SYNC_S = 0.3                                # what slow syncs take
SLOW_SYNC = f'fdatasync:delay_exit={int(SYNC_S * 1e6)}'


def words(path, injections):
    calls = ','.join(CALLS + tuple({i.split(':')[0] for i in injections} - set(CALLS)))
    return ['strace', '-f', '-ttt', '-o', path, '-e', f'trace={calls}',
            *(word for i in injections for word in ('-e', f'inject={i}'))]


def under_strace(injection):
    """What to write before a command so that it has this fault from its start.  The process is the
    command's own; strace goes with it."""
    return f'strace -D -f -o /dev/null -e trace={injection.split(":")[0]} -e inject={injection}'


class Trace:
    """Holds all threads of a process.  What is counted ("when=2") is counted from now on, and for each
    thread by itself; one thread writes to the store."""

    def __init__(self, pid, path, injections):
        self.path = path
        self.process = subprocess.Popen([*words(path, injections), '-p', str(pid)], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        said = self.process.stderr.readline()
        if 'attached' not in said:
            self.process.wait()
            raise OSError(f'strace cannot attach: {said.strip()}')

    def stop(self):
        if self.process.stderr.closed:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.communicate()

    def calls(self):
        """[(time, name, result)], those that never returned left out.  Once it has stopped, all."""
        with open(self.path, encoding='ascii', errors='replace') as f:
            found = (LINE.match(line) for line in f)
            return [(float(m[2]), m[3], int(m[4])) for m in found if m]

    def count(self, *names):
        return sum(1 for _, name, _ in self.calls() if name in names)
