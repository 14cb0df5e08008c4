"""SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK (MQTT 3.1.1, sections 3.8 to 3.11)."""

import mqtt_bytes as mqtt
from mqtt_bytes import PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK
from suite import configuration, statement

BOTH = (3, 4)
QOS_1 = configuration('at most QoS 1', 'max_qos 1')


# ---- SUBSCRIBE: its form ----------------------------------------------------------------------------

@statement('MQTT3-3.8.1-1')
def subscribe_with_other_flags_closes_the_connection(t):
    body = mqtt.subscribe(1, [(t.topic(), 0)], 4)[2:]
    for flags in (0, 1, 3, 4, 6, 8, 10, 15):
        t.expect_malformed(mqtt.packet(0x80 | flags, body))


@statement('MQTT3-3.8.3-1', versions=BOTH)
def filters_are_checked_as_utf8(t):
    for bad in (b'a\xff', b'\xed\xa0\x80', b'a\0b', b'\xc3'):
        t.expect_malformed(mqtt.subscribe(1, [(bad, 0)], 4))


@statement('MQTT3-3.8.3-2', versions=BOTH)
def filters_with_wildcards_are_granted(t):
    c = t.connect()
    c.subscribe(t.topic('+'), t.topic('a/#'), t.topic('+/b/+'), granted=[0, 0, 0])
    for name in ('x', 'a/x/y', 'x/b/y'):
        c.publish(t.topic(name), name)
        c.expect_message(t.topic(name), name)


@statement('MQTT3-3.8.3-3', versions=BOTH)
def subscribe_without_filters_closes_the_connection(t):
    for body in (b'\0\1', b'\0\1' + mqtt.data('a'), b'\0\1\0', b'\0\1\0\5abc\0'):
        t.expect_malformed(mqtt.packet(0x82, body))


@statement('MQTT3-3.8.3-4', versions=BOTH)
def reserved_bits_and_qos_3_close_the_connection(t):
    for options in (0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFD, 0xFF):
        t.expect_malformed(mqtt.subscribe(1, [(t.topic(), options)], 4))
        t.expect_malformed(mqtt.subscribe(1, [(t.topic('a'), 0), (t.topic(), options)], 4))


# ---- what SUBSCRIBE does ----------------------------------------------------------------------------

@statement('MQTT3-3.8.4-1', 'MQTT3-3.8.4-2', versions=BOTH)
def subscribe_is_answered_by_suback_with_its_identifier(t):
    c = t.connect()
    ids = [c.send_subscribe(t.topic(str(packet_id)), packet_id=packet_id) for packet_id in (1, 65535, 2, 300)]
    for packet_id in ids:
        c.expect(SUBACK, packet_id=packet_id)


