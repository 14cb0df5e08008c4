"""Hostile packets, greedy peers, a troubled machine: what goes beyond the standard.

A: bad packets · C: access · D: storage · E: greed · F: machine and operator.  What the standard leaves open, these
tests hold the broker to: a DISCONNECT with the right Reason Code before closing, other clients undisturbed.
"""

import os
import select
import signal
import time

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK, DISCONNECT, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK
from suite import configuration, statement
from v5.data import ILL_FORMED, connects_with, packets_with

ALL = (3, 4, 5)
SMALL_PACKETS = configuration('small packets', 'max_packet_size 1000')
IMPATIENT = configuration('impatient', 'connect_timeout 1\npacket_timeout 1')
DROP_NEWEST = configuration('drop newest', 'max_inflight_messages 1\nmax_queued_messages 5')
DROP_OLDEST = configuration('drop oldest', 'max_inflight_messages 1\nmax_queued_messages 5\nqueue_policy drop-oldest')
REFUSE = configuration('refuse publisher',
                       'max_inflight_messages 1\nmax_queued_messages 5\nqueue_policy refuse-publisher')
FEW_SUBSCRIPTIONS = configuration('few subscriptions', 'max_subscriptions_per_client 10')


def fault(*ids, **words):
    """A test of Chappe's own promises."""
    return statement(*ids, chappe=True, **words)


def expect_end(t, raw, *reasons, **words):
    """A connected client sends raw: DISCONNECT with one of reasons (5.0), and the end."""
    c = t.connect(**words)
    c.send(raw)
    c.expect_disconnect(*reasons)


def expect_no_connect(t, raw, *reasons):
    c = t.open()
    c.send(raw)
    c.expect_refused(*reasons)


# ---- A: bad packets ---------------------------------------------------------------------------------

@fault('A1', versions=ALL)
def a_remaining_length_that_is_too_long_or_not_minimal(t):
    for raw in (b'\x30\xff\xff\xff\xff\x7f', b'\x30\x80\x80\x80\x80\x01', b'\xc0\x80\x00', b'\x30\x83\x80\x00\0\1a'):
        expect_end(t, raw, 0x81)
    t.expect_others_served()


@fault('A1', versions=ALL, config=SMALL_PACKETS)
def a_remaining_length_above_the_limit(t):
    expect_end(t, b'\x30\xff\xff\xff\x7f', 0x95)
    expect_end(t, b'\x30\xe9\x07', 0x95)
    c = t.open()
    c.send(b'\x10\xff\xff\xff\x7f\0\4MQTT')
    c.expect_refused(0x95)
    t.expect_others_served()


@fault('A2', versions=ALL)
def a_length_inside_that_runs_past_the_end_or_leaves_bytes_over(t):
    none = b'\0' if t.version == 5 else b''
    for raw in (
        mqtt.packet(0x30, b'\0\x05ab'), mqtt.packet(0x32, b'\0\1a\0'), mqtt.packet(0x30, b'\0'),
        mqtt.packet(0x82, b'\0\1' + none + b'\0\5ab\0'), mqtt.packet(0x82, b'\0\1' + none + b'\0\1a'),
        mqtt.packet(0xA2, b'\0\1' + none + b'\0\5ab'), mqtt.packet(0xC0, b'\0'), mqtt.packet(0x40, b'\0'),
        mqtt.packet(0x62, b''), mqtt.packet(0x40, b'\0\1\0\0\0'), mqtt.packet(0x82, b'\0'),
    ):
        expect_end(t, raw, 0x81, 0x82)
    whole = mqtt.connect(t.client_id(), t.version, user_name='u', password='p')
    expect_no_connect(t, mqtt.packet(0x10, whole[2:] + b'x'))
    expect_no_connect(t, mqtt.packet(0x10, whole[2:-1]))
    t.expect_others_served()


@fault('A3', versions=ALL)
def reserved_header_bits_and_packets_of_a_server(t):
    none = b'\0' if t.version == 5 else b''
    for raw in (b'\x00\x00', b'\x0f\x00', b'\x20\x02\0\0' if t.version != 5 else b'\x20\x03\0\0\0',
                mqtt.packet(0x90, b'\0\1' + none + b'\0'), mqtt.packet(0xB0, b'\0\1' + none), b'\xd0\x00',
                b'\xc1\x00', b'\xe1\x00', mqtt.packet(0x80, b'\0\1' + none + b'\0\1a\0'),
                mqtt.packet(0x60, b'\0\1'), mqtt.packet(0x4f, b'\0\1')):
        expect_end(t, raw, 0x81, 0x82)
    if t.version != 5:
        expect_end(t, b'\xf0\x00')
    t.expect_others_served()


@fault('A4', versions=ALL)
def a_first_packet_that_is_not_connect_and_a_second_connect(t):
    for raw in (mqtt.pingreq(), mqtt.publish('a', version=t.version), b'\x00', b'GET / HTTP/1.0\r\n\r\n',
                b'\x16\x03\x01\x02\x00\x01'):
        c = t.open()
        c.send(raw)
        if raw == b'\x00':
            c.send(b'\x00')
        assert c.receive() is None, 'an answer to a stranger'
    expect_end(t, mqtt.connect(t.client_id('second'), t.version), 0x82)
    t.expect_others_served()


