"""Starts a broker, waits until it listens, stops it, and says what was wrong with how it went."""

import os
import random
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import threading

STOP_S = 10         # after SIGTERM a broker is gone within this time
START_S = 20        # a safety net; an instrumented build on a busy machine is slow to start
SANITIZERS = re.compile(r'ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error: |Assertion .* failed')


class BrokerFailure(Exception):
    pass


given_ports, port_lock = set(), threading.Lock()


def free_port():
    """Below the range from which the kernel takes the ports of outgoing connections, and never the same
    twice: brokers that share their ports among workers would share them among brokers, too."""
    while True:
        port = random.randrange(20000, 32000)
        with port_lock:
            if port in given_ports:
                continue
            given_ports.add(port)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue


class Broker:
    """command: a template with {conf} and {port}.  lines: configuration after the listener line."""

    def __init__(self, command, lines='', whole_file=None, rlimit_nofile=None):
        self.command, self.lines, self.whole_file = command, lines, whole_file
        self.rlimit_nofile = rlimit_nofile
        self.folder = tempfile.TemporaryDirectory(prefix='conformance-')
        os.chmod(self.folder.name, 0o755)       # the broker may drop to another user
        self.process, self.port = None, None

    @property
    def address(self):
        return ('127.0.0.1', self.port)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        path = self.path(name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def launch(self):
        """Starts the process and does not wait for it to listen."""
        self.port = self.port or free_port()
        text = self.whole_file
        if text is None:
            text = 'listener {port} 127.0.0.1\nallow_anonymous true\n' + self.lines + '\n'
        conf = self.write('broker.conf', text.replace('{port}', str(self.port)).replace('{dir}', self.folder.name))
        words = [w.replace('{conf}', conf).replace('{port}', str(self.port)) for w in shlex.split(self.command)]
        if self.rlimit_nofile:
            words = ['sh', '-c', f'ulimit -n {self.rlimit_nofile}; exec "$@"', 'sh', *words]
        try:
            with open(self.path('log'), 'ab') as log:
                self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                cwd=self.folder.name)
        except OSError as e:
            raise BrokerFailure(f'cannot be run: {e}') from None
        return self

    def start(self):
        self.launch()
        for _ in range(START_S * 200):
            try:
                socket.create_connection(self.address, timeout=START_S).close()
                return self
            except OSError:
                try:
                    status = self.process.wait(0.005)
                except subprocess.TimeoutExpired:
                    continue
                self.process = None
                raise BrokerFailure(f'did not start, {how_it_ended(status)}\n{self.log_tail()}') from None
        raise BrokerFailure(f'does not listen on {self.port}\n{self.log_tail()}')

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def expect_exit(self, deadline_s=STOP_S):
        """Waits for an end that the test wants.  The exit status; None if it still runs."""
        try:
            status = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return None
        self.process = None
        return status

    def stop(self):
        """Stops it and removes its files.  Returns what was wrong, as text; '' if nothing."""
        wrong = []
        if self.process is not None and self.process.poll() is not None:
            wrong.append(f'died during the tests, {how_it_ended(self.process.returncode)}')
        elif self.process is not None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            status = self.expect_exit()
            if status is None:
                wrong.append(f'still there {STOP_S} s after SIGTERM')
                self.process.kill()
                self.process.wait()
            elif status != 0:
                wrong.append(f'after SIGTERM: {how_it_ended(status)}')
        if SANITIZERS.search(self.log()):
            wrong.append('reported an error of its own')
        if wrong:
            wrong.append(self.log_tail(60))
        self.process = None
        self.folder.cleanup()
        return '\n'.join(wrong)

    def log(self):
        try:
            with open(self.path('log'), encoding='utf-8', errors='backslashreplace') as f:
                return f.read()
        except FileNotFoundError:       # never launched
            return ''

    def wait_for_log(self, text, deadline_s=STOP_S):
        """Until a line of the log says so."""
        until = time.monotonic() + deadline_s
        while text not in self.log():
            if time.monotonic() > until or not self.is_alive():
                raise BrokerFailure(f'never logged "{text}"\n{self.log_tail()}')
            time.sleep(0.005)

    def forget_log(self):
        os.truncate(self.path('log'), 0)

    def log_tail(self, lines=20):
        return '\n'.join('    ' + line for line in self.log().splitlines()[-lines:])


def how_it_ended(status):
    return f'killed by {signal.Signals(-status).name}' if status < 0 else f'exit status {status}'
