"""PINGREQ, DISCONNECT, Session State, errors (MQTT 3.1.1, sections 3.12 to 3.14, 4.1, 4.4, 4.5 and 4.8)."""

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK, PINGRESP, PUBACK, PUBCOMP, PUBREC, PUBREL, SUBACK
from suite import statement

BOTH = (3, 4)


def away(t, qos=1):
    """A session that subscribed to t.topic() and left, and a publisher."""
    sub, pub = t.connect('sub', clean_start=False), t.connect('pub')
    sub.subscribe(t.topic(), qos=qos)
    sub.disconnect()
    return pub


def back(t):
    return t.connect('sub', clean_start=False)


# ---- PINGREQ ----------------------------------------------------------------------------------------

@statement('MQTT3-3.12.4-1', versions=BOTH)
def pingreq_is_answered_by_pingresp(t):
    c = t.connect()
    c.send(mqtt.pingreq() * 3, '3 × PINGREQ')
    for _ in range(3):
        c.expect(PINGRESP, raw=b'\xd0\x00')


# ---- DISCONNECT -------------------------------------------------------------------------------------

@statement('MQTT3-3.14.1-1', versions=BOTH)
def disconnect_with_reserved_flags_ends_the_connection_as_a_failure(t):
    for flags in (1, 2, 4, 8, 15):
        watcher = t.connect('watcher')
        watcher.subscribe(t.topic())
        c = t.connect(will=mqtt.Will(t.topic(), b'malformed'))
        c.send(mqtt.packet(0xE0 | flags))
        c.expect_closed()
        watcher.expect_message(t.topic(), b'malformed')
        watcher.disconnect()


@statement('MQTT3-3.14.4-1', 'MQTT3-3.14.4-2', versions=BOTH)
def nothing_is_served_after_disconnect(t):
    c = t.connect()
    c.send(mqtt.disconnect() + mqtt.publish(t.topic(), b'x', 0, True, version=4) + mqtt.pingreq())
    c.expect_closed()
    t.expect_retained(t.topic(), None)


@statement('MQTT3-3.14.4-3', versions=BOTH)
def disconnect_discards_the_will(t):
    watcher = t.connect('watcher')
    watcher.subscribe(t.topic(), qos=1)
    for clean in (True, False):
        t.connect('dying', clean_start=clean, will=mqtt.Will(t.topic(), b'will', 1, True)).disconnect()
        t.expect_nothing(watcher, t.connect(), qos=1)
    t.expect_retained(t.topic(), None)


# ---- Session State ----------------------------------------------------------------------------------

@statement('MQTT3-4.1.0-1', versions=BOTH)
def all_of_a_session_is_stored(t):
    pub, sub = away(t, 2), back(t)
    sub.subscribe(t.topic('low'), qos=1)
    for n, qos in enumerate((1, 2, 2)):             # sent and unacknowledged, in three states
        pub.publish(t.topic(), str(n), qos=qos)
    sent = [sub.expect_message(ack=False) for _ in range(3)]
    sub.send_ack(PUBREC, sent[2].packet_id)
    sub.expect(PUBREL, packet_id=sent[2].packet_id)
    sub.send_publish(t.topic('from'), b'x', qos=2, packet_id=77)
    sub.expect(PUBREC, packet_id=77)
    sub.disconnect()
    pub.publish(t.topic('low'), b'queued', qos=2)
    pub.subscribe(t.topic('from'), qos=2)

    sub = back(t)
    assert sub.connack.session_present == (t.version == 4)
    packets = [sub.receive() for _ in range(4)]
    publishes = [(p.topic, p.payload, p.qos, p.dup) for p in packets if p.type == mqtt.PUBLISH]
    assert publishes == [(t.topic(), b'0', 1, True), (t.topic(), b'1', 2, True),
                         (t.topic('low'), b'queued', 1, False)], publishes
    assert [p.packet_id for p in packets if p.type == PUBREL] == [sent[2].packet_id], packets
    sub.send_publish(t.topic('from'), b'x', qos=2, packet_id=77, dup=True)
    sub.expect(PUBREC, packet_id=77)
    t.expect_nothing(pub, t.connect(), qos=2)       # it came before pub subscribed


@statement('MQTT3-4.1.0-2', 'MQTT3-4.1.0-1', slow=True, versions=BOTH)
def a_session_lives_while_its_connection_does(t):
    for name, clean in (('clean', True), ('kept', False)):
        t.connect(name, clean_start=clean).subscribe(t.topic(name), qos=1)
    t.let_pass(2.5)
    pub = t.connect('pub')
    for c in t.clients[:2]:
        pub.publish(t.topic(c.name), b'still here', qos=1)
        c.expect_message(t.topic(c.name), b'still here')


@statement('MQTT3-4.1.0-1', slow=True)
def a_session_without_clean_session_does_not_expire(t):
    pub = away(t)
    t.let_pass(2.5)
    pub.publish(t.topic(), b'x', qos=1)
    back(t).expect_message(t.topic(), b'x')


# ---- redelivery -------------------------------------------------------------------------------------

@statement('MQTT3-4.4.0-1', versions=BOTH)
def unacknowledged_messages_are_sent_again_on_reconnection(t):
    for qos in (1, 2):
        pub, sub = away(t, qos), back(t)
        ids = []
        for n in range(4):
            pub.publish(t.topic(), str(n), qos=qos)
            ids.append(sub.expect_message(t.topic(), str(n), ack=False).packet_id)
        for _ in range(2):
            sub.drop()
            sub = back(t)
            for n in range(4):
                sub.expect_message(t.topic(), str(n), qos=qos, dup=True, packet_id=ids[n], ack=False)
            sub.expect_silence()
        sub.drop()
        t.connect('sub').disconnect()