@fault('A5')
def ill_formed_strings_are_malformed_everywhere(t):
    for bad in (*ILL_FORMED, b'\0'):
        for raw in packets_with(b'a' + bad):
            expect_end(t, raw, 0x81)
        for raw in connects_with(b'a' + bad):
            expect_no_connect(t, raw, 0x81)
    t.expect_others_served()


@fault('A5', versions=(3, 4))
def ill_formed_strings_end_older_connections(t):
    for bad in (*ILL_FORMED, b'\0'):
        text = b'a' + bad
        for raw in (mqtt.publish(text, version=t.version), mqtt.subscribe(1, [(text, 0)], t.version),
                    mqtt.unsubscribe(1, [text], t.version)):
            expect_end(t, raw)
        for raw in (mqtt.connect(text, t.version), mqtt.connect('c', t.version, will=mqtt.Will(text)),
                    mqtt.connect('c', t.version, user_name=text)):
            expect_no_connect(t, raw)


def levels(t, count):
    return '/'.join([t.topic()] + ['x'] * (count - 1))


@fault('A6')
def a_bad_topic_name_is_refused_and_never_matched(t):
    sub = t.connect('sub')
    sub.subscribe(t.topic('#'), qos=2)
    for bad in (t.topic('#'), t.topic('+'), t.topic('a/+/b'), levels(t, 201)):
        c = t.connect()
        for qos, type_ in ((1, PUBACK), (2, PUBREC)):
            c.send_publish(bad, b'x', qos=qos)
            c.expect(type_, reason=0x90)
        c.send_publish(bad, b'x')
        c.expect_disconnect(0x90)
    expect_end(t, mqtt.publish('', b'x'), 0x82, 0x90)
    pub = t.connect('pub')
    pub.publish(levels(t, 200), b'deep', qos=1)
    sub.expect_message(levels(t, 200), b'deep')
    t.expect_nothing(sub, pub, qos=2)


@fault('A6', versions=(3, 4))
def a_bad_topic_name_ends_older_connections(t):
    sub = t.connect('sub')
    sub.subscribe(t.topic('#'))
    for bad in (t.topic('#'), t.topic('+'), levels(t, 201), ''):
        for qos in (0, 1):
            expect_end(t, mqtt.publish(bad, b'x', qos, packet_id=1 if qos else None, version=t.version))
    t.expect_nothing(sub, t.connect())


@fault('A7', versions=ALL)
def a_bad_filter_is_refused_alone(t):
    failure = {3: 0x80, 4: 0x80, 5: 0x8F}[t.version]
    bad = ['a#', '+a', 'a/#/b', '$share//x', '$share/g+/x', '$share/g', '', levels(t, 201)]
    c = t.connect()
    for text in bad:
        c.send_subscribe((t.topic('1'), 0), (text, 0), (t.topic('2'), 1))
        c.expect(SUBACK, reasons=[0, failure, 1])
    c.publish(t.topic('2'), b'x', qos=1)
    c.expect_message(t.topic('2'), b'x')
    c.subscribe(levels(t, 200))
    c.publish(levels(t, 200), b'deep')
    c.expect_message(levels(t, 200), b'deep')


@fault('A8', versions=ALL)
def qos_3_and_packet_id_0(t):
    none = b'\0' if t.version == 5 else b''
    for raw in (mqtt.packet(0x36, mqtt.data('a') + b'\0\1' + none), mqtt.packet(0x3E, mqtt.data('a') + b'\0\1' + none),
                mqtt.publish('a', b'', 1, packet_id=0, version=t.version),
                mqtt.publish('a', b'', 2, packet_id=0, version=t.version),
                mqtt.subscribe(0, [('a', 0)], t.version), mqtt.unsubscribe(0, ['a'], t.version),
                mqtt.subscribe(1, [('a', 3)], t.version)):
        expect_end(t, raw, 0x81, 0x82)
    expect_no_connect(t, mqtt.connect(t.client_id(), t.version, will=mqtt.Will('a', qos=3)))


@fault('A8', versions=(4, 5))
def dup_with_qos_0(t):
    expect_end(t, mqtt.publish('a', dup=True, version=t.version), 0x81, 0x82)


@fault('A9')
def bad_properties(t):
    for raw in (b'\xff', b'\x7f', b'\x00', b'\1\2', b'\1\1\1\1', b'\2\0\0\0\1\2\0\0\0\1', b'\x21\0\1', b'\x11\0\0\0\1',
                b'\x03\0\1a\x03\0\1a', b'\x08\0\1a\x08\0\1a', b'\x09\0\1a\x09\0\1a', b'\x23\0\1\x23\0\1', b'\x0b\1',
                b'\x0b\0', b'\x26\0\1a', b'\x03\0\5a', b'\x02\0', b'\x1f\0\1a', b'\x80\x01'):
        expect_end(t, mqtt.publish(t.topic(), properties_=raw), 0x81, 0x82)
    for raw in (b'\x0b\0', b'\x0b\1\x0b\1', b'\1\1', b'\x0b', b'\x0b\x80\x80\x80\x80\1'):
        expect_end(t, mqtt.subscribe(1, [('a', 0)], properties_=raw), 0x81, 0x82)
    for raw in (b'\x0b\1', b'\x1f\0\1a'):
        expect_end(t, mqtt.unsubscribe(1, ['a'], properties_=raw), 0x81, 0x82)
    for raw in (b'\x21\0\0', b'\x27\0\0\0\0', b'\x17\2', b'\x19\2', b'\x21\0\1\x21\0\1', b'\x24\1', b'\x16\0\1a'):
        expect_no_connect(t, mqtt.connect(t.client_id(), properties_=raw), 0x81, 0x82)
    t.expect_others_served()


