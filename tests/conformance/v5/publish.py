"""PUBLISH (MQTT 5.0, section 3.3), but for retained messages."""

import mqtt_bytes as mqtt
from mqtt_bytes import PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK
from suite import configuration, statement

ALL_PROPERTIES = {
    'payload_format_indicator': 1,
    'content_type': 'text/ä',
    'response_topic': 'answers/♥/here',
    'correlation_data': b'\x00\xff\xfe data',
    'user_property': [('b', '1'), ('a', '2'), ('b', '1'), ('', ''), ('ü', '\ufeff')],
}


def pair(t, qos=2, **words):
    """A subscriber of t.topic() and a publisher."""
    sub, pub = t.connect('sub', **words), t.connect('pub')
    sub.subscribe(t.topic(), qos=qos)
    return sub, pub


# ---- DUP and QoS ------------------------------------------------------------------------------------

@statement('MQTT-3.3.1-1', 'MQTT-4.3.2-3', 'MQTT-4.3.3-3')
def redelivered_messages_have_dup(t):
    for qos in (1, 2):
        sub, pub = pair(t, session_expiry_interval=60)
        pub.publish(t.topic(), b'x', qos=qos)
        message = sub.expect_message(t.topic(), b'x', qos=qos, dup=False, ack=False)
        sub.drop()
        sub = t.connect('sub', clean_start=False)
        sub.expect_message(t.topic(), b'x', qos=qos, dup=True, packet_id=message.packet_id)
        sub.disconnect()


@statement('MQTT-3.3.1-2', 'MQTT-4.3.1-1')
def qos_0_messages_never_have_dup(t):
    sub, pub = pair(t)
    for _ in range(3):
        pub.publish(t.topic(), b'x', qos=0)
        sub.expect_message(t.topic(), b'x', qos=0, dup=False)


@statement('MQTT-3.3.1-2')
def dup_with_qos_0_closes_the_connection(t):
    t.expect_malformed(mqtt.publish(t.topic(), b'x', dup=True))


@statement('MQTT-3.3.1-3')
def dup_is_not_passed_on(t):
    sub, pub = pair(t)
    for qos in (1, 2):
        pub.publish(t.topic(), b'x', qos=qos, dup=True)
        sub.expect_message(t.topic(), b'x', qos=qos, dup=False)


@statement('MQTT-3.3.1-4')
def qos_3_closes_the_connection(t):
    for dup in (0, 8):
        t.expect_malformed(mqtt.packet(0x36 | dup, mqtt.data(t.topic()) + b'\0\1\0x'))


@statement('MQTT-3.3.4-1')
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

@statement('MQTT-3.3.2-1')
def topic_name_is_checked_as_utf8(t):
    for qos in (0, 1, 2):
        for bad in (b'a\xff', b'\xed\xa0\x80', b'a\xc3'):
            t.expect_malformed(mqtt.publish(bad, b'', qos, packet_id=1 if qos else None), 0x81, 0x82, 0x90)


@statement('MQTT-3.3.2-1')
def a_topic_name_longer_than_the_packet_closes_the_connection(t):
    t.expect_malformed(mqtt.packet(0x30, b'\0\5abc'))
    t.expect_malformed(mqtt.packet(0x30, b'\0'))
    t.expect_malformed(mqtt.packet(0x30))


@statement('MQTT-3.3.2-2', 'MQTT-4.7.0-1')
def wildcards_in_a_topic_name_are_refused(t):
    sub = t.connect('sub')
    sub.subscribe(t.topic('#'))
    for bad in ('#', '+', 'a/#', 'a/+/b', 'a+', '#a'):
        for qos in (0, 1):
            c = t.connect()
            c.send_publish(t.topic(bad), b'x', qos=qos)
            expect_refused_message(c, 0x90, 0x81, 0x82)
    t.expect_nothing(sub, t.connect())