@statement('MQTT3-4.4.0-1', versions=BOTH)
def acknowledged_messages_are_not_sent_again(t):
    pub, sub = away(t, 2), back(t)
    for qos in (1, 2):
        pub.publish(t.topic(), b'x', qos=qos)
        sub.expect_message(t.topic(), b'x', qos=qos)
    sub.expect_silence()
    sub.drop()
    back(t).expect_silence()


@statement('MQTT3-4.5.0-1', versions=BOTH)
def messages_are_added_to_every_matching_session(t):
    for name in ('present', 'away'):
        t.connect(name, clean_start=False).subscribe(t.topic('+'), qos=2)
    present, absent = t.clients
    absent.disconnect()
    pub = t.connect('pub')
    for qos in (1, 2):
        pub.publish(t.topic('a'), str(qos), qos=qos)
        present.expect_message(t.topic('a'), str(qos), qos=qos)
    absent = t.connect('away', clean_start=False)
    for qos in (1, 2):
        absent.expect_message(t.topic('a'), str(qos), qos=qos)


@statement('MQTT3-4.5.0-1', versions=BOTH)
def acknowledged_messages_survive_the_publishers_departure(t):
    pub = away(t)
    for n in range(100):
        pub.publish(t.topic(), str(n), qos=1)
    pub.abort()
    sub = back(t)
    for n in range(100):
        sub.expect_message(t.topic(), str(n), qos=1)


# ---- errors -----------------------------------------------------------------------------------------

@statement('MQTT3-4.8.0-1', versions=BOTH)
def protocol_violations_close_the_connection(t):
    for raw in (
        b'\x00\x00', b'\x0f\x00',                                       # a reserved type
        b'\xf0\x00', b'\xf0\x02\x18\x00',                               # AUTH, which is reserved here
        b'\x20\x02\x00\x00', b'\x90\x03\x00\x01\x00', b'\xb0\x02\x00\x01', b'\xd0\x00',     # of a server
        b'\x30\xff\xff\xff\xff\x01', b'\x30\x80\x80\x80\x80\x00',       # a Remaining Length of five bytes
        b'\x30\x00', b'\x30\x02\x00\x05', b'\x32\x03\x00\x01a',         # cut short
        b'\xc0\x01\x00', b'\xe0\x01\x00', b'\x40\x03\x00\x01\x00', b'\x62\x04\x00\x01\x00\x00',     # too long
        b'\x82\x02\x00\x01', b'\xa2\x02\x00\x01', mqtt.publish('', b'x', version=4),
    ):
        t.expect_malformed(raw)
    t.expect_others_served()


@statement('MQTT3-4.8.0-2', config=None, chappe=True, versions=BOTH)
def a_message_that_cannot_be_kept_is_not_acknowledged(t):
    broker = t.start_broker('max_retained_messages 1\nsys_interval 0')
    c = t.connect(broker=broker)
    c.publish(t.topic('a'), b'1', qos=1, retain=True)
    for qos in (1, 2):
        c = t.connect(broker=broker)
        c.send_publish(t.topic('b'), b'2', qos=qos, retain=True)
        c.expect_closed()
    c = t.connect(broker=broker)
    c.publish(t.topic('a'), b'3', qos=1, retain=True)
    c.subscribe(t.topic('#'), qos=1)
    c.expect_message(t.topic('a'), b'3', retain=True)
    c.expect_silence()


@statement('MQTT3-4.8.0-2', config=None, chappe=True, versions=BOTH)
def a_refused_message_is_not_acknowledged(t):
    broker = t.start_broker('max_inflight_messages 1\nmax_queued_messages 5\nqueue_policy refuse-publisher')
    sub = t.connect('sub', clean_start=False, broker=broker)
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    taken, c = 0, t.connect(broker=broker)
    while taken < 2000:                             # between workers the news may come a little late
        packet_id = c.send_publish(t.topic(), str(taken), qos=1)
        answer = c.receive()
        if answer is None:
            break
        assert answer.type == PUBACK and answer.packet_id == packet_id, answer
        taken += 1
    assert 5 <= taken < 2000, taken
    sub = t.connect('sub', clean_start=False, broker=broker)
    for n in range(taken):
        sub.expect_message(t.topic(), str(n))
    sub.expect_silence()


@statement('MQTT3-7.1.1-1', versions=BOTH)
def the_boundaries_of_segments_do_not_matter(t):
    stream = (mqtt.connect(t.client_id(), t.version) + mqtt.subscribe(1, [(t.topic(), 2)], 4)
              + mqtt.publish(t.topic(), b'x' * 200, 2, packet_id=2, version=4) + mqtt.acknowledgement(PUBREL, 2)
              + mqtt.pingreq())
    for size in (1, 2, 7, len(stream)):
        c = t.open()
        c.send_in_pieces(stream, size)
        c.expect(CONNACK, reason=0)
        c.expect(SUBACK, packet_id=1)
        c.wait_for(PUBREC, 2)
        c.wait_for(PUBCOMP, 2)
        c.wait_for(PINGRESP)
        c.expect_message(t.topic(), b'x' * 200, qos=2)
        c.disconnect()
