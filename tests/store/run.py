#!/usr/bin/python3
"""Lets a broker fill a store, and `chappe store` look at it, copy it and repair it.

Whatever is copied or repaired has to be a store: a broker starts on it, and a Client comes back for
what it is owed.  The last line is "N passed, N failed".
"""

import argparse
import ctypes
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent / 'conformance'))

from broker import Broker, BrokerFailure                        # noqa: E402
from client import Client, Failure                              # noqa: E402
from mqtt_bytes import PUBACK, PUBLISH, Will                    # noqa: E402

CHAPPE = ROOT / 'build/release/chappe'
SEGMENT_HEADER, BATCH_HEADER = 4096, 40                         # docs/formats/store.md
FOR_EVER = 0xFFFFFFFF
FINE, FAILED, USAGE = 0, 1, 2
DEADLINE_S = 60


def expect(what, text, *patterns):
    for pattern in patterns:
        if not re.search(pattern, text):
            raise Failure(f'{what}: no {pattern!r} in\n{text}')


class World:
    """A folder, brokers whose stores are in it, and their Clients."""

    def __init__(self, options, folder):
        self.options, self.folder, self.brokers, self.transcript = options, Path(folder), [], []

    def broker(self, location='data'):
        # As root it would become somebody who may not write there.
        user = 'user root\n' if os.geteuid() == 0 else ''
        (self.folder / location).mkdir(exist_ok=True)
        broker = Broker(self.options.broker, whole_file=(
            f'listener {{port}} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\npersistence true\n'
            f'persistence_location {self.folder / location}\n{user}'))
        self.brokers.append(broker)
        return broker

    def client(self, broker, name, **words):
        words.setdefault('clean_start', False)
        words.setdefault('session_expiry_interval', FOR_EVER)
        client = Client(name, broker.address, 5, self.transcript)
        client.connect(name, **words)
        return client

    def store(self, status, *words):
        """Runs `chappe store`, from the folder, and expects this exit status; all that it said."""
        command = [str(self.options.chappe), 'store', *map(str, words)]
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                                cwd=self.folder, timeout=DEADLINE_S)
        text = result.stdout + result.stderr
        if result.returncode != status:
            raise Failure(f'{" ".join(command[1:])}: exit status {result.returncode}, not {status}\n{text}')
        return text

    def segment(self, location='data', number=1):
        return self.folder / location / 'chappe' / f'{number:016x}.log'

    def refused(self, location, *patterns):
        """A broker does not start on it, and says why."""
        broker = self.broker(location)
        try:
            broker.start()
        except BrokerFailure as e:
            expect('the broker', str(e), 'exit status [1-9]', *patterns)
            return
        raise Failure(f'a broker starts on {location}')

    def stop(self):
        wrong = [broker.stop() for broker in self.brokers]
        self.brokers = []
        return '\n'.join(filter(None, wrong))


def stop(world, broker):
    world.brokers.remove(broker)
    if (wrong := broker.stop()):
        raise BrokerFailure(wrong)


def fill(world, broker, count=3):
    """A Session with count messages in its queue, one whose Client is there, and a Retained Message."""
    away = world.client(broker, 'away', user_name='alice', will=Will('w', b'gone'))
    away.subscribe('a/#', qos=2, subscription_identifier=7)
    away.disconnect()
    here = world.client(broker, 'here')
    here.subscribe('h', qos=1)
    for i in range(count):
        here.publish(f'a/{i}', f'message {i}'.encode(), qos=1 + i % 2, user_property=('k', 'v'))
    here.publish('r/1', b'kept', qos=1, retain=True)
    return here


def take(world, broker, topics):
    """The Client that was away comes back for these messages, in their order, and no others."""
    away = world.client(broker, 'away')
    if not away.connack.session_present:
        raise Failure('the session is gone')
    for topic in topics:
        away.expect_message(topic)
    away.expect_silence()
    away.disconnect()


# ---- tests ------------------------------------------------------------------------------------------

