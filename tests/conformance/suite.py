"""What a test is: the @statement decorator, the configurations, and the Test object each test gets."""

import importlib
import itertools
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import mqtt_bytes as mqtt
from broker import Broker
from client import Client, Failure

HERE = Path(__file__).resolve().parent

# One broker process per configuration and run.  Lines go after `listener PORT` and `allow_anonymous`.
CONFIGS = {
    'default': '',
}
# Options that only Chappe has: their configurations are left out when another broker is tested.
CHAPPE_OPTIONS = {'workers', 'receive_maximum', 'response_information', 'server_reference', 'queue_policy',
                  'shared_subscription_strategy', 'max_retained_messages', 'max_retained_bytes',
                  'max_subscriptions_per_client', 'connect_timeout', 'packet_timeout'}


# What a configuration's tests wait for: they are written, and not run before the broker has it.
WAITS_FOR = {}


def configuration(name, lines, waits_for=None):
    """Declares a configuration; a file of tests does so above its tests.  The same again is fine."""
    if CONFIGS.setdefault(name, lines) != lines:
        raise ValueError(f'configuration {name} is declared twice, differently')
    if waits_for:
        WAITS_FOR[name] = waits_for
    return name


@dataclass(frozen=True)
class Case:
    """One test function for one protocol version."""
    numbers: tuple
    function: object
    version: int
    config: str
    slow: bool
    chappe: bool

    @property
    def name(self):
        return self.function.__name__

    @property
    def sentence(self):
        return self.name.replace('_', ' ')

    @property
    def place(self):
        code = self.function.__code__
        return f'{Path(code.co_filename).resolve().relative_to(HERE)}:{code.co_firstlineno}'

    @property
    def title(self):
        return f'{self.numbers[0]} {self.name} [v{self.version}]'

    @property
    def waits_for(self):
        return WAITS_FOR.get(self.config, '')

    def needs_chappe(self):
        words = {line.split()[0] for line in CONFIGS[self.config].splitlines() if line.strip()}
        return self.chappe or bool(words & CHAPPE_OPTIONS)


CASES = []


def statement(*numbers, config='default', version=None, versions=None, slow=False, chappe=False):
    """Marks a test.  numbers: the statements (or ids of threats and faults) that it shows.

    config    which broker it talks to; None: it starts its own (Test.start_broker)
    versions  runs once per protocol version; by default 4 for 'MQTT3-...', else 5
    slow      it waits for the broker's clock: started first, so that the waiting overlaps
    chappe    the standard leaves the point open, this is Chappe's choice
    """
    def register(function):
        for v in versions or (version or (4 if numbers[0].startswith('MQTT3-') else 5),):
            CASES.append(Case(numbers, function, v, config or 'none', slow, chappe))
        return function
    return register


CONFIGS['none'] = ''