def expect_refused_message(c, *reasons):
    """An error in the acknowledgement, or the end of the connection."""
    packet = c.receive()
    if packet is not None and packet.type in (PUBACK, PUBREC):
        assert packet.reason in reasons, packet
    elif packet is not None:
        assert packet.type == mqtt.DISCONNECT and packet.reason in reasons, packet
        assert c.receive() is None


@statement('MQTT-3.3.2-3')
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


# ---- properties -------------------------------------------------------------------------------------

@statement('MQTT-3.3.2-4', 'MQTT-3.3.2-15', 'MQTT-3.3.2-16', 'MQTT-3.3.2-17', 'MQTT-3.3.2-18', 'MQTT-3.3.2-20')
def properties_reach_the_subscriber_unaltered(t):
    sub, pub = pair(t)
    for qos in (0, 1, 2):
        pub.publish(t.topic(), 'payload', qos=qos, **ALL_PROPERTIES)
        assert sub.expect_message(t.topic(), 'payload').properties == ALL_PROPERTIES


@statement('MQTT-3.3.2-4', 'MQTT-3.3.2-17')
def properties_reach_an_absent_subscriber_unaltered(t):
    sub, pub = pair(t, session_expiry_interval=60)
    sub.disconnect()
    pub.publish(t.topic(), 'payload', qos=1, **ALL_PROPERTIES)
    sub = t.connect('sub', clean_start=False)
    assert sub.expect_message(t.topic(), 'payload').properties == ALL_PROPERTIES


@statement('MQTT-3.3.2-4', 'MQTT-3.3.2-17')
def properties_of_a_retained_message_are_kept(t):
    t.connect().publish(t.topic(), 'payload', qos=1, retain=True, **ALL_PROPERTIES)
    sub = t.connect()
    sub.subscribe(t.topic())
    assert sub.expect_message(t.topic(), 'payload', retain=True).properties == ALL_PROPERTIES


@statement('MQTT-3.3.2-4')
def payload_format_indicator_is_passed_on_as_sent(t):
    sub, pub = pair(t)
    for value in (0, 1, None):
        words = {} if value is None else {'payload_format_indicator': value}
        pub.publish(t.topic(), b'x', **words)
        sub.expect_message(t.topic(), b'x', payload_format_indicator=(value,) if value else (0, None))


@statement('MQTT-3.3.2-5', slow=True)
def an_expired_message_is_not_delivered(t):
    sub, pub = pair(t, session_expiry_interval=60)
    sub.disconnect()
    pub.publish(t.topic(), b'short', qos=1, message_expiry_interval=1)
    pub.publish(t.topic(), b'long', qos=1, message_expiry_interval=600)
    t.let_pass(2.2)
    sub = t.connect('sub', clean_start=False)
    sub.expect_message(t.topic(), b'long')
    t.expect_nothing(sub, pub, qos=1)


@statement('MQTT-3.3.2-5', slow=True)
def an_expired_message_waiting_for_the_window_is_not_delivered(t):
    sub, pub = pair(t, receive_maximum=1)
    pub.publish(t.topic(), b'first', qos=1)
    first = sub.expect_message(t.topic(), b'first', ack=False)
    pub.publish(t.topic(), b'short', qos=1, message_expiry_interval=1)
    pub.publish(t.topic(), b'long', qos=1)
    t.let_pass(2.2)
    sub.acknowledge(first)
    sub.expect_message(t.topic(), b'long')


@statement('MQTT-3.3.2-6', slow=True)
def message_expiry_is_reduced_by_the_time_waited(t):
    sub, pub = pair(t, session_expiry_interval=60)
    pub.publish(t.topic(), b'x', qos=1, message_expiry_interval=100)
    sub.expect_message(t.topic(), b'x', message_expiry_interval=(100, 99))
    sub.disconnect()
    pub.publish(t.topic(), b'y', qos=1, message_expiry_interval=100)
    t.let_pass(2.2)
    sub = t.connect('sub', clean_start=False)
    sub.expect_message(t.topic(), b'y', message_expiry_interval=(98, 97))