def shows_what_is_there(world):
    broker = world.broker().start()
    fill(world, broker)
    expect('check', world.store(FINE, 'check', 'data'), r'1 segments, \d+ batches, \d+ records', 'Nothing is wrong')
    expect('check', world.store(FINE, 'check', 'data/chappe/'), 'Nothing is wrong')
    expect('check', world.store(FINE, 'check', '-c', broker.path('broker.conf')), 'Nothing is wrong')
    text = world.store(FINE, 'dump', 'data')
    expect('dump', text, r'\.log:\d+ batch=\d+ put session session=\d+ client_id="away" username="alice"',
           'put subscription session=\\d+ filter="a/#" qos=2 .*subscription_id=7',
           r'append entries=\[\{queue=\d+ seq=1 qos=1 subscription_ids=\[7\]\}\] topic="a/0" .*"message 0"',
           'put retained topic="r/1"')
    live = [json.loads(line) for line in world.store(FINE, 'dump', 'data', '--live', '--messages', '--json').splitlines()]
    seen = sorted((row['kind'], row.get('client_id') or row['topic']) for row in live)
    wanted = [('queued', 'away')] * 3 + [('retained', 'r/1'), ('session', 'away'), ('session', 'here'),
                                         ('subscription', 'away'), ('subscription', 'here')]
    if seen != wanted:
        raise Failure(f'dump --live: {seen}\ninstead of {wanted}')
    text = world.store(FINE, 'dump', 'data', '--session', 'here')
    if 'away' in text or 'client_id="here"' not in text:
        raise Failure(f'dump --session here:\n{text}')
    text = world.store(FINE, 'dump', 'data', '--topic', 'a/+')
    if len(text.splitlines()) != 3:
        raise Failure(f'dump --topic a/+:\n{text}')
    stats = json.loads(world.store(FINE, 'stats', 'data', '--json'))
    top = stats['longest_queues'][0]
    if (stats['sessions'], stats['queued'], stats['retained'], top['client_id'], top['queued'],
            top['oldest']['topic']) != (2, 3, 1, 'away', 3, 'a/0'):
        raise Failure(f'stats: {stats}')
    expect('stats', world.store(FINE, 'stats', 'data'), r'queued +3 messages, in 1 queues', 'client_id="away"')


GROUP = '$share/g/a/#'


def fill_group(world, broker):
    """A group with three messages, whose only member is away; what is about it can be damaged apart."""
    member = world.client(broker, 'member')
    member.subscribe(GROUP, qos=2)
    member.disconnect()
    publisher = world.client(broker, 'publisher')
    for i in range(3):
        publisher.publish(f'a/{i}', f'message {i}'.encode(), qos=1 + i % 2)
    publisher.publish('r/1', b'kept', qos=1, retain=True)
    publisher.disconnect()


def take_from_group(world, location):
    """The member comes back to a broker on this copy, for all of it; nothing of it is left then."""
    broker = world.broker(location).start()
    member = world.client(broker, 'member')
    for i in range(3):
        member.expect_message(f'a/{i}', f'message {i}')
    member.expect_silence()
    member.disconnect()
    stop(world, broker)
    expect('check', world.store(FINE, 'check', location), 'Nothing is wrong')
    stats = json.loads(world.store(FINE, 'stats', location, '--json'))
    if (stats['groups'], stats['queued'], stats['longest_queues']) != (1, 0, []):
        raise Failure(f'stats: {stats}')


def live(world, *words):
    return [json.loads(line) for line in world.store(FINE, 'dump', 'data', '--live', '--json', *words).splitlines()]


def shows_groups(world):
    fill_group(world, world.broker().start())
    expect('check', world.store(FINE, 'check', 'data'), 'Nothing is wrong')
    text = world.store(FINE, 'dump', 'data')
    expect('dump', text, rf'put group group=\d+ filter="{re.escape(GROUP)}"', r'append entries=\[\{queue=\d+ seq=\d+ qos=1')
    rows = live(world, '--messages')
    group, = (row for row in rows if row['kind'] == 'group')
    queued = [row for row in rows if row['kind'] == 'queued']
    if (group['filter'], group['queued']) != (GROUP, 3) or 'session' in group:
        raise Failure(f'dump --live: {group}')
    if [(row['group'], row['filter'], row['topic']) for row in queued] != [
            (group['group'], GROUP, f'a/{i}') for i in range(3)] or [r for r in rows if r['kind'] == 'stray']:
        raise Failure(f'dump --live --messages: {rows}')
    for words, wanted in ((('--session', 'member'), ['session', 'subscription']), (('--topic', 'a/1'), ['queued'])):
        if (kinds := sorted(row['kind'] for row in live(world, '--messages', *words))) != wanted:
            raise Failure(f'dump --live {words}: {kinds}')
    expect('dump', world.store(FAILED, 'dump', 'data', '--live', '--session', GROUP), 'no client')
    stats = json.loads(world.store(FINE, 'stats', 'data', '--json'))
    top, = stats['longest_queues']
    if (stats['groups'], stats['queued'], top['group'], top['filter'], top['queued'], top['oldest']['topic']) != (
            1, 3, group['group'], GROUP, 3, 'a/0') or 'client_id' in top:
        raise Failure(f'stats: {stats}')
    expect('stats', world.store(FINE, 'stats', 'data'), 'subscriptions  1, shared ones in 1 groups',
           rf'queued=3 group=\d+ filter="{re.escape(GROUP)}"')


