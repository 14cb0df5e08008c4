"""PUBLISH and its acknowledgements (MQTT 3.1.1, sections 3.3 to 3.7), but for retained messages."""

import mqtt_bytes as mqtt
from mqtt_bytes import PINGRESP, PUBACK, PUBCOMP, PUBREC, PUBREL
from suite import configuration, statement

BOTH = (3, 4)
OVERLAP_ONCE = configuration('no duplicates', 'allow_duplicate_messages false')


def pair(t, qos=2, **words):
    """A subscriber of t.topic() and a publisher."""
    sub, pub = t.connect('sub', **words), t.connect('pub')
    sub.subscribe(t.topic(), qos=qos)
    return sub, pub


# ---- DUP and QoS ------------------------------------------------------------------------------------

@statement('MQTT3-3.3.1-1', versions=BOTH)
def redelivered_messages_have_dup(t):
    for qos in (1, 2):
        sub, pub = pair(t, clean_start=False)
        pub.publish(t.topic(), b'x', qos=qos)
        message = sub.expect_message(t.topic(), b'x', qos=qos, dup=False, ack=False)
        sub.drop()
        sub = t.connect('sub', clean_start=False)
        sub.expect_message(t.topic(), b'x', qos=qos, dup=True, packet_id=message.packet_id)
        sub.disconnect()


@statement('MQTT3-3.3.1-1', versions=BOTH)
def messages_that_waited_unsent_have_no_dup(t):
    sub, pub = pair(t, clean_start=False)
    sub.disconnect()
    for qos in (1, 2):
        pub.publish(t.topic(), b'x', qos=qos)
    sub = t.connect('sub', clean_start=False)
    for qos in (1, 2):
        sub.expect_message(t.topic(), b'x', qos=qos, dup=False)


@statement('MQTT3-3.3.1-2', versions=BOTH)
def qos_0_messages_never_have_dup(t):
    sub, pub = pair(t)
    for _ in range(3):
        pub.publish(t.topic(), b'x')
        assert sub.expect_message(t.topic(), b'x').raw[0] == 0x30


@statement('MQTT3-3.3.1-2')
def dup_with_qos_0_closes_the_connection(t):
    t.expect_malformed(mqtt.publish(t.topic(), b'x', dup=True, version=4))


@statement('MQTT3-3.3.1-3', versions=BOTH)
def dup_is_not_passed_on(t):
    sub, pub = pair(t)
    for qos in (1, 2):
        pub.publish(t.topic(), b'x', qos=qos, dup=True)
        sub.expect_message(t.topic(), b'x', qos=qos, dup=False)
    sub.subscribe(t.topic('low'), qos=0)
    pub.publish(t.topic('low'), b'x', qos=2, dup=True)
    sub.expect_message(t.topic('low'), b'x', qos=0, dup=False)


@statement('MQTT3-3.3.1-4', versions=BOTH)
def qos_3_closes_the_connection(t):
    for flags in (0x06, 0x07, 0x0E, 0x0F):
        t.expect_malformed(mqtt.packet(0x30 | flags, mqtt.data(t.topic()) + b'\0\1x'))


@statement('MQTT3-3.3.4-1', versions=BOTH)
def each_qos_is_answered_by_its_packet(t):
    c = t.connect()
    c.send_publish(t.topic(), b'x', qos=0)
    c.expect_silence()
    one = c.send_publish(t.topic(), b'x', qos=1)
    c.expect(PUBACK, packet_id=one)
    two = c.send_publish(t.topic(), b'x', qos=2)
    c.expect(PUBREC, packet_id=two)
    c.send_ack(PUBREL, two)
    c.expect(PUBCOMP, packet_id=two)
    c.expect_silence()


# ---- the Topic Name ---------------------------------------------------------------------------------

@statement('MQTT3-3.3.2-1', versions=BOTH)
def topic_name_is_checked_as_utf8(t):
    for qos in (0, 1, 2):
        for bad in (b'a\xff', b'\xed\xa0\x80', b'a\xc3'):
            t.expect_malformed(mqtt.publish(bad, b'', qos, packet_id=1 if qos else None, version=4))


@statement('MQTT3-3.3.2-1', versions=BOTH)
def a_missing_or_cut_topic_name_closes_the_connection(t):
    for body in (b'', b'\0', b'\0\5abc', b'\xff\xffabc'):
        t.expect_malformed(mqtt.packet(0x30, body))


