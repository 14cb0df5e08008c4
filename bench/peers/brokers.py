"""The brokers that are compared: how each is configured, started, and stopped again.

Each is set up as somebody would who wants it fast: no limit on what is under way or waits, packets
sent at once, no log, nothing on disk; or, a second time, as somebody would who wants to lose
nothing: all on disk, as soon and as safely as it can.  What differs from its defaults stands in the
file that it is given, and these files are printed into the document.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEERS = ROOT / 'build' / 'peers'
RELAY = ROOT / 'build' / 'bench' / 'bench' / 'relay'
FETCH = ROOT / 'bench' / 'peers' / 'fetch.sh'
MEMORY_FOLDER = '/dev/shm'      # where "on disk" costs least, for those who cannot do without
DISK_FOLDER = ROOT / 'build'    # where "on disk" is meant

START_S, STOP_S = 20, 20

CHAPPE_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
workers WORKERS
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
connection_messages false
log_type error
persistence false
"""
MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
set_tcp_nodelay true
connection_messages false
log_type none
persistence false
"""
NATS_CONF = """\
server_name: bench
listen: "127.0.0.1:-1"
mqtt { host: "127.0.0.1", port: {port}, max_ack_pending: 32767, consumer_memory_storage: true }
jetstream { store_dir: "{folder}" }
max_pending: 1GB
write_deadline: "60s"
"""
NATS_DISK_CONF = NATS_CONF.replace(', consumer_memory_storage: true', '').replace(
    'store_dir: "{folder}"', 'store_dir: "{folder}"SYNC')
NATS_SYNC_SINCE = 2, 10         # before, it syncs every two minutes, whatever one asks for
CHAPPE_DISK_CONF = CHAPPE_CONF.replace('persistence false', """\
persistence true
persistence_location {folder}""")
MOSQUITTO_DISK_CONF = MOSQUITTO_CONF.replace('persistence false', """\
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1""")
AEDES_CONF = """\
{"broker": {"concurrency": 0, "maxInflightInbound": 0, "maxClientsIdLength": 65535,
            "drainTimeout": 0},
 "server": {"noDelay": true}}
"""


class Failure(Exception):
    """Why one measurement could not be made.  The others go on."""


@dataclasses.dataclass(frozen=True)
class Broker:
    """How one is run.  In `command` and `conf`, {conf}, {port} and {folder} are filled in."""
    key: str                    # for --peers
    title: str                  # for the tables
    fetched: str                # what fetch.sh calls it
    command: tuple
    conf: str = ''
    version: tuple = ()         # a command that says it
    cannot: dict = dataclasses.field(default_factory=dict)      # scenario: why
    less: dict = dataclasses.field(default_factory=dict)    # scenario: options of bench, and why
    is_relay: bool = False
    is_on_disk: bool = False

    def version_text(self):
        """The first thing in its own words that looks like a version, the name before it."""
        if not self.version:
            return self.title
        ran = subprocess.run(self.version, capture_output=True, text=True)
        found = re.search(r'v?(\d+\.\d+[\w.+~-]*)', ran.stdout + ran.stderr)
        return f'{self.title.split(",")[0]} {found.group(1) if found else "(unknown version)"}'


def program(name):
    """Where the package's program is: on the machine, or where fetch.sh unpacks it."""
    path = os.environ.get('PATH', '') + ':/usr/sbin'
    return shutil.which(name, path=path) or str(PEERS / name / 'usr' / 'sbin' / name)


def chappe(executable, workers):
    title = f'Chappe, {workers} worker{"s" if workers > 1 else ""}'
    return Broker(f'chappe-{workers}', title, 'chappe', (executable, 'broker', '-c', '{conf}'),
                  CHAPPE_CONF.replace('WORKERS', str(workers)), (executable, '--version'))


def in_memory(broker):
    """The same, where both kinds stand side by side."""
    return dataclasses.replace(broker, title=f'{broker.title.split(",")[0]}, memory')


def on_disk(broker, conf, **changes):
    return dataclasses.replace(broker, key=f'{broker.key}-disk', conf=conf, is_on_disk=True,
                               title=f'{broker.title.split(",")[0]}, disk', **changes)


RELAY_CANNOT = dict.fromkeys(
    ('wildcard', 'shared', 'connect', 'idle', 'retained', 'drain', 'new-topics', 'churn'),
    'a relay knows neither topics nor sessions')