def copies_groups(world):
    """What is copied and what is repaired have the group, and what waits in it."""
    broker = world.broker().start()
    fill_group(world, broker)
    for place in 'place', 'repaired':
        (world.folder / place).mkdir()
    world.store(FINE, 'backup', 'data', 'place/chappe')
    stop(world, broker)
    rows, first = batches(world)
    broken = next(row for row in rows if row['type'] == 'put' and row['kind'] == 'retained')
    if {row['type'] for row in rows if row['batch'] == broken['batch']} != {'put'}:
        raise Failure(f'there is more in that batch: {rows}')
    flip(world.segment(), first[broken['batch']] + BATCH_HEADER + 20)
    text = world.store(FINE, 'repair', 'data', 'repaired/chappe')
    expect('repair', text, 'Skipped: 1 places, ')
    for place in 'place', 'repaired':
        take_from_group(world, place)


def refuses_wrong_usage(world):
    (world.folder / 'empty').mkdir()
    for status, pattern, words in (
            (USAGE, 'what is to be done', ()), (USAGE, "no verb 'chek'", ('chek', 'empty')),
            (USAGE, 'which store', ('check',)), (USAGE, 'where to', ('backup', 'empty')),
            (USAGE, "no option '--json'", ('check', '--json', 'empty')),
            (USAGE, 'no Topic Filter', ('dump', 'empty', '--topic', 'a/#/b')),
            (FAILED, 'no store in empty', ('check', 'empty')), (FAILED, 'no store in no', ('check', 'no')),
            (FAILED, 'Not a directory', ('check', '/dev/null')), (FINE, 'Usage', ('check', '--help'))):
        expect(' '.join(words), world.store(status, *words), pattern)


class Load(threading.Thread):
    """Publishes for the Client that is away, as fast as it is acknowledged, up to a limit that rises."""

    def __init__(self, client, size, limit):
        super().__init__()
        self.client, self.payload, self.limit, self.failure = client, bytes(size), limit, None
        self.sent = self.acknowledged = 0
        self.is_ending = False

    def run(self):
        try:
            while not self.is_ending or self.acknowledged < self.sent:
                self.turn()
        except Exception as e:                                  # told to who waits for it
            self.failure = e

    def turn(self):
        while self.sent < min(self.acknowledged + 10, self.limit) and not self.is_ending:
            self.client.send_publish(f'a/{self.sent}', self.payload, qos=1, packet_id=1 + self.sent % 60000)
            self.sent += 1
        if self.acknowledged < self.sent:
            self.client.wait_for(PUBACK)
            self.acknowledged += 1
        else:
            time.sleep(0.002)                                   # looks again

    def wait_until(self, count):
        until = time.monotonic() + DEADLINE_S
        while self.acknowledged < count:
            if self.failure or time.monotonic() > until:
                raise Failure(f'{self.acknowledged} of {count} messages were acknowledged: {self.failure}')
            time.sleep(0.002)                                   # looks again

    def end(self):
        self.is_ending = True
        self.join(DEADLINE_S)
        if self.failure:
            raise self.failure


def backup_while_it_is_used(world):
    """Three copies, over more than one segment; each has all that was acknowledged before it began."""
    broker = world.broker().start()
    here = fill(world, broker, 0)
    load, wanted = Load(here, 20000, 1000000), {}
    load.start()
    for i in range(3):
        load.wait_until((load.acknowledged or 0) + 500)
        wanted[f'copy{i}'] = load.acknowledged
        expect('backup', world.store(FINE, 'backup', 'data', f'copy{i}'), 'read back, and whole')
        expect('check', world.store(FINE, 'check', f'copy{i}'), 'Nothing is wrong')
    load.end()
    expect('backup', world.store(FAILED, 'backup', 'data', 'copy0'), 'copy0 is there already')
    expect('repair', world.store(FAILED, 'repair', 'data', 'new'), 'a broker runs on data/chappe')
    expect('check', world.store(FINE, 'check', 'data'), 'Nothing is wrong')
    for name, count in wanted.items():
        (world.folder / f'place-{name}').mkdir()
        (world.folder / name).rename(world.folder / f'place-{name}' / 'chappe')
        copy = world.broker(f'place-{name}').start()
        away = world.client(copy, 'away', receive_maximum=1000)
        for i in range(count):
            message = away.expect(PUBLISH, topic=f'a/{i}')
            away.acknowledge(message)
        away.drop()
        stop(world, copy)
    if list(world.folder.glob('*.partial*')):
        raise Failure('something is left behind')