@statement('MQTT3-3.3.2-2', 'MQTT3-4.7.1-1', versions=BOTH)
def wildcards_in_a_topic_name_close_the_connection(t):
    sub = t.connect('sub')
    sub.subscribe(t.topic('#'), qos=2)
    for bad in ('#', '+', 'a/#', 'a/+/b', 'a+', '#a'):
        for qos in (0, 1, 2):
            t.expect_malformed(mqtt.publish(t.topic(bad), b'x', qos, packet_id=1 if qos else None, version=4))
    t.expect_nothing(sub, t.connect(), qos=2)


@statement('MQTT3-3.3.2-3', versions=BOTH)
def forwarded_topic_names_match_the_filter(t):
    pub = t.connect('pub')
    subs = {f: t.connect(f'sub{n}') for n, f in enumerate(('a/b', 'a/+', '+/b', 'a/#', '#'))}
    for f, sub in subs.items():
        sub.subscribe(t.topic(f))
    for name, matching in (('a/b', ('a/b', 'a/+', '+/b', 'a/#', '#')), ('a/c', ('a/+', 'a/#', '#')),
                           ('c/b', ('+/b', '#')), ('a', ('a/#', '#')), ('A/b', ('+/b', '#'))):
        pub.publish(t.topic(name), name)
        for f in matching:
            subs[f].expect_message(t.topic(name), name)
    for sub in subs.values():
        t.expect_nothing(sub, pub)


# ---- delivery ---------------------------------------------------------------------------------------

def overlapping(t):
    """What a client with three matching subscriptions gets of one message."""
    sub, pub, marker = t.connect('sub'), t.connect('pub'), t.marker()
    sub.subscribe((t.topic('a/b'), 0), (t.topic('a/+'), 2), (t.topic('#'), 1), (marker, 2))
    pub.publish(t.topic('a/b'), b'x', qos=2)
    pub.publish(marker, b'', qos=2)
    found = []
    while (message := sub.expect_message()).topic != marker:
        found.append(message)
    return found


@statement('MQTT3-3.3.5-1', versions=BOTH)
def overlapping_subscriptions_deliver_at_the_highest_qos(t):
    found = overlapping(t)
    assert max(m.qos for m in found) == 2, found
    assert len(found) == 1 or sorted(m.qos for m in found) == [0, 1, 2], found


@statement('MQTT3-3.3.5-1', config=OVERLAP_ONCE, versions=BOTH)
def a_single_copy_has_the_highest_qos(t):
    assert [m.qos for m in overlapping(t)] == [2]


@statement('MQTT3-3.3.5-1', versions=BOTH)
def payloads_reach_the_subscriber_unaltered(t):
    sub, pub = pair(t)
    for payload in (b'', b'\0', bytes(range(256)), b'\xff' * 127, b'x' * 16384, b'y' * 300000):
        for qos in (0, 1, 2):
            pub.publish(t.topic(), payload, qos=qos)
            sub.expect_message(t.topic(), payload, qos=qos)


@statement('MQTT3-3.3.5-2', versions=BOTH)
def a_forbidden_publish_is_acknowledged_or_ends_the_connection(t):
    for topic in (f'$SYS/{t.topic()}', f'$CONTROL/{t.topic()}'):
        sub = t.connect('sub')
        sub.subscribe(topic, qos=2)
        for qos, answer in ((0, PINGRESP), (1, PUBACK), (2, PUBREC)):
            c = t.connect()
            c.send_publish(topic, b'x', qos=qos)
            c.send(mqtt.pingreq(), 'PINGREQ')
            packet = c.receive()
            assert packet is None or packet.type == answer, packet
        t.expect_nothing(sub, t.connect(), qos=2)


@statement('MQTT3-3.3.5-2', chappe=True, versions=BOTH)
def a_forbidden_publish_is_acknowledged(t):
    c = t.connect()
    for qos in (0, 1, 2):
        c.publish(f'$SYS/{t.topic()}', b'x', qos=qos)
    c.expect_silence()


# ---- PUBREL -----------------------------------------------------------------------------------------

@statement('MQTT3-3.6.1-1')
def pubrel_with_other_flags_closes_the_connection(t):
    for flags in (0, 1, 3, 4, 6, 8, 10, 15):
        c = t.connect()
        packet_id = c.send_publish(t.topic(), b'x', qos=2)
        c.expect(PUBREC, packet_id=packet_id)
        c.send(mqtt.packet(0x60 | flags, mqtt.two(packet_id)))
        c.expect_closed()
