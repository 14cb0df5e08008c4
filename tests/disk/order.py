"""What is on the disk before an answer goes out, with each sync slowed: an answer that promises
something cannot come sooner than a sync takes.  That is no test of speed."""

import signal
import time
from contextlib import contextmanager

from client import Failure
from harness import FOR_EVER, fault
from mqtt_bytes import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Will
from tracing import SLOW_SYNC, SYNC_S


@contextmanager
def a_sync():
    """What happens in here takes as long as a sync."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    if took < SYNC_S:
        raise Failure(f'the answer came after {took * 1e3:.0f} ms, and a sync takes {SYNC_S * 1e3:.0f}')


def receipt(publisher, topic):
    """QoS 2 as far as PUBREC.  The Packet Identifier."""
    packet_id = publisher.send_publish(topic, b'two', qos=2)
    publisher.wait_for(PUBREC, packet_id)
    return packet_id


@fault('order', (4, 5), 3)
def connack_after_the_new_session_or_the_end_of_the_old_one(t):
    t.start_broker()
    t.absent('old', t.topic())
    t.broker.trace(SLOW_SYNC)
    with a_sync():
        t.durable('new')
    with a_sync():
        t.durable('with a will', will=Will(t.topic('will'), b'x', 1))
    with a_sync():
        old = t.connect(client_id=t.client_id('old'), clean_start=True)
    assert not old.connack.session_present


@fault('order', (4, 5), 2)
def suback_and_unsuback_after_the_change(t):
    t.start_broker()
    c = t.durable('c')
    t.broker.trace(SLOW_SYNC)
    with a_sync():
        c.subscribe(t.topic('1'), t.topic('2'), qos=1)
    with a_sync():
        c.subscribe(t.topic('1'), qos=2)
    with a_sync():
        c.unsubscribe(t.topic('1'))


@fault('order', (4, 5), 3)
def puback_and_pubrec_after_the_message_and_its_identifier(t):
    t.start_broker()
    t.absent('absent', t.topic())
    t.absent('member', f'$share/group/{t.topic("shared")}')
    silent = t.durable('silent')
    silent.subscribe(t.topic('silent'), qos=1)
    p, stranger = t.durable('p'), t.connect()
    t.broker.trace(SLOW_SYNC)
    for publisher in (p, stranger):
        with a_sync():
            publisher.publish(t.topic(), b'one', qos=1)
        with a_sync():
            receipt(publisher, t.topic())
    with a_sync():
        receipt(p, t.topic('nobody'))               # its identifier is in use
    with a_sync():
        p.publish(t.topic('silent'), b'not acknowledged', qos=1)
    with a_sync():
        p.publish(t.topic('shared'), b'x', qos=1)


@fault('order', (4, 5), 2)
def the_same_qos_2_identifier_again_is_answered_no_sooner(t):
    t.start_broker()
    t.absent('absent', t.topic())
    p = t.connect()
    t.broker.trace(SLOW_SYNC)
    with a_sync():
        for dup in (False, True):
            p.send_publish(t.topic(), b'two', qos=2, packet_id=1, dup=dup)
        p.expect(PUBREC, packet_id=1)
    p.expect(PUBREC, packet_id=1)


@fault('order', (4, 5), 3)
def puback_after_the_change_of_a_retained_message(t):
    t.start_broker()
    p = t.connect()
    t.broker.trace(SLOW_SYNC)
    for payload in (b'retained', b'another', b''):
        with a_sync():
            p.publish(t.topic(), payload, qos=1, retain=True)
    with a_sync():
        p.send_publish(t.topic(), b'two', qos=2, packet_id=100, retain=True)
        p.expect(PUBREC, packet_id=100)


@fault('order', (4, 5), 3)
def a_sync_that_runs_already_is_not_enough(t):
    """Each comes while the other's sync is under way, and needs one of its own."""
    t.start_broker()
    t.absent('absent', t.topic('queued'))
    clients = [t.connect() for _ in range(4)]       # on both workers
    t.broker.trace(SLOW_SYNC)
    for words in ({'qos': 1, 'topic': t.topic('queued')}, {'qos': 1, 'topic': t.topic('kept'), 'retain': True}):
        sent = []
        for n, client in enumerate(clients):
            sent.append((time.monotonic(), client, client.send_publish(payload=b'%d' % n, **words)))
            t.let_pass(SYNC_S / 5)
        for began, client, packet_id in sent:
            client.wait_for(PUBACK, packet_id)
            answered = next(at for at, name, _, text in reversed(t.transcript)
                            if name == client.name and text.startswith('PUBACK'))
            took = answered - began
            assert took >= SYNC_S, f'{client.name} was answered after {took * 1e3:.0f} ms'


@fault('order', (4, 5), 2)
def pubcomp_to_a_publisher_after_its_identifier_is_free(t):
    t.start_broker()
    p = t.durable('p')
    t.broker.trace(SLOW_SYNC)
    packet_id = receipt(p, t.topic())
    with a_sync():
        p.send_ack(PUBREL, packet_id)
        p.wait_for(PUBCOMP, packet_id)


@fault('order', (4, 5), 2)
def to_a_subscriber_publish_of_qos_2_after_the_message_and_pubrel_after_its_pubrec(t):
    t.start_broker()
    s, p = t.durable('s'), t.connect()
    s.subscribe(t.topic(), qos=2)
    t.broker.trace(SLOW_SYNC)
    with a_sync():
        p.send_publish(t.topic(), b'two', qos=2)
        message = s.wait_for(PUBLISH)
    with a_sync():
        s.send_ack(PUBREC, message.packet_id)
        s.wait_for(PUBREL, message.packet_id)


@fault('order', (4, 5), 2)
def nothing_overtakes_a_connack_that_waits(t):
    """Neither another's coming nor the broker's end.  [MQTT-3.2.0-1]"""
    t.start_broker()
    t.broker.trace(SLOW_SYNC)
    words = {'session_expiry_interval': FOR_EVER} if t.version == 5 else {}
    first, second, third = (t.open(name) for name in ('first', 'second', 'third'))
    for client in (first, second):
        client.send_connect(t.client_id('same'), clean_start=False, **words)
    third.send_connect(t.client_id('other'), clean_start=False, **words)
    t.broker.wait_for_log(f'as {t.client_id("same")} ')
    t.broker.wait_for_log(f'as {t.client_id("other")} ')
    t.broker.signal(signal.SIGTERM)
    t.broker.expect_end(0)
    for client in (first, second, third):
        packet = client.receive()
        assert packet is None or packet.type == CONNACK, f'{client.name}: {packet} comes first'


@fault('order', (4, 5))
def nothing_durable_and_nothing_is_written(t):
    t.start_broker()
    trace = t.broker.trace()
    s, p = t.connect(), t.connect()
    for qos in (0, 1, 2):
        s.subscribe(t.topic(), qos=qos)
        for sent in (0, 1, 2):
            p.publish(t.topic(), b'x', qos=sent)
            s.expect_message(t.topic(), b'x', qos=min(sent, qos))
    s.unsubscribe(t.topic())
    p.publish(t.topic(), b'x', qos=2)
    s.disconnect()
    t.broker.detach()
    assert not trace.calls(), trace.calls()