@fault('A10')
def user_properties_without_end(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic())
    some = [('k', str(n)) for n in range(1000)]
    pub.publish(t.topic(), b'x', qos=1, user_property=some)
    sub.expect_message(t.topic(), b'x', user_property=some)
    for too_many in ([('k', 'v')] * 1001, [('k', 'v' * 7000)] * 10):
        c = t.connect()
        c.send_publish(t.topic(), b'x', qos=1, user_property=too_many)
        answer = c.receive()
        assert answer is not None and answer.type in (PUBACK, DISCONNECT) and answer.reason in (0x95, 0x97), answer
    expect_no_connect(t, mqtt.connect(t.client_id(), properties_={'user_property': [('k', 'v')] * 1001}), 0x95, 0x97)
    t.expect_nothing(sub, pub)


@fault('A11')
def topic_aliases_out_of_range(t):
    for alias in (0, 11, 65535):
        expect_end(t, mqtt.publish(t.topic(), b'x', properties_={'topic_alias': alias}), 0x94)


@fault('A12')
def more_in_flight_than_the_receive_maximum(t):
    c = t.connect()
    for _ in range(21):
        c.send_publish(t.topic(), b'x', qos=2)
    for _ in range(21):
        packet = c.receive()
        if packet is None or packet.type != PUBREC:
            break
    assert packet is not None and packet.type == DISCONNECT and packet.reason == 0x93, packet
    assert c.receive() is None