@statement('MQTT3-3.8.4-3', versions=BOTH)
def the_same_filter_again_replaces_the_subscription(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    for qos in (0, 2, 1):
        sub.subscribe(t.topic('+'), qos=qos)
        pub.publish(t.topic('a'), b'x', qos=2)
        sub.expect_message(t.topic('a'), b'x', qos=qos)
        t.expect_nothing(sub, pub, qos=1)
    sub.unsubscribe(t.topic('+'))
    pub.publish(t.topic('a'), b'x', qos=2)
    t.expect_nothing(sub, pub, qos=1)


@statement('MQTT3-3.8.4-3', versions=BOTH)
def the_same_filter_again_sends_retained_messages_again(t):
    sub = t.connect('sub')
    sub.publish(t.topic('a'), b'retained', qos=1, retain=True)
    for qos in (1, 1, 0):
        sub.subscribe(t.topic('+'), qos=qos)
        sub.expect_message(t.topic('a'), b'retained', retain=True, qos=qos)
        sub.expect_silence()


@statement('MQTT3-3.8.4-3', versions=BOTH)
def replacing_a_subscription_loses_nothing(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=1)
    for n in range(100):
        pub.send_publish(t.topic(), str(n), qos=1)
        sub.send_subscribe(t.topic(), qos=1 + n % 2)
    found = []
    while len(found) < 100:
        packet = sub.receive()
        if packet.type == PUBLISH:
            found.append(packet.payload)
            sub.acknowledge(packet)
    assert found == [str(n).encode() for n in range(100)], found
    pub.close()


@statement('MQTT3-3.8.4-4', 'MQTT3-3.8.4-5', 'MQTT3-3.9.3-1', versions=BOTH)
def several_filters_are_answered_together_in_order(t):
    c, pub = t.connect(), t.connect('pub')
    suback = c.subscribe((t.topic('a'), 2), (t.topic('b'), 0), (t.topic('c'), 1), (t.topic('a'), 1),
                         granted=[2, 0, 1, 1])
    assert len(suback.reasons) == 4
    for name, qos in (('a', 1), ('b', 0), ('c', 1)):        # the later "a" replaced the earlier one
        pub.publish(t.topic(name), b'x', qos=2)
        c.expect_message(t.topic(name), b'x', qos=qos)
    t.expect_nothing(c, pub, qos=1)


@statement('MQTT3-3.8.4-4', versions=BOTH)
def several_filters_send_retained_messages_as_single_ones_would(t):
    c = t.connect()
    for name in 'ab':
        c.publish(t.topic(name), name, qos=1, retain=True)
    c.subscribe((t.topic('a'), 0), (t.topic('b'), 1), (t.topic('a'), 1))
    found = [c.expect_message(retain=True) for _ in range(3)]
    assert sorted(m.payload for m in found) == [b'a', b'a', b'b'], found
    c.expect_silence()


@statement('MQTT3-3.8.4-5', 'MQTT3-3.9.3-1', 'MQTT3-3.9.3-2', versions=BOTH)
def suback_has_a_return_code_for_each_filter(t):
    c = t.connect()
    for count in (1, 2, 50, 200):
        filters = [(t.topic(f'{count}/{n}'), n % 3) for n in range(count)]
        c.subscribe(*filters, granted=[n % 3 for n in range(count)])


@statement('MQTT3-3.8.4-5', 'MQTT3-3.9.3-1', 'MQTT3-3.9.3-2', versions=BOTH)
def a_bad_filter_does_not_spoil_its_neighbours(t):
    c = t.connect()
    c.send_subscribe(t.topic('a'), t.topic('a/#/b'), t.topic('c'), qos=1)
    answer = c.receive()
    if answer is None:
        return                                      # treating the packet as malformed is as good
    assert answer.reasons == [1, 0x80, 1], answer
    c.publish(t.topic('c'), b'x')
    c.expect_message(t.topic('c'), b'x')


@statement('MQTT3-3.8.4-5', 'MQTT3-3.8.4-6', config=QOS_1, versions=BOTH)
def suback_tells_of_a_lower_granted_qos(t):
    c = t.connect()
    c.subscribe((t.topic('0'), 0), (t.topic('1'), 1), (t.topic('2'), 2), granted=[0, 1, 1])
    for name, qos in (('0', 0), ('1', 1), ('2', 1)):
        c.publish(t.topic(name), b'x', qos=1)
        c.expect_message(t.topic(name), b'x', qos=qos)


@statement('MQTT3-3.8.4-6', versions=BOTH)
def messages_come_at_the_lower_of_both_qos(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    for granted in (0, 1, 2):
        sub.subscribe(t.topic(str(granted)), qos=granted)
        for published in (0, 1, 2):
            pub.publish(t.topic(str(granted)), b'x', qos=published)
            sub.expect_message(t.topic(str(granted)), b'x', qos=min(granted, published))


# ---- UNSUBSCRIBE ------------------------------------------------------------------------------------

@statement('MQTT3-3.10.1-1')
def unsubscribe_with_other_flags_closes_the_connection(t):
    body = mqtt.unsubscribe(1, [t.topic()], 4)[2:]
    for flags in (0, 1, 3, 4, 6, 8, 10, 15):
        t.expect_malformed(mqtt.packet(0xA0 | flags, body))


@statement('MQTT3-3.10.3-1', versions=BOTH)
def filters_to_unsubscribe_are_checked_as_utf8(t):
    for bad in (b'a\xff', b'\xed\xa0\x80', b'a\0b', b'\xc3'):
        t.expect_malformed(mqtt.unsubscribe(1, [bad], 4))
        t.expect_malformed(mqtt.unsubscribe(1, ['good', bad], 4))


@statement('MQTT3-3.10.3-1', versions=BOTH)
def filters_to_unsubscribe_with_a_gap_close_the_connection(t):
    for rest in (b'\0', b'\0\5abc'):
        t.expect_malformed(mqtt.packet(0xA2, b'\0\1' + mqtt.data('a') + rest))


@statement('MQTT3-3.10.3-2', versions=BOTH)
def unsubscribe_without_filters_closes_the_connection(t):
    t.expect_malformed(mqtt.unsubscribe(1, [], 4))


@statement('MQTT3-3.10.4-1', versions=BOTH)
def filters_to_unsubscribe_are_compared_character_by_character(t):
    c = t.connect()
    c.subscribe(t.topic('a'), t.topic('+'), t.topic('\u00e9'))
    for other in (t.topic('#'), t.topic('A'), t.topic('a') + '/', t.topic('b'), t.topic('e\u0301')):
        c.unsubscribe(other)
    c.publish(t.topic('b'), b'x')
    c.expect_message(t.topic('b'), b'x')
    c.unsubscribe(t.topic('+'))
    c.publish(t.topic('b'), b'x')
    for name in ('a', '\u00e9'):
        c.publish(t.topic(name), b'y')
        c.expect_message(t.topic(name), b'y')


@statement('MQTT3-3.10.4-2', versions=BOTH)
def after_unsubscribe_no_new_messages_come(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    for f in (t.topic(), t.topic('#'), t.topic('+/a')):
        sub.subscribe(f, qos=1)
        sub.unsubscribe(f)
    for qos in (0, 1, 2):
        pub.publish(t.topic(), b'x', qos=qos)
        pub.publish(t.topic('b/a'), b'x', qos=qos)
    t.expect_nothing(sub, pub, qos=1)


@statement('MQTT3-3.10.4-3', versions=BOTH)
def unsubscribe_completes_what_is_in_flight(t):
    sub, pub = t.connect('sub', clean_start=False), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    pub.publish(t.topic(), b'1', qos=1)
    pub.publish(t.topic(), b'2', qos=2)
    one, two = [sub.expect_message(ack=False) for _ in range(2)]
    sub.unsubscribe(t.topic())
    sub.send_ack(PUBREC, two.packet_id)
    sub.expect(PUBREL, packet_id=two.packet_id)
    sub.drop()
    sub = t.connect('sub', clean_start=False)
    again = sorted((sub.receive(), sub.receive()), key=lambda p: p.type)
    assert [(p.type, p.packet_id) for p in again] == [(PUBLISH, one.packet_id), (PUBREL, two.packet_id)], again
    assert again[0].payload == b'1' and again[0].dup


@statement('MQTT3-3.10.4-4', 'MQTT3-3.10.4-5', versions=BOTH)
def unsubscribe_is_answered_by_unsuback_even_if_nothing_matches(t):
    c = t.connect()
    ids = [c.send_unsubscribe(t.topic('never subscribed'), packet_id=packet_id) for packet_id in (1, 65535, 2, 300)]
    for packet_id in ids:
        c.expect(UNSUBACK, raw=b'\xb0\2' + mqtt.two(packet_id))


@statement('MQTT3-3.10.4-6', versions=BOTH)
def several_filters_to_unsubscribe_get_one_unsuback(t):
    c = t.connect()
    c.subscribe(t.topic('a'), t.topic('c'), t.topic('d'))
    c.unsubscribe(t.topic('a'), t.topic('b'), t.topic('c'), t.topic('a'))
    for name in 'abc':
        c.publish(t.topic(name), b'x')
    c.publish(t.topic('d'), b'y')
    c.expect_message(t.topic('d'), b'y')
    c.expect_silence()
