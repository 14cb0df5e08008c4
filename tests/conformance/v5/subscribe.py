"""SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK (MQTT 5.0, sections 3.8 to 3.11)."""

import mqtt_bytes as mqtt
from mqtt_bytes import PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK
from suite import statement


# ---- SUBSCRIBE: its form ----------------------------------------------------------------------------

@statement('MQTT-3.8.1-1')
def subscribe_with_other_flags_closes_the_connection(t):
    body = mqtt.subscribe(1, [(t.topic(), 0)])[2:]
    for flags in (0, 1, 3, 4, 6, 8, 10, 15):
        t.expect_malformed(mqtt.packet(0x80 | flags, body))


@statement('MQTT-3.8.3-1')
def filters_are_checked_as_utf8(t):
    for bad in (b'a\xff', b'\xed\xa0\x80', b'a\0b', b'\xc3'):
        t.expect_malformed(mqtt.subscribe(1, [(bad, 0)]), 0x81, 0x82, 0x8F)


@statement('MQTT-3.8.3-2')
def subscribe_without_filters_closes_the_connection(t):
    t.expect_malformed(mqtt.subscribe(1, []))
    t.expect_malformed(mqtt.packet(0x82, b'\0\1\0' + mqtt.data('a')))       # no options byte
    t.expect_malformed(mqtt.packet(0x82, b'\0\1'))


@statement('MQTT-3.8.3-3')
def no_local_keeps_own_messages_away(t):
    one, two = t.connect('one'), t.connect('two')
    one.subscribe(t.topic('no'), no_local=True, qos=1)
    one.subscribe(t.topic('yes'), qos=1)
    one.publish(t.topic('no'), b'own', qos=1)
    one.publish(t.topic('yes'), b'own', qos=1)
    one.expect_message(t.topic('yes'), b'own')
    two.publish(t.topic('no'), b'of another', qos=1)
    one.expect_message(t.topic('no'), b'of another')


@statement('MQTT-3.8.3-3')
def no_local_goes_by_client_id_across_connections(t):
    one, pub = t.connect('one', session_expiry_interval=60), t.connect('pub')
    one.subscribe(t.topic(), no_local=True, qos=1)
    one.disconnect()
    one = t.connect('one', clean_start=False)
    one.publish(t.topic(), b'own', qos=1)
    t.expect_nothing(one, pub, qos=1)


@statement('MQTT-3.8.3-4')
def no_local_on_a_shared_subscription_closes_the_connection(t):
    t.expect_malformed(mqtt.subscribe(1, [(f'$share/g/{t.topic()}', 4)]), 0x82)


@statement('MQTT-3.8.3-5')
def reserved_subscription_options_close_the_connection(t):
    for options in (0x40, 0x80, 0xC0, 0x03, 0x07, 0x30, 0x31):
        t.expect_malformed(mqtt.subscribe(1, [(t.topic(), options)]))


@statement('MQTT-3.8.4-1')
def subscribe_properties_are_checked(t):
    for raw in (b'\x0b\0', b'\x0b\1\x0b\2', b'\x01\1', b'\x1f\0\1a', b'\x0b\xff\xff\xff\xff\1', b'\x7f'):
        t.expect_malformed(mqtt.subscribe(1, [(t.topic(), 0)], properties_=raw))


# ---- what SUBSCRIBE does ----------------------------------------------------------------------------

@statement('MQTT-3.8.4-1', 'MQTT-3.8.4-2')
def subscribe_is_answered_by_suback_with_its_identifier(t):
    c = t.connect()
    for packet_id in (1, 65535, 2):
        c.send_subscribe(t.topic(), packet_id=packet_id)
        c.expect(SUBACK, packet_id=packet_id)


