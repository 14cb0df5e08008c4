#!/usr/bin/python3
"""Takes over what Debian's Mosquitto has kept: fills one, stops it, and imports its mosquitto.db.

First the report of a dry run is compared with what was put in.  Then the file is imported into a
store, Chappe starts on it, and every Client comes back for what it is owed.  --control lets Mosquitto
itself start again instead, which shows that the expectations are right.

The last line is "N passed, N failed".
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent / 'conformance'))

from broker import Broker, BrokerFailure                        # noqa: E402
from client import Client, Failure                              # noqa: E402
from mqtt_bytes import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL  # noqa: E402

CHAPPE = ROOT / 'build/release/chappe'
FOR_EVER = 0xFFFFFFFF
COMMON = 'listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 3\npersistence true\n'


def mosquitto():
    """The broker: of this machine, or the one that tests/interop/fetch.sh unpacked."""
    path = '/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin'
    return shutil.which('mosquitto', path=path) or ROOT / 'build/interop/mosquitto/usr/sbin/mosquitto'


class World:
    """A broker on a folder, and its Clients."""

    def __init__(self, command, folder):
        # As root it would become somebody who may not write there.
        user = 'user root\n' if os.geteuid() == 0 else ''
        self.broker = Broker(command, whole_file=f'{COMMON}persistence_location {folder}/\n{user}')
        self.transcript = []
        self.broker.start()

    def client(self, name, version=5, **words):
        client = Client(name, self.broker.address, version, self.transcript)
        client.connect(name, **words)
        return client

    def back(self, name, version, **words):
        """A Client that is known already."""
        client = self.client(name, version, clean_start=False, **words)
        if not client.connack.session_present:
            raise Failure(f'{name}: the session is gone')
        return client

    def stop(self):
        return self.broker.stop()


# ---- what is put in ---------------------------------------------------------------------------------

def make_sessions(world):
    three = world.client('three', 4, clean_start=False)
    three.subscribe('a/#', qos=1)
    three.subscribe('/lead/+', qos=2)
    three.disconnect()
    five = world.client('five', 5, clean_start=False, session_expiry_interval=3600, user_name='alice')
    five.subscribe('a/+', qos=2, no_local=True, retain_as_published=True, subscription_identifier=7)
    five.disconnect()
    # 2.0 writes the user name of another Client for those without, and more than that.
    nameless = world.client('nameless', 5, clean_start=False, session_expiry_interval=FOR_EVER)
    nameless.subscribe('n/#', '//n', qos=1)
    nameless.disconnect()
    clean = world.client('clean', 4)
    clean.subscribe('a/#', qos=1)
    clean.disconnect()
    # It lives as long as its connection, which is still there at the end.
    world.client('online', 5, clean_start=False).subscribe('a/#', qos=1)


def publish(world):
    pub = world.client('pub')
    pub.publish('a/b', b'with properties', qos=1, content_type='text/plain', user_property=('key', 'value'))
    pub.publish('a/c', b'with an end', qos=2, message_expiry_interval=5000)
    pub.publish('a/zero', b'for nobody who is away', qos=0)
    pub.publish('/lead/x', b'', qos=2)
    pub.publish('r/1', b'kept', qos=1, retain=True)
    pub.publish('r/2', b'kept, too', qos=0, retain=True, message_expiry_interval=5000)
    pub.publish('r/3', b'replaced', qos=2, retain=True)
    pub.publish('r/3', b'new', qos=2, retain=True)
    pub.publish('r/4', b'cleared', qos=1, retain=True)
    pub.publish('r/4', b'', qos=1, retain=True)
    pub.disconnect()


def leave_in_flight(world):
    """Three in flight, one of them released, and three behind them."""
    inflight = world.client('inflight', 4, clean_start=False)
    inflight.subscribe('f/#', qos=2)
    pub = world.client('pub')
    for i, qos in enumerate((1, 2, 2, 1, 0, 1, 2)):
        pub.publish(f'f/{i}', f'flight {i}'.encode(), qos=qos)
    sent = [inflight.wait_for(PUBLISH) for _ in range(3)]
    inflight.send_ack(PUBREC, sent[1].packet_id)
    inflight.wait_for(PUBREL, sent[1].packet_id)
    inflight.drop()
    pub.disconnect()


def leave_incoming(world):
    """QoS 2, acknowledged with PUBREC, and not released."""
    incoming = world.client('incoming', 4, clean_start=False)
    for topic, retain in (('a/in', False), ('a/keep', True)):
        incoming.wait_for(PUBREC, incoming.send_publish(topic, b'on its way', qos=2, retain=retain))
    incoming.drop()


def filled(folder):
    """The mosquitto.db of a Mosquitto that has seen all this, with how it ended."""
    world = World(f'{mosquitto()} -c {{conf}}', folder)
    make_sessions(world)
    publish(world)
    leave_in_flight(world)
    leave_incoming(world)
    if (wrong := world.stop()):
        raise BrokerFailure(f'mosquitto {wrong}')
    return Path(folder) / 'mosquitto.db'


# ---- the report -------------------------------------------------------------------------------------

TAKEN = {
    'sessions': 5,              # three, five, nameless, inflight, incoming
    'subscriptions': 6,
    # three: 3, five: 2, inflight: 6, and the two that came in, for three and five
    'queued messages': 3 + 2 + 6 + 2 * 2,
    'received packet ids': 2,
    'retained messages': 4,     # r/1, r/2, r/3, a/keep
}
# Mosquitto 2.1 does not write it at all.
LEFT = {('sessions', 'ended with the connection'), ('subscriptions', 'of a session that is left out'),
        ('queued messages', 'of a session that is left out'),
        ('subscriptions', 'of a client that is not in the file')}


def dry_run(options, path):
    command = [options.chappe, 'store', 'import', '--dry-run', '--verbose', str(path)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    if result.returncode != 0:
        raise Failure(f'{" ".join(map(str, command))}: exit status {result.returncode}\n{result.stderr}')
    return result.stdout


def check_report(options, path):
    text, kind = dry_run(options, path), None
    taken, left = {}, set()
    for line in text.splitlines():
        if (match := re.match(r'(\S.*?) +(\d+) taken over$', line)):
            kind = match[1]
            taken[kind] = int(match[2])
        elif (match := re.match(r' +\d+ left out: (.*)', line)):
            left.add((kind, match[1]))
    if 'format 6, saved when Mosquitto stopped' not in text or taken != TAKEN or left - LEFT:
        raise Failure(f'taken {taken}\ninstead of {TAKEN}\nleft out {left}\n{text}')


def check_refusal(options, path):
    """A file that was cut is refused, by the byte."""
    cut = path.with_name('cut.db')
    cut.write_bytes(path.read_bytes()[:-3])
    try:
        text = dry_run(options, cut)
    except Failure as e:
        if not re.search(r'cut\.db, byte \d+: Retained Message: the file ends', str(e)):
            raise
        return
    raise Failure(f'a file that was cut is taken:\n{text}')


# ---- what comes out ---------------------------------------------------------------------------------

def expect_messages(client, *wanted):
    """These, each (topic, payload, qos), for the first time and in their order; then nothing."""
    for topic, payload, qos in wanted:
        client.expect_message(topic, payload, qos=qos, dup=False)
    client.expect_silence()


def check_incoming(world):
    """A repetition is answered and not handed on again; then it is released."""
    incoming = world.back('incoming', 4)
    incoming.send_publish('a/in', b'on its way', qos=2, dup=True, packet_id=1)
    incoming.wait_for(PUBREC, 1)
    for packet_id in (1, 2):
        incoming.send_ack(PUBREL, packet_id)
        incoming.wait_for(PUBCOMP, packet_id)
    incoming.disconnect()


def check_three(world):
    expect_messages(world.back('three', 4), ('a/b', 'with properties', 1), ('a/c', 'with an end', 1),
                    ('/lead/x', '', 2), ('a/in', 'on its way', 1), ('a/keep', 'on its way', 1))


def check_five(world):
    five = world.back('five', 5, session_expiry_interval=3600, user_name='alice')
    five.expect_message('a/b', 'with properties', qos=1, content_type='text/plain', user_property=[('key', 'value')],
                        subscription_identifier=[7])
    with_end = five.expect_message('a/c', 'with an end', qos=2, subscription_identifier=[7])
    if not 4000 < (with_end.get('message_expiry_interval') or 0) <= 5000:
        raise Failure(f'five: {with_end} should end')
    five.expect_message('a/in', 'on its way', qos=2, retain=False)
    five.expect_message('a/keep', 'on its way', qos=2, retain=True)
    five.expect_silence()


def check_inflight(world):
    inflight = world.back('inflight', 4)
    again, released = [], []
    while len(again) + len(released) < 3:
        packet = inflight.receive()
        (again if packet.type == PUBLISH else released).append(packet)
    seen = [(m.topic, m.payload.decode(), m.qos, m.dup, m.packet_id) for m in again]
    if (seen != [('f/0', 'flight 0', 1, True, 1), ('f/2', 'flight 2', 2, True, 3)] or
            [(r.type, r.packet_id) for r in released] != [(PUBREL, 2)]):
        raise Failure(f'inflight: {again} {released}')
    inflight.send_ack(PUBACK, again[0].packet_id)
    inflight.send_ack(PUBCOMP, released[0].packet_id)
    inflight.send_ack(PUBREC, again[1].packet_id)
    inflight.wait_for(PUBREL, again[1].packet_id)
    inflight.send_ack(PUBCOMP, again[1].packet_id)
    expect_messages(inflight, ('f/3', 'flight 3', 1), ('f/5', 'flight 5', 1),
                    ('f/6', 'flight 6', 2))


def check_retained(world):
    anybody = world.client('anybody')
    anybody.subscribe('r/#', 'a/keep', qos=2)
    seen = {}
    for _ in range(4):
        message = anybody.wait_for(PUBLISH)
        anybody.acknowledge(message)
        seen[message.topic] = (message.payload, message.qos, message.retain)
    anybody.expect_silence()
    if seen != {'r/1': (b'kept', 1, True), 'r/2': (b'kept, too', 0, True), 'r/3': (b'new', 2, True),
                'a/keep': (b'on its way', 2, True)}:
        raise Failure(f'retained: {seen}')


def check_subscriptions(world):
    """They still stand, with their options."""
    nameless, five = world.back('nameless', 5, session_expiry_interval=60), world.back('five', 5)
    five.publish('n/1', b'new', qos=2)
    five.publish('//n', b'new', qos=1)
    expect_messages(nameless, ('n/1', 'new', 1), ('//n', 'new', 1))
    five.publish('a/own', b'new', qos=1)        # No Local
    five.expect_silence()
    nameless.publish('a/other', b'new', qos=1)
    five.expect_message('a/other', 'new', qos=1, subscription_identifier=[7])


def run_import(options, path, location):
    """Exit status, and what was said."""
    result = subprocess.run([options.chappe, 'store', 'import', '--store', location, path], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False, timeout=60)
    return result.returncode, result.stdout + result.stderr


def expect_import(options, path, location, status, text):
    done, said = run_import(options, path, location)
    if done != status or text not in said:
        raise Failure(f'import: exit status {done} instead of {status}, or not "{text}":\n{said}')


def check_places(options, path):
    """Only into what is nobody's: and then it is there as a whole."""
    location = path.parent / 'places'
    store = location / 'chappe'
    expect_import(options, path, location, 1, 'there is no folder')
    location.mkdir()
    store.mkdir()
    (store / 'something').touch()
    expect_import(options, path, location, 1, 'is no store')
    (store / 'something').unlink()
    store.rmdir()
    World(options.broker, location).stop()      # leaves an empty one
    (location / 'chappe.import').mkdir()        # an import that was interrupted
    (location / 'chappe.import/0000000000000001.log').write_bytes(b'half')
    expect_import(options, path, location, 0, 'persistence_location')
    expect_import(options, path, location, 1, 'in use')
    expect_import(options, path, store, 1, 'in use')
    if [p.name for p in location.iterdir()] != ['chappe']:
        raise Failure(f'left: {list(location.iterdir())}')
    world = World(options.broker, location)
    try:
        expect_import(options, path, location, 1, 'a broker is running')
    finally:
        world.stop()