@statement('MQTT-3.3.2-6', slow=True)
def message_expiry_of_a_retained_message_is_reduced(t):
    t.connect().publish(t.topic(), b'x', qos=1, retain=True, message_expiry_interval=100)
    t.connect().publish(t.topic('short'), b'x', qos=1, retain=True, message_expiry_interval=1)
    t.let_pass(2.2)
    sub = t.connect()
    sub.subscribe(t.topic())
    sub.expect_message(t.topic(), b'x', message_expiry_interval=(98, 97))
    t.expect_retained(t.topic('short'), None)


@statement('MQTT-3.3.2-13')
def response_topic_is_checked_as_utf8(t):
    for bad in (b'a\xff', b'\xed\xa0\x80', b'a\0'):
        t.expect_malformed(mqtt.publish(t.topic(), properties_={'response_topic': bad}), 0x81, 0x82, 0x90)


@statement('MQTT-3.3.2-14')
def wildcards_in_a_response_topic_are_refused(t):
    for bad in ('#', '+', 'a/#', 'a/+/b'):
        c = t.connect()
        c.send_publish(t.topic(), b'x', qos=1, response_topic=bad)
        expect_refused_message(c, 0x81, 0x82, 0x90)


@statement('MQTT-3.3.2-19')
def content_type_is_checked_as_utf8(t):
    for bad in (b'a\xff', b'\xed\xa0\x80', b'a\0'):
        t.expect_malformed(mqtt.publish(t.topic(), properties_={'content_type': bad}))


# ---- Topic Alias ------------------------------------------------------------------------------------

@statement('MQTT-3.3.2-7')
def topic_aliases_do_not_outlive_the_connection(t):
    c = t.connect('one', session_expiry_interval=60)
    c.publish(t.topic(), b'x', qos=1, topic_alias=1)
    c.disconnect()
    c = t.connect('one', clean_start=False)
    c.send_publish('', b'y', qos=1, topic_alias=1)
    c.expect_closed(0x82, 0x94)


@statement('MQTT-3.3.2-7', 'MQTT-3.1.2-26')
def topic_aliases_of_the_server_are_set_anew_on_each_connection(t):
    sub, pub = pair(t, session_expiry_interval=60, topic_alias_maximum=5)
    for _ in range(2):
        for _ in range(3):
            pub.publish(t.topic(), b'x', qos=1)
        first = sub.expect_message(payload=b'x')
        assert first.topic == t.topic()
        for _ in range(2):
            sub.expect_message(payload=b'x')
        sub.disconnect()
        sub = t.connect('sub', clean_start=False, session_expiry_interval=60, topic_alias_maximum=5)


@statement('MQTT-3.3.2-8')
def topic_alias_0_closes_the_connection(t):
    t.expect_malformed(mqtt.publish(t.topic(), properties_={'topic_alias': 0}), 0x94, 0x81, 0x82)


