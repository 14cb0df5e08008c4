"""What a test is: the @fault decorator, and the Test object that each one gets."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / 'conformance'))

import suite                                                    # noqa: E402
from broker import BrokerFailure                                # noqa: E402
from client import Failure                                      # noqa: E402
from mqtt_bytes import PUBLISH                                  # noqa: E402
from store import StoreBroker                                   # noqa: E402

FOR_EVER = 0xFFFFFFFF
CASES = []


class Skipped(Exception):
    """Cannot be shown here, and why."""


@dataclass(frozen=True)
class Case:
    """One test function for one protocol version."""
    id: str
    function: object
    version: int
    weight: float       # seconds that it takes, roughly: the long ones begin first
    place: str

    @property
    def sentence(self):
        return self.function.__name__.replace('_', ' ')

    @property
    def title(self):
        return f'{self.id} {self.function.__name__} [v{self.version}]'


def fault(id_, versions=(5,), weight=1):
    """Marks a test, which is given a Test.  id_: of the fault; 'order': what is on disk first."""
    def register(function):
        code = function.__code__
        place = f'{Path(code.co_filename).name}:{code.co_firstlineno}'
        CASES.extend(Case(id_, function, v, weight, place) for v in versions)
        return function
    return register


class Test(suite.Test):
    """Each starts its own broker, because it is going to suffer."""

    def __init__(self, case, run):
        super().__init__(case, None, run)
        self.figures = []                   # worth telling though nothing depends on them
        self._mounts, self._folders = [], []

    # ---- brokers ------------------------------------------------------------------------------------

    def make_broker(self, lines='', **words):
        wrap = words.pop('wrap', '')
        self.broker = StoreBroker(f'{wrap} {self.run.command}', self.run.with_workers(lines), **words)
        self._brokers.append(self.broker)
        return self.broker

    def small_disk(self, size):
        """An empty file system of its own.  Its folder; Skipped if we may not mount."""
        if os.geteuid() != 0:
            raise Skipped('only root can mount a small file system')
        self._folders.append(tempfile.TemporaryDirectory(prefix='disk-'))   # pylint: disable=consider-using-with
        image, folder = (os.path.join(self._folders[-1].name, name) for name in ('image', 'disk'))
        os.mkdir(folder)
        with open(image, 'wb') as f:
            f.truncate(size)
        for commands in ((('mkfs.ext4', '-q', '-m', '0', image), ('mount', '-o', 'loop', image, folder)),
                         (('mount', '-t', 'tmpfs', '-o', f'size={size}', 'none', folder),)):
            if all(succeeds(c) for c in commands):
                self._mounts.append(folder)
                return folder
        raise BrokerFailure('has no small disk: root can mount neither a file nor memory here (CAP_SYS_ADMIN?)')

    # ---- sessions -----------------------------------------------------------------------------------

    def durable(self, name, clean_start=False, **words):
        """A client whose session outlives its connection.  By name, the same after a restart."""
        client = self.open(name)
        if self.version == 5:
            words.setdefault('session_expiry_interval', FOR_EVER)
        client.connect(self.client_id(name), clean_start=clean_start, **words)
        return client

    def back(self, name, **words):
        """The same after a restart, and its session has to be there."""
        client = self.durable(name, **words)
        if not client.connack.session_present:
            self.fail(f'{name}: its session is gone')
        return client

    def absent(self, name, *filters, qos=2):
        """A durable session that subscribes and goes."""
        client = self.durable(name)
        client.subscribe(*filters, qos=qos)
        client.disconnect()

    def waiting_for(self, client, marker=b'the end'):
        """Everything that a client is sent, in order, until a message that we publish now."""
        topic = self.marker()
        client.subscribe(topic, qos=1)
        publisher = self.connect()
        publisher.publish(topic, marker, qos=1)
        publisher.disconnect()
        found = []
        while True:
            packet = client.receive()
            if packet is None or packet.type != PUBLISH:
                raise Failure(f'{client.name}: {packet} instead of messages')
            client.acknowledge(packet)
            if packet.topic == topic:
                return found
            found.append(packet)

    # ---- the end ------------------------------------------------------------------------------------

    def finish(self):
        wrong = super().finish()
        for folder in self._mounts:
            subprocess.run(['umount', folder], check=True)
        for folder in self._folders:
            folder.cleanup()
        return wrong


def succeeds(command):
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@dataclass
class Outcome:
    case: Case
    error: str = ''         # '' if passed
    skipped: str = ''
    diagram: str = ''
    figures: tuple = ()


def perform(case, run):
    """Runs one test in this thread."""
    test, outcome = Test(case, run), Outcome(case)
    try:
        case.function(test)
    except Skipped as e:
        outcome.skipped = str(e)
    except Exception as e:      # pylint: disable=broad-except: any failure of a test is a result
        outcome.error = suite.describe(e)
        if run.keep:
            keep(test, case, run.keep)
    try:
        wrong = test.finish()
    except Exception as e:      # pylint: disable=broad-except
        wrong = suite.describe(e)
    outcome.error = '\n'.join(filter(None, (outcome.error, wrong)))
    outcome.diagram = suite.diagram(test.transcript) if outcome.error else ''
    outcome.figures = tuple(test.figures)
    return outcome


def keep(test, case, folder):
    """What a failed test leaves behind: configuration, log, traces, stores."""
    for number, broker in enumerate(test._brokers):     # pylint: disable=protected-access
        to = Path(folder) / f'{case.function.__name__}-v{case.version}-{number}'
        shutil.copytree(broker.folder.name, to, symlinks=True, dirs_exist_ok=True)
        if os.path.isdir(broker.store):
            shutil.copytree(broker.store, to / 'store/chappe', symlinks=True, dirs_exist_ok=True)