def restarted(options, path):
    """The broker that is to know all of it."""
    if options.control:
        return World(f'{mosquitto()} -c {{conf}}', path.parent)
    location = path.parent / 'store'
    location.mkdir()
    expect_import(options, path, location, 0, 'persistence_location')
    return World(options.broker, location)


# ---- the run ----------------------------------------------------------------------------------------

class Results:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, test, *arguments):
        try:
            test(*arguments)
            self.passed += 1
        except (Failure, BrokerFailure, OSError, subprocess.SubprocessError) as e:
            self.failed += 1
            print(f'FAILED {name}\n  {e}', flush=True)


def deliver(options, path, results):
    world = restarted(options, path)
    for test in (check_incoming, check_three, check_five, check_inflight, check_retained, check_subscriptions):
        results.check(test.__name__, test, world)
    if (wrong := world.stop()):
        raise BrokerFailure(wrong)


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--chappe', metavar='FILE', default=CHAPPE, help='the program that imports')
    p.add_argument('--broker', metavar='CMD', help='what starts on the store (default: chappe broker -c {conf})')
    p.add_argument('--report', action='store_true', help='only compare the report: nothing is written')
    p.add_argument('--control', action='store_true', help='let Mosquitto itself start again, and nothing else')
    options = p.parse_args(arguments)
    options.broker = options.broker or f'{options.chappe} broker -c {{conf}}'
    return options


def main(arguments):
    options, results = parse(arguments), Results()
    with tempfile.TemporaryDirectory(prefix='import-') as folder:
        try:
            path = filled(folder)
            if not options.control:
                results.check('the report', check_report, options, path)
                results.check('a damaged file', check_refusal, options, path)
            if not options.report and not options.control:
                results.check('places', check_places, options, path)
            if not options.report:
                deliver(options, path, results)
        except (Failure, BrokerFailure) as e:
            results.failed += 1
            print(f'FAILED {e}', flush=True)
    print(f'{results.passed} passed, {results.failed} failed')
    return 0 if results.passed and not results.failed else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