@statement('MQTT-3.3.2-12')
def all_topic_aliases_within_the_maximum_are_accepted(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    maximum = min(pub.connack.get('topic_alias_maximum', 0), 200)
    assert maximum > 0
    sub.subscribe(t.topic('#'))
    for alias in range(1, maximum + 1):
        pub.publish(t.topic(str(alias)), b'set', topic_alias=alias)
        sub.expect_message(t.topic(str(alias)), b'set')
    for alias in range(maximum, 0, -1):
        pub.publish('', b'used', topic_alias=alias)
        sub.expect_message(t.topic(str(alias)), b'used')
    pub.publish(t.topic('new'), b'changed', topic_alias=1)
    pub.publish('', b'used again', topic_alias=1, qos=1)
    sub.expect_message(t.topic('new'), b'changed')
    sub.expect_message(t.topic('new'), b'used again')


@statement('MQTT-3.3.2-12')
def a_topic_alias_that_was_never_set_closes_the_connection(t):
    t.expect_malformed(mqtt.publish('', b'x', properties_={'topic_alias': 2}), 0x82, 0x94)


@statement('MQTT-3.3.2-12')
def an_alias_set_by_a_qos_1_message_serves_a_retained_one(t):
    pub = t.connect()
    pub.publish(t.topic(), b'a', qos=1, topic_alias=3)
    pub.publish('', b'b', qos=1, topic_alias=3, retain=True)
    t.expect_retained(t.topic(), b'b')


# ---- overlapping subscriptions ----------------------------------------------------------------------

OVERLAP_ONCE = configuration('no duplicates', 'allow_duplicate_messages false')


def copies(c, marker, pub):
    """Everything that arrives before the marker published now; acknowledged."""
    c.subscribe(marker, qos=2)
    pub.publish(marker, b'marker', qos=2)
    found = []
    while True:
        message = c.expect_message()
        if message.topic == marker:
            return found
        found.append(message)


def overlapping(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic('a/b'), qos=0, subscription_identifier=1)
    sub.subscribe(t.topic('a/+'), qos=2, subscription_identifier=268435455)
    sub.subscribe(t.topic('#'), qos=1)
    pub.publish(t.topic('a/b'), b'x', qos=2)
    return copies(sub, t.marker(), pub)


@statement('MQTT-3.3.4-2')
def overlapping_subscriptions_deliver_at_the_highest_qos(t):
    found = overlapping(t)
    assert 1 <= len(found) <= 3 and max(m.qos for m in found) == 2, found
    assert len(found) == 1 or sorted(m.qos for m in found) == [0, 1, 2], found


@statement('MQTT-3.3.4-3', 'MQTT-3.3.4-5')
def overlapping_subscriptions_deliver_their_identifiers(t):
    found = overlapping(t)
    identifiers = [sorted(m.get('subscription_identifier', [])) for m in found]
    assert sorted(identifiers) in ([[1, 268435455]], [[], [1], [268435455]]), identifiers


@statement('MQTT-3.3.4-4', 'MQTT-3.3.4-2', config=OVERLAP_ONCE)
def a_single_copy_carries_all_identifiers_and_the_highest_qos(t):
    found = overlapping(t)
    assert len(found) == 1 and found[0].qos == 2, found
    assert sorted(found[0].get('subscription_identifier', [])) == [1, 268435455], found


@statement('MQTT-3.3.4-5')
def the_subscription_identifier_is_that_of_the_matching_subscription(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic('a'), subscription_identifier=7)
    sub.subscribe(t.topic('b'))
    pub.publish(t.topic('a'), b'x')
    sub.expect_message(t.topic('a'), subscription_identifier=[7])
    pub.publish(t.topic('b'), b'x')
    sub.expect_message(t.topic('b'), subscription_identifier=None)
    sub.subscribe(t.topic('a'), subscription_identifier=8)
    pub.publish(t.topic('a'), b'x')
    sub.expect_message(t.topic('a'), subscription_identifier=[8])
    sub.subscribe(t.topic('a'))
    pub.publish(t.topic('a'), b'x')
    sub.expect_message(t.topic('a'), subscription_identifier=None)


@statement('MQTT-3.3.4-3')
def subscription_identifiers_belong_to_the_session(t):
    sub, pub = t.connect('sub', session_expiry_interval=60), t.connect('pub')
    sub.subscribe(t.topic(), qos=1, subscription_identifier=300)
    sub.disconnect()
    pub.publish(t.topic(), b'away', qos=1)
    sub = t.connect('sub', clean_start=False)
    sub.expect_message(t.topic(), b'away', subscription_identifier=[300])
    pub.publish(t.topic(), b'back', qos=1)
    sub.expect_message(t.topic(), b'back', subscription_identifier=[300])


@statement('MQTT-3.3.4-6')
def a_subscription_identifier_from_a_client_closes_the_connection(t):
    t.expect_malformed(mqtt.publish(t.topic(), properties_={'subscription_identifier': 1}))


# ---- Receive Maximum --------------------------------------------------------------------------------

@statement('MQTT-3.3.4-7')
def more_than_the_receive_maximum_closes_the_connection(t):
    c = t.connect()
    maximum = c.connack.get('receive_maximum', 65535)
    assert maximum < 1000, 'not observable: everything may be in flight'
    for n in range(maximum):
        c.send_publish(t.topic(), b'x', qos=2)
    for n in range(maximum):
        c.expect(PUBREC)
    c.send_publish(t.topic(), b'x', qos=2)
    c.expect_closed(0x93)


@statement('MQTT-3.3.4-9', 'MQTT-4.9.0-1', 'MQTT-4.9.0-2')
def the_server_keeps_within_the_receive_maximum_of_the_client(t):
    for qos in (1, 2):
        sub, pub = pair(t, receive_maximum=2)
        for n in range(6):
            pub.publish(t.topic(), str(n), qos=qos)
        held = [sub.expect_message(payload=str(n), ack=False) for n in (0, 1)]
        sub.expect_silence()
        for n in range(2, 6):
            sub.acknowledge(held.pop(0))
            held.append(sub.expect_message(payload=str(n), ack=False))
            sub.expect_silence()
        sub.disconnect()


@statement('MQTT-3.3.4-9')
def qos_0_messages_pass_a_full_window(t):
    sub, pub = pair(t, receive_maximum=1)
    pub.publish(t.topic(), b'1', qos=1)
    sub.expect_message(payload=b'1', ack=False)
    pub.publish(t.topic(), b'2', qos=1)
    pub.publish(t.topic(), b'0', qos=0)
    sub.expect_message(payload=b'0', qos=0)


@statement('MQTT-3.3.4-9')
def an_error_in_pubrec_frees_its_place_in_the_window(t):
    sub, pub = pair(t, receive_maximum=1)
    for n in range(3):
        pub.publish(t.topic(), str(n), qos=2)
    for n in range(3):
        message = sub.expect_message(payload=str(n), ack=False)
        sub.send_ack(PUBREC, message.packet_id, 0x83)
    sub.expect_silence()


@statement('MQTT-3.3.4-9')
def a_resumed_session_keeps_within_a_smaller_receive_maximum(t):
    sub, pub = pair(t, session_expiry_interval=60)
    for n in range(5):
        pub.publish(t.topic(), str(n), qos=1)
        sub.expect_message(payload=str(n), ack=False)
    sub.drop()
    sub = t.connect('sub', clean_start=False, receive_maximum=2)
    held = [sub.expect_message(payload=str(n), dup=True, ack=False) for n in (0, 1)]
    sub.expect_silence()
    for message in held:
        sub.acknowledge(message)
    for n in (2, 3):
        sub.expect_message(payload=str(n), dup=True, ack=False)
    sub.expect_silence()


@statement('MQTT-3.3.4-9')
def receive_maximum_0_is_a_protocol_error(t):
    c = t.open()
    c.send_connect(t.client_id(), receive_maximum=0)
    c.expect_refused(0x81, 0x82)


@statement('MQTT-3.3.4-10', 'MQTT-4.9.0-3')
def other_packets_pass_a_full_window(t):
    sub, pub = pair(t, receive_maximum=1)
    for n in range(3):
        pub.publish(t.topic(), str(n), qos=2)
    message = sub.expect_message(payload=b'0', ack=False)
    sub.expect_silence()
    packet_id = sub.send_subscribe(t.topic('other'))
    sub.expect(SUBACK, packet_id=packet_id)
    packet_id = sub.send_publish(t.topic('third'), b'x', qos=2)
    sub.expect(PUBREC, packet_id=packet_id)
    sub.send_ack(PUBREL, packet_id)
    sub.expect(PUBCOMP, packet_id=packet_id)
    sub.send_ack(PUBREC, message.packet_id)
    sub.expect(PUBREL, packet_id=message.packet_id)
    sub.send(mqtt.pingreq(), 'PINGREQ')
    sub.expect(PINGRESP)
    sub.send_ack(PUBCOMP, message.packet_id)
    sub.expect(PUBLISH, payload=b'1')