@fault('A13', versions=ALL)
def the_same_qos_2_identifier_again(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    for n in range(50):
        pub.send_publish(t.topic(), b'x', qos=2, packet_id=1, dup=n > 0)
        pub.expect(PUBREC, packet_id=1)
    pub.send_ack(PUBREL, 1)
    pub.expect(PUBCOMP, packet_id=1)
    sub.expect_message(t.topic(), b'x', qos=2)
    t.expect_nothing(sub, pub, qos=2)


@fault('A14', versions=ALL)
def acknowledgements_of_unknown_identifiers(t):
    c = t.connect()
    c.send_ack(PUBREL, 5)
    c.expect(PUBCOMP, packet_id=5, reason=(0x00, 0x92))
    for type_ in (PUBACK, PUBCOMP):
        c.send_ack(type_, 5)
        c.expect_silence()
    c.send_ack(PUBREC, 5)
    c.send(mqtt.pingreq(), 'PINGREQ')
    answer = c.receive()
    if answer.type == PUBREL:
        answer = c.receive()
    assert answer.type == PINGRESP, answer


@fault('A16', versions=ALL)
def a_will_to_a_forbidden_topic(t):
    for topic in ('$SYS/x', '$CONTROL/x', 'a/#', '+', '', levels(t, 201)):
        expect_no_connect(t, mqtt.connect(t.client_id(), t.version, will=mqtt.Will(topic)),
                          *((0x90, 0x87, 0x81, 0x82) if t.version == 5 else (1, 2, 3, 4, 5)))


@fault('A17', versions=(3, 4))
def an_empty_client_id_without_clean_session(t):
    expect_no_connect(t, mqtt.connect('', t.version, clean_start=False), 2)
    if t.version == 3:
        expect_no_connect(t, mqtt.connect('', t.version), 2)


@fault('A17', versions=ALL)
def a_client_id_with_control_characters(t):
    for bad in ('a\nb', '\x1b[2J', '\x7f', '\u0085'):
        expect_no_connect(t, mqtt.connect(bad, t.version), *((0x85, 0x81) if t.version == 5 else (2,)))


@fault('A18')
def an_unknown_protocol_name_or_level(t):
    for name, version in (('MQTT', 6), ('MQTT', 0), ('MQTT', 2), ('MQTT', 3), ('MQIsdp', 4), ('MQIsdp', 5), ('', 5),
                          ('mqtt', 4), ('MQTX', 5)):
        expect_no_connect(t, mqtt.connect(t.client_id(), version, protocol_name=name), 0x84, 1)


def ordinary_stream(t):
    """A whole conversation of one client, and what it must be answered, type by type."""
    v = t.version
    return (mqtt.connect(t.client_id('whole'), v) + mqtt.subscribe(1, [(t.topic(), 1)], v)
            + mqtt.publish(t.topic(), b'payload', 1, packet_id=2, version=v) + mqtt.unsubscribe(3, [t.topic()], v)
            + mqtt.pingreq())


def expect_ordinary_answers(t, c):
    c.expect(CONNACK, reason=0)
    c.expect(SUBACK, packet_id=1)
    c.wait_for(PUBACK, 2)
    c.wait_for(mqtt.UNSUBACK, 3)
    c.wait_for(PINGRESP)
    c.expect(PUBLISH, topic=t.topic(), payload=b'payload')


@fault('A19', versions=ALL)
def packets_in_any_pieces(t):
    stream = ordinary_stream(t)
    for size in (1, 2, 3, 7, len(stream)):
        c = t.open()
        c.send_in_pieces(stream, size)
        expect_ordinary_answers(t, c)
        c.disconnect()
    for cut in range(1, len(stream), 3):
        c = t.open()
        c.send(stream[:cut])
        c.send(stream[cut:])
        expect_ordinary_answers(t, c)
        c.disconnect()


@fault('A19', versions=ALL)
def connections_cut_at_each_byte(t):
    stream = ordinary_stream(t)
    for cut in range(len(stream)):
        c = t.open()
        c.send(stream[:cut], f'{cut} bytes')
        if cut % 2:
            c.abort()
        else:
            c.drop()
    t.expect_others_served()


@fault('A20', versions=ALL)
def publishing_where_nobody_may(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    wanted = [f'$SYS/{t.topic()}', f'$CONTROL/{t.topic()}']
    sub.send_subscribe(*wanted, qos=2)
    sub.expect(SUBACK)
    for topic in wanted:
        for qos, type_ in ((1, PUBACK), (2, PUBREC)):
            packet_id = pub.send_publish(topic, b'x', qos=qos)
            pub.expect(type_, packet_id=packet_id, reason=0x87 if t.version == 5 else 0)
            if qos == 2 and t.version != 5:
                pub.send_ack(PUBREL, packet_id)
                pub.expect(PUBCOMP)
        pub.send_publish(topic, b'x', retain=True)
    t.expect_nothing(sub, pub, qos=2)


# ---- C: access --------------------------------------------------------------------------------------

def listening_addresses(port):
    """The local addresses, in the kernel's hexadecimal, on which this port listens."""
    found = set()
    for path in ('/proc/net/tcp', '/proc/net/tcp6'):
        if os.path.exists(path):
            with open(path, encoding='ascii') as f:
                for line in f.readlines()[1:]:
                    local, state = line.split()[1], line.split()[3]
                    if state == '0A' and local.endswith(f':{port:04X}'):
                        found.add(local.rpartition(':')[0])
    return found


@fault('C1', config=None)
def without_a_listener_only_loopback_is_served_and_anonymously(t):
    broker = t.start_broker(whole_file=t.run.with_workers('# nothing') + '\n', arguments=' -p {port}')
    t.connect(broker=broker).expect_silence()
    assert listening_addresses(broker.port) <= {'0100007F', '00000000000000000000000001000000'}


@fault('C1', config=None, versions=ALL)
def with_a_listener_anonymous_clients_are_refused_unless_allowed(t):
    broker = t.start_broker(whole_file=t.run.with_workers('listener {port} 127.0.0.1') + '\n')
    for words in ({}, {'user_name': 'u', 'password': 'p'}):
        c = t.open(broker=broker)
        c.send(mqtt.connect(t.client_id(), t.version, **words))
        c.expect_refused(*((0x87, 0x86) if t.version == 5 else (4, 5)))


# ---- D: a clean stop --------------------------------------------------------------------------------

@fault('D12', config=None)
def a_clean_stop_says_goodbye(t):
    broker = t.start_broker()
    clients = [t.connect(broker=broker, version=v) for v in (3, 4, 5)]
    broker.signal(signal.SIGTERM)
    for c in clients:
        c.expect_disconnect(0x8B)
    assert broker.expect_exit() == 0


@fault('D12', config=None)
def a_second_signal_stops_at_once(t):
    broker = t.start_broker()
    slow, pub = t.connect('slow', broker=broker, receive_buffer=4096), t.connect('pub', broker=broker)
    slow.subscribe(t.topic(), qos=0)
    for _ in range(200):                        # more than its socket takes: it would be waited for
        pub.publish(t.topic(), b'x' * 10000)
    pub.expect_silence()
    t.transcript.clear()
    broker.signal(signal.SIGTERM)
    pub.expect_disconnect(0x8B)
    broker.signal(signal.SIGTERM)
    assert broker.expect_exit(3) == 0


# ---- E: slow, greedy and many -----------------------------------------------------------------------

def flood(t, qos, count, size, **words):
    """count messages to a subscriber that does not read and one that does; the latter misses none.
    Returns the slow one."""
    slow, fast, pub = t.connect('slow', receive_buffer=4096, **words), t.connect('fast'), t.connect('pub')
    slow.subscribe(t.topic(), qos=qos)
    fast.subscribe(t.topic(), qos=qos)
    for n in range(count):
        pub.publish(t.topic(), f'{n}:'.encode().ljust(size, b'.'), qos=qos)
        fast.transcript.clear()                 # a megabyte of it would explain nothing
        assert fast.expect_message(t.topic()).payload.startswith(f'{n}:'.encode())
    pub.expect_silence()
    return slow


@fault('E1')
def a_slow_subscriber_of_qos_0_loses_messages_and_holds_up_nobody(t):
    count = 2000
    slow = flood(t, 0, count, 16000)
    slow.transcript.clear()
    pub = t.connect()
    numbers = []
    marker = t.marker()
    slow.send_subscribe(marker, qos=1)
    while True:
        packet = slow.receive()
        assert packet is not None, 'a slow subscriber was thrown out'
        slow.transcript.clear()
        if packet.type == SUBACK:
            pub.publish(marker, b'end', qos=1)
        elif packet.topic == marker:
            break
        else:
            numbers.append(int(packet.payload.split(b':')[0]))
    assert numbers == sorted(set(numbers)), 'out of order'
    assert 0 < len(numbers) < count, f'{len(numbers)} of {count} came: nothing was dropped'


@fault('E2')
def a_slow_subscriber_of_qos_1_gets_everything_later(t):
    slow = flood(t, 1, 500, 16000, receive_maximum=10)
    for n in range(500):
        message = slow.expect_message(t.topic())
        slow.transcript.clear()
        assert message.payload.startswith(f'{n}:'.encode()), message.payload[:10]


def fill_queue(t):
    """Twelve messages to a session that is away; the reasons of their PUBACKs."""
    sub, pub = t.connect('sub', session_expiry_interval=60), t.connect('pub')
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    return [pub.publish(t.topic(), str(n), qos=1).reason for n in range(12)]


def take_queue(t):
    sub, pub = t.connect('sub', clean_start=False), t.connect('pub')
    marker, found = t.marker(), []
    sub.send_subscribe(marker, qos=1)
    suback = False
    while True:
        packet = sub.receive()
        if packet.type == SUBACK:
            suback = True
            sub.send(mqtt.pingreq(), 'PINGREQ')
        elif packet.type == PINGRESP and suback:
            pub.publish(marker, b'end', qos=1)
        elif packet.topic == marker:
            return found
        else:
            sub.acknowledge(packet)
            found.append(int(packet.payload))


@fault('E3', config=DROP_NEWEST)
def a_full_queue_drops_the_newest(t):
    assert set(fill_queue(t)) <= {0, 0x10}
    found = take_queue(t)
    assert found in ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]), found