@statement('MQTT-3.8.4-3')
def the_same_filter_again_replaces_the_subscription(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    for qos in (0, 2, 1):
        sub.subscribe(t.topic('+'), qos=qos)
        pub.publish(t.topic('a'), b'x', qos=2)
        sub.expect_message(t.topic('a'), b'x', qos=qos)
        t.expect_nothing(sub, pub, qos=1)


@statement('MQTT-3.8.4-3')
def replacing_takes_over_all_options(t):
    c = t.connect()
    c.subscribe(t.topic(), no_local=True)
    c.publish(t.topic(), b'1')
    c.subscribe(t.topic(), retain_as_published=True)
    c.publish(t.topic(), b'2', retain=True)
    c.expect_message(t.topic(), b'2', retain=True)
    c.subscribe(t.topic(), retain_handling=2)
    c.publish(t.topic(), b'3', retain=True)
    c.expect_message(t.topic(), b'3', retain=False)


@statement('MQTT-3.8.4-4')
def replacing_sends_retained_messages_again_and_loses_nothing(t):
    sub, pub = t.connect('sub', receive_maximum=1), t.connect('pub')
    pub.publish(t.topic('r'), b'retained', qos=1, retain=True)
    sub.subscribe(t.topic('#'), qos=1)
    first = sub.expect_message(t.topic('r'), b'retained', ack=False)
    for n in range(5):
        pub.publish(t.topic('live'), str(n), qos=1)
    sub.subscribe(t.topic('#'), qos=1)
    sub.acknowledge(first)
    found = sorted((sub.expect_message().payload for _ in range(6)))
    assert found == [b'0', b'1', b'2', b'3', b'4', b'retained'], found


@statement('MQTT-3.8.4-5', 'MQTT-3.8.4-6', 'MQTT-3.9.3-1')
def several_filters_are_answered_together_in_order(t):
    c, pub = t.connect(), t.connect('pub')
    suback = c.subscribe((t.topic('a'), 2), (t.topic('b'), 0), (t.topic('c'), 1), (t.topic('a'), 1),
                         granted=[2, 0, 1, 1])
    assert len(suback.reasons) == 4
    pub.publish(t.topic('a'), b'x', qos=2)
    c.expect_message(t.topic('a'), b'x', qos=1)     # the later one replaced the earlier one
    t.expect_nothing(c, pub, qos=1)


@statement('MQTT-3.8.4-5', 'MQTT-3.9.3-1')
def a_bad_filter_does_not_spoil_its_neighbours(t):
    c = t.connect()
    c.send_subscribe(t.topic('a'), t.topic('a/#/b'), t.topic('c'), qos=1)
    answer = c.receive()
    if answer is None or answer.type == mqtt.DISCONNECT:
        return                                      # treating the packet as malformed is as good
    assert answer.reasons == [1, 0x8F, 1], answer
    c.publish(t.topic('c'), b'x')
    c.expect_message(t.topic('c'), b'x')


@statement('MQTT-3.8.4-6', 'MQTT-3.9.3-2')
def suback_has_a_reason_code_for_each_filter(t):
    c = t.connect()
    for count in (1, 2, 50, 200):
        filters = [(t.topic(f'{count}/{n}'), n % 3) for n in range(count)]
        c.subscribe(*filters, granted=[n % 3 for n in range(count)])


@statement('MQTT-3.8.4-7')
def suback_tells_the_granted_qos(t):
    c = t.connect()
    for qos in (0, 1, 2):
        assert c.subscribe(t.topic(), qos=qos).reasons == [qos]


@statement('MQTT-3.8.4-8')
def messages_come_at_the_lower_of_both_qos(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    for granted in (0, 1, 2):
        sub.subscribe(t.topic(str(granted)), qos=granted)
        for published in (0, 1, 2):
            pub.publish(t.topic(str(granted)), b'x', qos=published)
            sub.expect_message(t.topic(str(granted)), b'x', qos=min(granted, published))


@statement('MQTT-3.9.2-1', 'MQTT-3.9.2-2', 'MQTT-3.11.2-1', 'MQTT-3.11.2-2')
def suback_and_unsuback_fit_into_the_maximum_packet_size(t):
    size = len(t.connect('tight').connack.raw)
    c = t.connect('tight', maximum_packet_size=size)
    assert len(c.subscribe(t.topic()).raw) <= size
    assert len(c.unsubscribe(t.topic()).raw) <= size
    assert len(c.unsubscribe(t.topic('unknown')).raw) <= size
    c.send_subscribe('$share/g+/a')
    answer = c.receive()
    assert answer is None or len(answer.raw) <= size


# ---- UNSUBSCRIBE ------------------------------------------------------------------------------------

@statement('MQTT-3.10.1-1')
def unsubscribe_with_other_flags_closes_the_connection(t):
    body = mqtt.unsubscribe(1, [t.topic()])[2:]
    for flags in (0, 1, 3, 4, 6, 8, 10, 15):
        t.expect_malformed(mqtt.packet(0xA0 | flags, body))


@statement('MQTT-3.10.3-1')
def filters_to_unsubscribe_are_checked_as_utf8(t):
    for bad in (b'a\xff', b'\xed\xa0\x80', b'a\0b', b'\xc3'):
        t.expect_malformed(mqtt.unsubscribe(1, [bad]), 0x81, 0x82, 0x8F)


@statement('MQTT-3.10.3-2')
def unsubscribe_without_filters_closes_the_connection(t):
    t.expect_malformed(mqtt.unsubscribe(1, []))
    t.expect_malformed(mqtt.packet(0xA2, b'\0\1\0\0\5abc'))


@statement('MQTT-3.10.4-1')
def filters_to_unsubscribe_are_compared_character_by_character(t):
    c = t.connect()
    c.subscribe(t.topic('a'), t.topic('+'), t.topic('\u00e9'))
    for other in (t.topic('#'), t.topic('A'), t.topic('a') + '/', t.topic('b'), t.topic('e\u0301')):
        assert c.unsubscribe(other).reasons == [0x11]
    c.publish(t.topic('b'), b'x')
    c.expect_message(t.topic('b'), b'x')
    assert c.unsubscribe(t.topic('+')).reasons == [0]
    c.publish(t.topic('b'), b'x')
    c.expect_silence()
    c.publish(t.topic('a'), b'y')
    c.expect_message(t.topic('a'), b'y')


@statement('MQTT-3.10.4-2')
def after_unsubscribe_no_new_messages_come(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    for f in (t.topic(), t.topic('#'), t.topic('+/a')):
        sub.subscribe(f, qos=1)
        sub.unsubscribe(f)
    pub.publish(t.topic(), b'x', qos=1)
    pub.publish(t.topic('b/a'), b'x', qos=1)
    t.expect_nothing(sub, pub, qos=1)


@statement('MQTT-3.10.4-3')
def unsubscribe_completes_what_is_in_flight(t):
    sub, pub = t.connect('sub', session_expiry_interval=60), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    pub.publish(t.topic(), b'1', qos=1)
    pub.publish(t.topic(), b'2', qos=2)
    held = [sub.expect_message(ack=False) for _ in range(2)]
    sub.unsubscribe(t.topic())
    two = next(m for m in held if m.qos == 2)
    sub.send_ack(PUBREC, two.packet_id)
    sub.expect(PUBREL, packet_id=two.packet_id)
    sub.drop()
    sub = t.connect('sub', clean_start=False)
    again = [sub.receive(), sub.receive()]
    assert sorted(p.type for p in again) == [PUBLISH, PUBREL], again
    message = next(p for p in again if p.type == PUBLISH)
    assert message.payload == b'1' and message.dup


@statement('MQTT-3.10.4-4', 'MQTT-3.10.4-5')
def unsubscribe_is_answered_by_unsuback_with_its_identifier(t):
    c = t.connect()
    for packet_id in (1, 65535, 2):
        c.send_unsubscribe(t.topic('never subscribed'), packet_id=packet_id)
        c.expect(UNSUBACK, packet_id=packet_id)


@statement('MQTT-3.10.4-6', 'MQTT-3.11.3-1', 'MQTT-3.11.3-2')
def several_filters_to_unsubscribe_are_answered_together_in_order(t):
    c = t.connect()
    c.subscribe(t.topic('a'), t.topic('c'), t.topic('d'))
    unsuback = c.unsubscribe(t.topic('a'), t.topic('b'), t.topic('c'), t.topic('a'))
    assert unsuback.reasons == [0, 0x11, 0, 0x11], unsuback
    for name in 'abc':
        c.publish(t.topic(name), b'x')
    c.publish(t.topic('d'), b'y')
    c.expect_message(t.topic('d'), b'y')


@statement('MQTT-3.11.3-2')
def unsuback_tells_of_a_shared_subscription(t):
    c = t.connect()
    c.subscribe(f'$share/g/{t.topic()}')
    assert c.unsubscribe(t.topic(), f'$share/h/{t.topic()}', f'$share/g/{t.topic()}').reasons == [0x11, 0x11, 0]
