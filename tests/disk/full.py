"""A disk without room."""

import os

from harness import FOR_EVER, fault
from load import Load, number_of, numbered
from mqtt_bytes import CONNACK, PUBACK, PUBREC

MIB = 1024 * 1024
SMALL = 96 * MIB            # a segment, two spares, and two more segments
RESERVE = f'persistence_reserve {8 * MIB}'
SIZE, LARGE = 60_000, 1_900_000      # of a message's payload
IS_FULL, HAS_ROOM = 'is full', 'has room again'


def small_broker(t):
    folder = t.small_disk(SMALL)
    broker = t.start_broker(RESERVE, location=folder)
    broker.wait_for_log('running')
    return broker


# A little more than what may be left when a message of SIZE has been refused: what was on its way then was
# counted twice for a moment.
LARGE = 20 * SIZE


def fill(t, topic):
    """Until nothing is taken any more.  How many messages were."""
    load = Load(t.broker.address, 'load', [topic], SIZE, window=20)
    load.join()
    assert not load.is_out_of_order
    t.broker.wait_for_log(IS_FULL)
    return load.acknowledged


def expect_full(t):
    """What would have to be stored is refused, and nobody else is disturbed."""
    for qos, retain in ((1, False), (2, False), (1, True)):
        p = t.connect()
        topic = t.topic('retained') if retain else t.topic('fill')
        p.send_publish(topic, b'x' * LARGE, qos=qos, retain=retain)
        if t.version == 5:
            p.expect(PUBACK if qos == 1 else PUBREC, reason=0x97)
            p.expect_silence()
        else:
            p.expect_closed()
    s, p = t.connect(), t.connect()
    s.subscribe(t.topic('live'), qos=2)
    for qos in (0, 1, 2):
        p.publish(t.topic('live'), b'live', qos=qos)
        s.expect_message(t.topic('live'), b'live', qos=qos)


def expect_no_error(t):
    """The log comes a moment later."""
    t.let_pass(0.2)
    if t.broker.errors():
        t.fail(f'{t.broker.errors()[0]}  In the store: {sorted(os.listdir(t.broker.store))}')


def drain(client, count):
    """The first so many messages, in order."""
    found = [number_of(client.expect_message().payload) for _ in range(count)]
    assert found == list(range(count)), f'{count} were acknowledged, and {len(set(found))} came'


def expect_room(t, topic):
    """Publishing works again, by itself, a moment later."""
    for _ in range(400):
        p = t.connect()
        p.send_publish(topic, numbered(0, SIZE), qos=1)
        answer = p.receive()
        if answer is not None and answer.type == PUBACK and answer.reason == 0:
            t.broker.wait_for_log(HAS_ROOM)
            return
        p.close()
        t.let_pass(0.05)
    t.fail('there is room, and it is not used')


@fault('D6', (4, 5), 10)
def filled_by_messages_drained_and_back_again(t):
    small_broker(t)
    t.absent('s', t.topic('fill'))
    t.absent('other', t.topic('other'))
    for n in range(10):
        t.connect().publish(t.topic('other'), numbered(n, SIZE), qos=1)
    count = fill(t, t.topic('fill'))
    t.figures.append(f'{count} messages of {SIZE} bytes')
    expect_full(t)
    t.broker.restart_after_kill()
    expect_full(t)
    drain(t.back('other'), 10)
    expect_full(t)
    s = t.back('s')
    drain(s, count)
    expect_room(t, t.topic('fill'))
    # Messages that were stored, and their publisher was not told any more; and one of expect_room.
    rest = [number_of(m.payload) for m in t.waiting_for(s)]
    assert rest == [*range(count, count + len(rest) - 1), 0], rest


@fault('D6', weight=5)
def filled_by_somebody_else_who_goes_again(t):
    broker = small_broker(t)
    t.absent('s', t.topic('fill'))
    filler = os.path.join(broker.location, 'filler')
    with open(filler, 'wb') as f:
        room = os.statvfs(broker.location)
        os.posix_fallocate(f.fileno(), 0, room.f_bavail * room.f_frsize - MIB)
    count = fill(t, t.topic('fill'))
    expect_full(t)
    os.unlink(filler)
    expect_room(t, t.topic('fill'))
    found = [number_of(m.payload) for m in t.waiting_for(t.back('s'))]
    assert found[:count] == list(range(count)), (count, found[-3:])


@fault('D6', weight=4)
def many_publishers_at_once_do_not_reach_the_reserve(t):
    """What is under way when the room ends is more than what one look at the disk sees."""
    small_broker(t)
    t.absent('s', t.topic('load/+'), t.topic('fill'))
    topics = [t.topic(f'load/{n}') for n in range(8)]
    loads = [Load(t.broker.address, topic, [topic], LARGE, window=8) for topic in topics]
    for load in loads:
        load.join()
    expect_no_error(t)
    expect_full(t)
    t.broker.restart_after_kill()
    s, wanted = t.back('s'), {topic: load.acknowledged for topic, load in zip(topics, loads)}
    found = dict.fromkeys(wanted, 0)
    while any(found[topic] < count for topic, count in wanted.items()):
        message = s.expect_message()
        assert number_of(message.payload) == found[message.topic]
        found[message.topic] += 1


@fault('D6', (4, 5), 4)
def sessions_on_a_full_disk_are_refused_before_the_reserve_is_gone(t):
    small_broker(t)
    t.absent('s', t.topic('fill'))
    count = fill(t, t.topic('fill'))
    words = {'session_expiry_interval': FOR_EVER} if t.version == 5 else {}
    for n in range(1000):               # 60 MB, if they were stored
        c = t.open('newcomer')
        c.send_connect(f'{n}{"c" * SIZE}', clean_start=False, **words)
        answer = c.receive()
        c.close()
        if answer is None or answer.reason != 0:
            break
    else:
        t.fail('all were taken')
    t.transcript.clear()
    expect_no_error(t)
    drain(t.back('s'), count)


@fault('D6')
def too_small_for_any_message_and_for_any_store(t):
    folder = t.small_disk(40 * MIB)
    for _ in range(2):
        t.start_broker(RESERVE, location=folder)
        c = t.open('s')
        c.send_connect(t.client_id('s'), clean_start=False, session_expiry_interval=FOR_EVER)
        c.expect(CONNACK, reason=0x97)
        s, p = t.connect(), t.connect()
        s.subscribe(t.topic('live'), qos=2)
        p.publish(t.topic('live'), b'live', qos=2)
        s.expect_message(t.topic('live'), b'live', qos=2)
        t.broker.kill()
    broker = t.make_broker(RESERVE, location=t.small_disk(8 * MIB))
    broker.refuse('The store in ', 'no room on the disk')
    broker.refuse('The store in ', 'no room on the disk')