class Test:
    """Given to each test function.  Names made here are unique in the run, so that tests may share a
    broker.  Everything that a test opens here is closed when it ends."""

    _serial = itertools.count(1)

    def __init__(self, case, broker, run):
        self.case, self.broker, self.run, self.version = case, broker, run, case.version
        self.serial = next(Test._serial)
        self.transcript, self.clients, self._brokers = [], [], []
        self._names = itertools.count(1)

    # ---- names --------------------------------------------------------------------------------------

    def topic(self, rest=''):
        """A topic of this test only: t7 or t7/rest."""
        return f't{self.serial}/{rest}' if rest else f't{self.serial}'

    def marker(self):
        """A topic for a message that only marks a point in time; no filter on topic() matches it."""
        return f'm{self.serial}/{next(self._names)}'

    def client_id(self, rest='c'):
        return f't{self.serial}{rest}'

    # ---- clients ------------------------------------------------------------------------------------

    def open(self, name=None, version=None, broker=None, receive_buffer=None):
        """A Network Connection on which nothing has been sent."""
        name = name or f'c{next(self._names)}'
        client = Client(name, (broker or self.broker).address, version or self.version, self.transcript,
                        self.run.deadline_s, receive_buffer)
        self.clients.append(client)
        return client

    def connect(self, name=None, version=None, client_id=None, broker=None, receive_buffer=None, **words):
        """A connected client; name is its label in the diagram and, by default, in its client id."""
        client = self.open(name, version, broker, receive_buffer)
        client.connect(self.client_id(client.name) if client_id is None else client_id, **words)
        return client

    # ---- whole claims -------------------------------------------------------------------------------

    def expect_nothing(self, subscriber, publisher, qos=0):
        """Whatever publisher sent before has not reached, and will not reach, subscriber: a marker
        published after it arrives first.  qos: that of the message that must not come."""
        marker = self.marker()
        subscriber.subscribe(marker, qos=qos)
        publisher.publish(marker, b'marker', qos=qos)
        subscriber.expect_message(marker, b'marker', qos=qos)
        subscriber.unsubscribe(marker)

    def expect_retained(self, topic, payload, **fields):
        """A newcomer gets this retained message; payload None: gets none."""
        reader = self.connect()
        reader.subscribe(topic, qos=fields.get('qos', 2))
        if payload is None:
            reader.expect_silence()
        else:
            reader.expect_message(topic, payload, retain=True, **fields)
        reader.disconnect()

    def expect_others_served(self, broker=None):
        """The broker still connects and serves somebody else."""
        other, topic = self.connect(broker=broker), self.marker()
        other.subscribe(topic, qos=1)
        other.publish(topic, b'alive', qos=1)
        other.expect_message(topic, b'alive')
        other.disconnect()

    def expect_malformed(self, raw, *reasons, **words):
        """Connects, sends these bytes; the connection is closed, with one of reasons if any is told
        (0x81 or 0x82 by default); nobody else is disturbed."""
        client = self.connect(**words)
        client.send(raw)
        client.expect_closed(*(reasons or (0x81, 0x82)))

    def let_pass(self, seconds):
        """The one wait for time itself: for what the broker must do, or not do, by its clock."""
        time.sleep(seconds)

    # ---- a broker of one's own ----------------------------------------------------------------------

    def start_broker(self, lines='', **words):
        """A broker for this test only; stopped, and its end checked, with the test."""
        broker = self.make_broker(lines, **words)
        broker.start()
        return broker

    def make_broker(self, lines='', **words):
        """One that is not started yet; the words are those of broker.Broker."""
        command = self.run.command + words.pop('arguments', '')
        broker = Broker(command, self.run.with_workers(lines), **words)
        self._brokers.append(broker)
        return broker

    # ---- the end ------------------------------------------------------------------------------------

    def fail(self, text):
        raise Failure(text)

    def finish(self):
        """Closes everything; the text of what was wrong with this test's own brokers."""
        for client in self.clients:
            client.socket.close()
        return '\n'.join(filter(None, (b.stop() for b in self._brokers)))


@dataclass
class Outcome:
    case: Case
    error: str          # '' if passed
    diagram: str = ''


def perform(case, broker, run):
    """Runs one test in this thread."""
    test = Test(case, broker, run)
    error = ''
    try:
        case.function(test)
    except Exception as e:      # pylint: disable=broad-except: any failure of a test is a result
        error = describe(e)
    try:
        wrong = test.finish()
    except Exception as e:      # pylint: disable=broad-except
        wrong = describe(e)
    error = '\n'.join(filter(None, (error, wrong)))
    return Outcome(case, error, diagram(test.transcript) if error else '')


def describe(error):
    """The message, and the lines of the test that led to it."""
    frames = [f for f in traceback.extract_tb(error.__traceback__)
              if Path(f.filename).parent != HERE or Path(f.filename).name == 'faults.py']
    where = [f'    {Path(f.filename).name}:{f.lineno}: {f.line}' for f in frames]
    kind = '' if isinstance(error, (Failure, mqtt.Malformed)) else f'{type(error).__name__}: '
    text = str(error) or 'assertion failed'
    return '\n'.join([kind + text] + where)


def diagram(transcript, limit=120):
    """time  client  direction  packet; one line each, long ones cut in the middle."""
    if not transcript:
        return ''
    start, width = transcript[0][0], max(len(name) for _, name, _, _ in transcript)
    lines = [f'    {(at - start) * 1000:8.1f} ms  {name:<{width}} {arrow} {text}'
             for at, name, arrow, text in transcript]
    if len(lines) > limit:
        lines[limit // 2:-limit // 2] = [f'               … {len(lines) - limit} more …']
    return '\n'.join(lines)


def number_key(number):
    """Sorts MQTT-3.1.2-9 before MQTT-3.1.2-10, 5.0 before 3.1.1, and threats after both."""
    family, _, rest = number.partition('-')
    order = {'MQTT': 0, 'MQTT3': 1}.get(family, 2)
    if order == 2:
        return (2, number[:1], int(''.join(c for c in number if c.isdigit()) or 0))
    section, _, index = rest.rpartition('-')
    return (order, [int(part) for part in section.split('.')], int(index))


def load():
    """Imports every file of tests; returns CASES in the order of their first number."""
    if not CASES:
        for path in [*sorted(HERE.glob('v5/*.py')), *sorted(HERE.glob('v3/*.py')), HERE / 'faults.py']:
            importlib.import_module('.'.join(path.relative_to(HERE).with_suffix('').parts))
        CASES.sort(key=lambda c: (number_key(c.numbers[0]), c.version))
    return CASES