@fault('E3', config=DROP_OLDEST)
def a_full_queue_drops_the_oldest(t):
    assert set(fill_queue(t)) <= {0, 0x10}
    found = take_queue(t)
    assert found in ([7, 8, 9, 10, 11], [6, 7, 8, 9, 10, 11]), found


@fault('E3', config=REFUSE)
def a_full_queue_refuses_its_publisher(t):
    sub, pub, taken = t.connect('sub', session_expiry_interval=60), t.connect('pub'), 0
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    # Between workers the news that the queue is full needs a moment: a few more are taken, and kept.
    while pub.publish(t.topic(), str(taken), qos=1).reason != 0x97:
        taken += 1
    assert 5 <= taken
    sub = t.connect('sub', clean_start=False)
    for n in range(taken):
        sub.expect_message(t.topic(), str(n))
    sub.expect_silence()


@fault('E6', config=None)
def a_storm_of_connections_above_the_limit_is_refused_quickly(t):
    broker = t.start_broker('global_max_clients 21')
    settled = t.connect('settled', broker=broker)
    storm = [t.open(f'n{n}', broker=broker) for n in range(100)]
    for c in storm:
        c.send_connect(t.client_id(c.name))
    answers = [c.receive() for c in storm]
    accepted = [c for c, a in zip(storm, answers) if a.reason == 0]
    assert len(accepted) >= 20 and {a.reason for a in answers} == {0, 0x89}, {a.reason for a in answers}
    t.transcript.clear()
    settled.expect_silence()
    for c in storm:
        c.close()
    settled.expect_silence()


@fault('E6')
def all_clients_come_back_at_once(t):
    settled = t.connect('settled')
    for _ in range(3):
        storm = [t.open(f'n{n}') for n in range(200)]
        for c in storm:
            c.send_connect(t.client_id(c.name))
        settled.expect_silence()
        for c in storm:
            c.expect(CONNACK, reason=0)
            c.abort()
    t.transcript.clear()
    t.expect_others_served()


@fault('E7', config=IMPATIENT, slow=True)
def a_connection_that_says_nothing_is_closed(t):
    began = time.monotonic()
    c = t.open()
    assert c.receive() is None
    assert 0.9 <= time.monotonic() - began <= 4, time.monotonic() - began


def trickle(t, c, raw):
    """A byte every 0.3 s until the broker closes; the seconds that took."""
    began = time.monotonic()
    for at in range(len(raw)):
        c.send(raw[at:at + 1], f'a byte of {len(raw)}')
        readable, _, _ = select.select([c.socket], [], [], 0.3)
        if readable:
            break
    c.expect_closed()
    return time.monotonic() - began


@fault('E7', config=IMPATIENT, slow=True)
def a_connect_that_trickles_is_closed(t):
    assert 0.9 <= trickle(t, t.open(), mqtt.connect(t.client_id())) <= 4


@fault('E7', config=IMPATIENT, slow=True)
def a_packet_that_trickles_is_closed(t):
    c = t.connect(keep_alive=0)
    assert 0.9 <= trickle(t, c, mqtt.publish(t.topic(), b'x' * 100)) <= 4


@fault('E7', config=IMPATIENT, slow=True)
def a_client_between_packets_is_left_in_peace(t):
    c = t.connect(keep_alive=0)
    t.let_pass(3)
    c.expect_silence()


@fault('E8', versions=ALL, config=FEW_SUBSCRIPTIONS)
def too_many_subscriptions_are_refused(t):
    failure = {3: 0x80, 4: 0x80, 5: 0x97}[t.version]
    c = t.connect()
    c.subscribe(*[t.topic(str(n)) for n in range(10)])
    c.subscribe(t.topic('one too many'), granted=[failure])
    c.publish(t.topic('one too many'), b'x')
    c.expect_silence()
    c.subscribe(t.topic('3'), qos=1)                            # replaces
    c.subscribe(t.topic('4'), t.topic('more'), granted=[0, failure])
    c.unsubscribe(t.topic('5'))
    c.subscribe(t.topic('room again'))
    c.publish(t.topic('room again'), b'x')
    c.expect_message(t.topic('room again'), b'x')