def take_some(world, broker, load, rounds):
    """The Client that was away comes back again and again, for what has been queued until then."""
    for _ in range(rounds):
        load.wait_until(load.limit)                             # more than a segment
        away = world.client(broker, 'away', receive_maximum=1000)
        for _ in range(200):
            away.acknowledge(away.expect(PUBLISH))
        away.disconnect()
        load.limit += 200


def reads_while_segments_go(world):
    """Segments are emptied and given back meanwhile; nobody who reads misses one."""
    broker = world.broker().start()
    load = Load(fill(world, broker, 0), 100000, 250)
    load.start()
    taker = threading.Thread(target=take_some, args=(world, broker, load, 10))
    taker.start()
    rounds = 0
    while taker.is_alive() or rounds < 3:
        for verb in ('check',), ('stats',), ('dump', '--live', '--messages'), ('dump', '--session', 'away'):
            world.store(FINE, *verb, 'data')
        world.store(FINE, 'backup', 'data', f'copy{rounds}')
        world.store(FINE, 'check', f'copy{rounds}')
        rounds += 1
    load.end()
    if world.segment().exists():
        raise Failure(f'no segment has gone\n{world.store(FINE, "stats", "data")}')


def one_broker_at_a_time(world):
    broker = world.broker().start()
    fill(world, broker)
    world.refused('data', 'another broker uses it')
    broker.signal(9)
    broker.expect_exit()
    world.brokers.remove(broker)
    take(world, world.broker().start(), ['a/0', 'a/1', 'a/2'])


def batches(world, location='data'):
    """Where batches begin, and what they hold."""
    rows = [json.loads(line) for line in world.store(FINE, 'dump', location, '--json', '--full').splitlines()]
    first = {}
    for row in rows:
        first.setdefault(row['batch'], row['offset'] - BATCH_HEADER)
    return rows, first


def flip(path, offset):
    with open(path, 'r+b') as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 0x10]))


def filled(world, count=3):
    broker = world.broker().start()
    fill(world, broker, count).disconnect()
    stop(world, broker)


def repairs_damage(world):
    filled(world)
    rows, first = batches(world)
    broken = next(row for row in rows if row.get('topic') == 'a/1')
    start = first[broken['batch']]
    lost = {row['topic'] for row in rows if row['batch'] == broken['batch'] and row['type'] == 'append'}
    flip(world.segment(), broken['offset'] + 50)
    before = world.segment().read_bytes()

    place = rf'{world.segment().name}, byte {start}'
    expect('check', world.store(FAILED, 'check', 'data'), rf'DAMAGE +\S*{place}: batch \d+ is not valid',
           'chappe store repair data/chappe')
    expect('dump', world.store(FAILED, 'dump', 'data'), rf'{world.segment().name}:{start} batch=\d+ damage')
    expect('backup', world.store(FAILED, 'backup', 'data', 'copy'), place)
    world.refused('data', place)
    text = world.store(FINE, 'repair', 'data', 'new')
    expect('repair', text, rf'SKIPPED \S*{place}', rf'new/lost/{world.segment().stem}-{start}\.bin', 'mv new data/chappe')

    saved = (world.folder / f'new/lost/{world.segment().stem}-{start}.bin').read_bytes()
    if saved != before[start:start + len(saved)] or broken['offset'] + 50 > start + len(saved):
        raise Failure('the bytes that were skipped are not what was saved')
    if world.segment().read_bytes() != before:
        raise Failure('repair has changed what it read')
    expect('check', world.store(FINE, 'check', 'new'), 'Nothing is wrong')
    shutil.rmtree(world.folder / 'data' / 'chappe')
    (world.folder / 'new').rename(world.folder / 'data' / 'chappe')
    take(world, world.broker().start(), [t for t in ('a/0', 'a/1', 'a/2') if t not in lost])


def repairs_a_segment_without_header(world):
    filled(world)
    flip(world.segment(), 17)
    expect('check', world.store(FAILED, 'check', 'data'), 'byte 0: the segment\'s header is not valid')
    world.refused('data', 'the segment\'s header is not valid', r'0000000000000001\.log, byte 0')
    (world.folder / 'place').mkdir()
    expect('repair', world.store(FINE, 'repair', 'data', 'place/chappe'), 'SKIPPED')
    take(world, world.broker('place').start(), ['a/0', 'a/1', 'a/2'])