def all_brokers(executable):
    mosquitto, nats, aedes = program('mosquitto'), program('nats-server'), PEERS / 'aedes'
    return [
        chappe(executable, 1),
        chappe(executable, 2),
        Broker('floor', 'Relay (the floor)', 'relay', (RELAY, '-p', '{port}'),
               cannot=RELAY_CANNOT, is_relay=True),
        Broker('mosquitto', 'Mosquitto', 'mosquitto', (mosquitto, '-c', '{conf}'), MOSQUITTO_CONF,
               (mosquitto, '-h')),
        Broker('nats', 'NATS', 'nats-server', (nats, '-c', '{conf}'), NATS_CONF, (nats, '-v'),
               cannot={'p2p-qos2': 'this version has no QoS 2',
                       'durable-qos2': 'this version has no QoS 2',
                       'shared': 'no Shared Subscriptions'}),
        Broker('aedes', 'Aedes', 'aedes',
               ('node', aedes / 'server.mjs', '{port}', '{conf}'), AEDES_CONF,
               ('node', '-p', f'require("{aedes}/node_modules/aedes/package.json").version'),
               cannot={'shared': 'no Shared Subscriptions'}),
    ]


MOSQUITTO_LESS = {
    'durable-queue-drain': (('--queued', '200'),
                            '200 messages for each session: it writes all that are queued again '
                            'for every few packets that it reads, and would not come to an end'),
}


def nats_sync(nats):
    """What makes it sync before it answers, if it can."""
    is_there = pathlib.Path(nats.command[0]).exists()   # not before it was fetched
    found = re.search(r'(\d+)\.(\d+)', nats.version_text()) if is_there else None
    can = found and tuple(map(int, found.groups())) >= NATS_SYNC_SINCE
    return ', sync_interval: always' if can else ''


def durable_brokers(executable):
    """Those that keep things, each in memory and on disk."""
    ours, _, _, mosquitto, nats, aedes = all_brokers(executable)
    return [
        in_memory(ours),
        on_disk(ours, CHAPPE_DISK_CONF.replace('WORKERS', '1')),
        in_memory(mosquitto),
        on_disk(mosquitto, MOSQUITTO_DISK_CONF, less=MOSQUITTO_LESS),
        in_memory(nats),
        on_disk(nats, NATS_DISK_CONF.replace('SYNC', nats_sync(nats))),
        in_memory(aedes),
    ]


def fetch(brokers):
    """Makes or installs what is missing; says what it does on stderr."""
    names = sorted({broker.fetched for broker in brokers})
    if names and subprocess.run([FETCH, *names]).returncode != 0:
        sys.exit(1)


def free_port():
    """Below the range from which the kernel takes the ports of outgoing connections."""
    for port in range(20000 + os.getpid() % 10000, 32000):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(('127.0.0.1', port))
            return port
    raise Failure('no free port')


class Running:
    """One run of one broker, fresh, on a port of its own."""

    def __init__(self, broker):
        self.broker, self.port = broker, free_port()
        memory = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None
        self.folder = tempfile.TemporaryDirectory(prefix='bench-',
                                                  dir=DISK_FOLDER if broker.is_on_disk else memory)
        # Some drop to a user of their own, and must read here, or keep what they have to keep.
        os.chmod(self.folder.name, 0o777 if broker.is_on_disk else 0o755)
        values = {'port': self.port, 'folder': self.folder.name,
                  'conf': pathlib.Path(self.folder.name, 'broker.conf')}
        values['conf'].write_text(fill(broker.conf, values))
        self.process = subprocess.Popen([fill(str(word), values) for word in broker.command],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def __enter__(self):
        try:
            self.wait_until_it_listens()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def wait_until_it_listens(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            self.check_is_alive()
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.port)):
                return
            time.sleep(0.05)
        raise Failure('the broker does not listen')

    def check_is_alive(self):
        if self.process.poll() is not None:
            raise Failure(f'the broker ended with status {self.process.returncode}')

    def cpu_by_thread_ns(self):
        """Run time of each thread that lives now."""
        tasks = pathlib.Path('/proc', str(self.process.pid), 'task')
        return {task.name: int((task / 'schedstat').read_text().split()[0])
                for task in tasks.iterdir()}


def fill(text, values):
    """Not format(): these files are full of braces of their own."""
    for name, value in values.items():
        text = text.replace('{' + name + '}', str(value))
    return text