@fault('E8')
def subscription_churn_leaves_nothing_behind(t):
    c, pub = t.connect(), t.connect('pub')
    for n in range(500):
        texts = [t.topic(f'{n}/a'), t.topic(f'+/{n}'), t.topic(f'{n}/#')]
        c.subscribe(*texts)
        c.unsubscribe(*texts)
    pub.publish(t.topic('7/a'), b'x')
    t.expect_nothing(c, pub)


@fault('E8')
def deep_overlap_is_answered_in_time(t):
    c = t.connect()
    depth = 14
    texts = ['/'.join([t.topic(), *('+' if n >> bit & 1 else 'a' for bit in range(depth))]) for n in range(2000)]
    for at in range(0, len(texts), 100):
        c.subscribe(*texts[at:at + 100])
    began = time.monotonic()
    c.publish('/'.join([t.topic(), *['a'] * depth]), b'x')
    for _ in texts:
        c.expect_message(payload=b'x')
    c.transcript.clear()
    assert time.monotonic() - began < 5


@fault('E9')
def one_message_to_many_reaches_all(t):
    pub, many = t.connect('pub'), [t.connect(f'm{n}') for n in range(300)]
    for c in many:
        c.subscribe(t.topic(), qos=1)
    pub.publish(t.topic(), b'x' * 50000, qos=1)
    for c in many:
        c.expect_message(t.topic(), b'x' * 50000)
        c.close()
    t.transcript.clear()
    t.expect_others_served()


@fault('E10', slow=True)
def many_wills_and_sessions_end_at_once(t):
    watcher = t.connect('watcher')
    watcher.subscribe(t.topic('+'), qos=1)
    many = [t.connect(f'm{n}', session_expiry_interval=1, will=mqtt.Will(t.topic(str(n)), b'gone', qos=1))
            for n in range(300)]
    for c in many:
        c.abort()
    gone = {watcher.expect_message(payload=b'gone').topic for _ in many}
    assert len(gone) == len(many)
    t.transcript.clear()
    t.let_pass(2.5)
    for n in range(0, 300, 50):
        assert t.connect(client_id=t.client_id(f'm{n}'), clean_start=False).connack.session_present is False


@fault('E14', 'F11', config=None)
def a_log_that_nobody_reads_holds_up_nobody(t):
    broker = t.make_broker('log_type all\nlog_dest file {dir}/pipe\nuser root')
    os.mkfifo(broker.path('pipe'))
    reader = os.open(broker.path('pipe'), os.O_RDONLY | os.O_NONBLOCK)
    try:
        broker.start()
        c = t.connect(broker=broker)
        for n in range(3000):
            c.publish(t.topic(str(n)), b'x')
        c.transcript.clear()
        c.expect_silence()
        broker.signal(signal.SIGTERM)
        assert broker.expect_exit() == 0
    finally:
        os.close(reader)


@fault('F11', config=None)
def a_log_on_a_full_disk_holds_up_nobody(t):
    broker = t.start_broker('log_type all\nlog_dest file /dev/full')
    c = t.connect(broker=broker)
    for n in range(100):
        c.publish(t.topic(), b'x', qos=1)
    c.transcript.clear()
    t.expect_others_served(broker)


@fault('E11', config=None)
def a_full_retained_store_refuses_new_topics_only(t):
    broker = t.start_broker('max_retained_messages 3\nsys_interval 0')
    c = t.connect(broker=broker)

    def retain(name, payload, qos=1):
        return c.publish(t.topic(name), payload, qos=qos, retain=True).reason

    for name in 'abc':
        assert retain(name, b'1') in (0, 0x10)
    assert retain('d', b'1') == 0x97 and retain('d', b'1', qos=2) == 0x97
    for name, payload in (('a', b'2'), ('b', b''), ('d', b'3')):
        assert retain(name, payload) in (0, 0x10)
    reader = t.connect(broker=broker)
    reader.subscribe(t.topic('+'))
    found = {m.topic[-1]: m.payload for m in (reader.expect_message(retain=True) for _ in range(3))}
    assert found == {'a': b'2', 'c': b'1', 'd': b'3'}, found
    reader.expect_silence()


@fault('E12')
def a_group_takes_over_what_a_lost_member_held(t):
    pub = t.connect('pub')
    members = [t.connect(f'm{n}') for n in range(2)]
    for c in members:
        c.subscribe(f'$share/g{t.serial}/{t.topic()}', qos=1)
    held = {}
    for n in range(2):                      # one for each, in turn
        pub.publish(t.topic(), str(n), qos=1)
        ready, _, _ = select.select([c.socket for c in members], [], [], t.run.deadline_s)
        c = next(c for c in members if c.socket in ready)
        held.setdefault(c.name, []).append(c.expect_message(t.topic(), ack=False))
    lost = next(c for c in members if c.name in held)
    other = next(c for c in members if c is not lost)
    for message in held.pop(other.name, []):
        other.acknowledge(message)
    payloads = [m.payload for m in held[lost.name]]
    lost.disconnect()
    for payload in payloads:
        other.expect_message(t.topic(), payload, qos=1)
    t.expect_nothing(other, pub, qos=1)