def a_torn_end_is_harmless(world):
    """The last batch is cut: as if the power had gone while it was written."""
    filled(world)
    _, first = batches(world)
    with open(world.segment(), 'r+b') as f:
        f.truncate(first[max(first)] + BATCH_HEADER + 8)
    expect('check', world.store(FINE, 'check', 'data'), 'The end is torn: .*, byte', 'harmless', 'Nothing is wrong')
    world.broker().start()


def repairs_what_two_clients_claim(world):
    """The batch in which a Session ended is lost, and its Client has had another one since."""
    broker = world.broker().start()
    fill(world, broker).disconnect()
    world.client(broker, 'away', clean_start=True).disconnect()
    world.client(broker, 'here').disconnect()
    stop(world, broker)
    rows, first = batches(world)
    ends = [row for row in rows if row['type'] == 'remove' and row['kind'] == 'session']
    if not ends:
        raise Failure(f'the session never ended: {rows}')
    flip(world.segment(), first[ends[0]['batch']] + 20)
    world.store(FAILED, 'check', 'data')
    (world.folder / 'place').mkdir()
    expect('repair', world.store(FINE, 'repair', 'data', 'place/chappe'), 'is left out, with what is queued')
    take(world, world.broker('place').start(), [])


def sum_of(header):
    library = ctypes.CDLL('libxxhash.so.0')
    library.XXH3_64bits_withSeed.restype = ctypes.c_uint64
    library.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    return library.XXH3_64bits_withSeed(header, len(header), 0)


def other_versions_are_refused(world):
    filled(world)
    good = world.segment().read_bytes()
    fields = struct.unpack_from('<8sIIQQQ', good)

    def write(order, version):
        header = struct.pack(order + '8sIIQQQ', fields[0], version, *fields[2:])
        world.segment().write_bytes(header + struct.pack(order + 'Q', sum_of(header)) + good[48:])

    for order, version in (('<', 0), ('<', 2), ('<', 99), ('>', 1)):
        write(order, version)
        changed = world.segment().read_bytes()
        for verb in (('check', 'data'), ('dump', 'data'), ('stats', 'data'), ('backup', 'data', 'copy'),
                     ('repair', 'data', 'new')):
            expect(f'{verb[0]}, version {order}{version}', world.store(FAILED, *verb), 'another version of Chappe',
                   r'0000000000000001\.log')
        world.refused('data', 'another version of Chappe')
        if world.segment().read_bytes() != changed:
            raise Failure(f'version {order}{version}: the file has been changed')
    if sorted(p.name for p in world.folder.iterdir()) != ['data']:
        raise Failure('something is left behind')
    write('<', 1)
    take(world, world.broker().start(), ['a/0', 'a/1', 'a/2'])


TESTS = [shows_what_is_there, shows_groups, copies_groups, refuses_wrong_usage, backup_while_it_is_used, reads_while_segments_go,
         one_broker_at_a_time, repairs_damage, repairs_a_segment_without_header, a_torn_end_is_harmless,
         repairs_what_two_clients_claim, other_versions_are_refused]


def perform(test, options):
    """What went wrong, or ''."""
    with tempfile.TemporaryDirectory(prefix='store-') as folder:
        world = World(options, folder)
        wrong = ''
        try:
            test(world)
        except (Failure, BrokerFailure, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as e:
            wrong = f'{type(e).__name__}: {e}'
        return '\n'.join(filter(None, [wrong, world.stop()]))


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--chappe', metavar='FILE', default=CHAPPE, help='the program (default: build/release/chappe)')
    p.add_argument('--broker', metavar='CMD', help='command with {conf} (default: FILE broker -c {conf})')
    p.add_argument('-k', action='append', metavar='TEXT', help='only tests whose name contains TEXT')
    p.add_argument('-v', '--verbose', action='store_true', help='print each test as it ends')
    options = p.parse_args(arguments)
    options.chappe = Path(options.chappe).resolve()
    options.broker = options.broker or f'{options.chappe} broker -c {{conf}}'
    return options


def main(arguments):
    options = parse(arguments)
    passed = failed = 0
    for test in TESTS:
        if not any(k in test.__name__ for k in options.k or ['']):
            continue
        wrong = perform(test, options)
        passed, failed = passed + (not wrong), failed + bool(wrong)
        if wrong:
            print(f'FAILED {test.__name__}\n  {wrong}', flush=True)
        elif options.verbose:
            print(f'passed {test.__name__}', flush=True)
    print(f'{passed} passed, {failed} failed')
    return 0 if passed and not failed else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