@fault('E12')
def a_group_fills_a_window_of_one(t):
    member, pub = t.connect('member', receive_maximum=1), t.connect('pub')
    member.subscribe(f'$share/g{t.serial}/{t.topic()}', qos=1)
    for n in range(5):
        pub.publish(t.topic(), str(n), qos=1)
    for n in range(5):
        member.expect_message(t.topic(), str(n))
    t.expect_nothing(member, pub, qos=1)


@fault('E12')
def a_member_of_two_groups_leaves_with_messages_of_both(t):
    member, pub = t.connect('member', receive_maximum=1), t.connect('pub')
    member.subscribe(*[f'$share/g{t.serial}.{n}/{t.topic()}' for n in range(2)], qos=1)
    for n in range(4):
        pub.publish(t.topic(), str(n), qos=1)
    member.expect(PUBLISH)
    member.abort()
    t.expect_others_served()


@fault('E12', 'D12', config=None)
def a_stop_with_groups_of_sessions_that_stay(t):
    broker = t.start_broker()
    members = [t.connect(f'm{n}', broker=broker, session_expiry_interval=100) for n in range(30)]
    for c in members:
        c.subscribe(*[f'$share/g{n}/{t.topic()}' for n in range(10)], qos=1)
    pub = t.connect('pub', broker=broker)
    for n in range(20):
        pub.publish(t.topic(), str(n), qos=1)
    t.transcript.clear()
    broker.signal(signal.SIGTERM)
    assert broker.expect_exit(4) == 0


@fault('E3', config=REFUSE, slow=True)
def a_queue_whose_messages_expired_takes_new_ones(t):
    sub, pub = t.connect('sub', session_expiry_interval=60), t.connect('pub')
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    while pub.publish(t.topic(), b'old', qos=1, message_expiry_interval=1).reason != 0x97:
        pass
    t.let_pass(3)
    assert pub.publish(t.topic(), b'new', qos=1).reason == 0
    t.connect('sub', clean_start=False).expect_message(t.topic(), b'new')


# ---- F: machine and operator ------------------------------------------------------------------------

def cpu_seconds(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


@fault('F2', config=None, slow=True)
def out_of_file_descriptors(t):
    broker = t.start_broker(rlimit_nofile=96)
    first = t.connect('first', broker=broker)
    accepted, refused = [], 0
    for n in range(150):
        c = t.open(f'n{n}', broker=broker)
        c.send_connect(t.client_id(c.name))
        try:
            packet = c.receive(deadline_s=0.5)
        except AssertionError:              # still waiting in the backlog: neither one nor the other
            c.close()
            refused += 1
        else:
            if packet is not None and packet.reason == 0:
                accepted.append(c)
            else:
                assert packet is None or packet.reason in (0x89, 0x97), packet
                refused += 1
        if refused >= 5:
            break
    assert accepted and refused, f'{len(accepted)} accepted, {refused} refused'
    t.transcript.clear()
    first.expect_silence()
    before = cpu_seconds(broker.process.pid)
    t.let_pass(1)
    assert cpu_seconds(broker.process.pid) - before < 0.5, 'busy while out of descriptors'
    first.expect_silence()
    for c in accepted:
        c.close()
    t.let_pass(0.5)
    t.expect_others_served(broker)


@fault('F4', config=None, slow=True)
def a_broker_that_was_suspended_disconnects_nobody(t):
    broker = t.start_broker()
    clients = [t.connect(broker=broker, keep_alive=1, version=4 + n % 2) for n in range(20)]
    broker.signal(signal.SIGSTOP)
    t.let_pass(4)
    for c in clients[::2]:                  # half of them spoke meanwhile
        c.send(mqtt.pingreq(), 'PINGREQ')
    broker.signal(signal.SIGCONT)
    for c in clients[1::2]:
        c.send(mqtt.pingreq(), 'PINGREQ')
    for c in clients:
        c.expect(PINGRESP)


@fault('F3', 'E4', config=None)
def at_the_memory_limit_publishers_wait_and_others_are_served(t):
    broker = t.start_broker('memory_limit 20000000\npersistence_default none\nmax_queued_bytes 0\nmax_packet_size 100000')
    sub, other = t.connect('sub', broker=broker, session_expiry_interval=60), t.connect('other', broker=broker)
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    pub = t.connect('pub', broker=broker)
    pub.socket.settimeout(1)
    sent = 0
    try:
        while sent < 1000:
            pub.socket.sendall(mqtt.publish(t.topic(), b'x' * 90000, 1, packet_id=sent + 1))
            sent += 1
    except TimeoutError:                        # the broker reads no more
        pass
    assert 100 < sent < 900, sent               # the kernel holds up to 37 MB of them
    other.expect_silence()
    t.connect('new', broker=broker).expect_silence()
    sub = t.connect('sub', broker=broker, clean_start=False)
    acknowledged = set()
    pub.socket.settimeout(t.run.deadline_s)
    for _ in range(sent):                       # draining makes room again
        sub.expect_message(t.topic())
        sub.transcript.clear()
    for _ in range(sent):
        acknowledged.add(pub.expect(PUBACK).packet_id)
        pub.transcript.clear()
    assert len(acknowledged) == sent


@fault('F8', config=None)
def a_configuration_error_at_reload_changes_nothing(t):
    broker = t.start_broker('max_qos 2')
    c = t.connect(broker=broker)
    for lines in ('no_such_option 1', 'max_qos 7', 'listener {port} 127.0.0.1\nlistener 1 127.0.0.1'):
        broker.write('broker.conf', f'listener {broker.port} 127.0.0.1\nallow_anonymous true\nmax_qos 0\n'
                     + lines.replace('{port}', str(broker.port)) + '\n')
        broker.signal(signal.SIGHUP)
        broker.wait_for_log('stays as it was')
        assert broker.log().count('stays as it was') == 1, broker.log()
        broker.forget_log()
        c.publish(t.topic(), b'x', qos=2)
        assert t.connect(broker=broker).connack.properties.get('maximum_qos') is None
    os.unlink(broker.path('broker.conf'))
    broker.signal(signal.SIGHUP)
    broker.wait_for_log('stays as it was')
    c.expect_silence()


@fault('F8', config=None)
def a_good_configuration_applies_at_reload(t):
    broker = t.start_broker('max_qos 2')
    old = t.connect(broker=broker)
    broker.write('broker.conf', f'listener {broker.port} 127.0.0.1\nallow_anonymous true\nmax_qos 1\n'
                 f'max_packet_size 1000\n')
    broker.forget_log()
    broker.signal(signal.SIGHUP)
    broker.wait_for_log('Configuration reloaded')
    fresh = t.connect(broker=broker)
    assert fresh.connack.properties['maximum_qos'] == [1] or fresh.connack.properties['maximum_qos'] == 1
    old.send(mqtt.publish(t.topic(), b'x' * 2000, 1, packet_id=1))
    old.expect_disconnect(0x95)


@fault('F7', config=None)
def a_configuration_error_names_file_line_and_word(t):
    for lines, number, word in (
        ('allow_anonymous maybe', 2, 'allow_anonymous'), ('no_such_option 1', 2, 'no_such_option'),
        ('# fine\nmax_qos 3', 3, 'max_qos'), ('max_packet_size lots', 2, 'max_packet_size'),
        ('queue_policy panic', 2, 'queue_policy'), ('workers -1', 2, 'workers'),
    ):
        broker = t.make_broker(whole_file='listener {port} 127.0.0.1\n' + lines + '\n')
        broker.launch()
        assert broker.expect_exit() == 3, lines
        log = broker.log()
        assert f'broker.conf:{number}' in log and word in log, log
        assert not listening_addresses(broker.port)


@fault('F7', config=None)
def a_port_in_use_ends_the_start(t):
    other = t.start_broker()
    broker = t.make_broker()
    broker.port = other.port
    broker.launch()
    assert broker.expect_exit() == 1
    assert str(other.port) in broker.log()
    t.expect_others_served(other)


@fault('F10', config=None)
def storms_of_signals_disturb_nobody(t):
    broker = t.start_broker()
    sub, pub = t.connect('sub', broker=broker), t.connect('pub', broker=broker)
    sub.subscribe(t.topic(), qos=1)
    for n in range(100):
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
            broker.signal(number)
        pub.publish(t.topic(), str(n), qos=1)
        sub.expect_message(t.topic(), str(n))
    t.expect_others_served(broker)


@fault('F10', config=None)
def a_signal_prints_the_subscriptions(t):
    broker = t.start_broker()
    for number in range(3):
        c = t.connect(str(number), broker=broker)
        c.subscribe(('tree/+/#', 1), ('$share/group/tree/+', 0), (f'tree/{number}\n\x1b', 0), ('tree', 0))
    c.unsubscribe('tree')
    broker.signal(signal.SIGUSR2)
    broker.wait_for_log('tree (2)\n')
    for line in ('tree/+/# (3)', 'tree/+ (1)', *(f'tree/{number}\\x0a\\x1b (1)' for number in range(3))):
        broker.wait_for_log(line + '\n')
    t.expect_others_served(broker)


@fault('F10', config=None)
def peers_that_vanish_while_written_to_disturb_nobody(t):
    broker = t.start_broker()
    pub = t.connect('pub', broker=broker)
    for n in range(20):
        sub = t.connect(f's{n}', broker=broker)
        sub.subscribe(t.topic())
        sub.abort()
        for _ in range(5):
            pub.publish(t.topic(), b'x' * 10000)
    t.transcript.clear()
    t.expect_others_served(broker)


@fault('F12', config=None)
def names_from_clients_cannot_forge_log_lines(t):
    broker = t.start_broker('log_type all')
    forged = 'x\n1: FORGED line\x1b[31m\r'
    for version in (3, 4, 5):
        for words in ({'client_id': forged}, {'client_id': 'x' * 60000}, {'client_id': 'u', 'user_name': forged},
                      {'client_id': 'w', 'will': mqtt.Will(forged)}):
            c = t.open(version=version, broker=broker)
            c.send(mqtt.connect(version=version, **words))
            c.receive()
            c.close()
        for raw in (mqtt.publish(forged, b'x', version=version), mqtt.subscribe(1, [(forged, 0)], version),
                    mqtt.publish('y' * 60000, b'x', 1, packet_id=1, version=version)):
            c = t.connect(version=version, broker=broker)
            c.send(raw)
            c.disconnect()
    t.transcript.clear()
    t.expect_others_served(broker)
    log = broker.log()
    assert '\x1b' not in log and '\r' not in log
    for line in log.splitlines():
        assert not line.startswith('1: FORGED'), line
        assert len(line) < 1000, f'a line of {len(line)} characters'
