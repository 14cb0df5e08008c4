"""Data representation and packet format (MQTT 5.0, sections 1.5 and 2)."""

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PUBLISH
from suite import statement

ILL_FORMED = (
    b'\xed\xa0\x80',            # U+D800, a surrogate
    b'\xed\xbf\xbf',            # U+DFFF
    b'\xc0\xaf',                # "/" in two bytes
    b'\xe0\x80\xaf',            # "/" in three bytes
    b'\xf4\x90\x80\x80',        # beyond U+10FFFF
    b'\xe2\x82',                # cut short
    b'\x80',                    # a continuation of nothing
    b'\xff',
)


def connects_with(text):
    """CONNECT packets that carry text in each place for a string."""
    yield mqtt.connect(text)
    yield mqtt.connect('c', will=mqtt.Will(text))
    yield mqtt.connect('c', user_name=text)
    yield mqtt.connect('c', properties_={'user_property': (text, 'v')})
    yield mqtt.connect('c', properties_={'authentication_method': text})
    yield mqtt.connect('c', will=mqtt.Will('w', properties={'content_type': text}))
    yield mqtt.connect('c', will=mqtt.Will('w', properties={'response_topic': text}))
    yield mqtt.connect('c', will=mqtt.Will('w', properties={'user_property': ('k', text)}))


def packets_with(text):
    """The same for what is sent after CONNECT."""
    yield mqtt.publish(text)
    yield mqtt.publish('a', properties_={'content_type': text})
    yield mqtt.publish('a', properties_={'response_topic': text})
    yield mqtt.subscribe(1, [(text, 0)])
    yield mqtt.unsubscribe(1, [text])
    yield mqtt.disconnect(0, {'reason_string': text})
    yield mqtt.acknowledgement(PUBACK, 1, 0, {'reason_string': text})


def user_properties_with(text):
    for pair in ((text, 'v'), ('k', text)):
        named = {'user_property': pair}
        yield mqtt.publish('a', properties_=named)
        yield mqtt.subscribe(1, [('a', 0)], properties_=named)
        yield mqtt.unsubscribe(1, ['a'], properties_=named)
        yield mqtt.acknowledgement(PUBREL, 1, 0, named)
        yield mqtt.disconnect(0, named)


def expect_connect_refused(t, raw, *reasons):
    c = t.open()
    c.send(raw)
    c.expect_refused(*reasons)


@statement('MQTT-1.5.4-1')
def ill_formed_utf8_closes_the_connection(t):
    for bad in ILL_FORMED:
        for raw in packets_with(b'a' + bad):
            t.expect_malformed(raw, 0x81, 0x82, 0x8F, 0x90)


@statement('MQTT-1.5.4-1')
def ill_formed_utf8_in_connect_is_refused(t):
    for bad in ILL_FORMED:
        for raw in connects_with(b'a' + bad):
            expect_connect_refused(t, raw)


@statement('MQTT-1.5.4-2')
def null_character_in_a_string_closes_the_connection(t):
    for raw in packets_with(b'a\0b'):
        t.expect_malformed(raw, 0x81, 0x82, 0x8F, 0x90)
    for raw in connects_with(b'a\0b'):
        expect_connect_refused(t, raw)


@statement('MQTT-1.5.4-3')
def byte_order_mark_is_kept_wherever_it_stands(t):
    plain, marked, pub = t.connect('plain'), t.connect('marked'), t.connect('pub')
    topics = ['\ufeff' + t.topic(), t.topic('a\ufeffb'), t.topic('ab') + '\ufeff']
    plain.subscribe(t.topic(), t.topic('ab'))
    marked.subscribe(*topics)
    for topic in topics:
        pub.publish(topic, b'x', user_property=('\ufeffk', 'v\ufeff'))
        marked.expect_message(topic, b'x', user_property=[('\ufeffk', 'v\ufeff')])
    t.expect_nothing(plain, pub)


@statement('MQTT-1.5.5-1')
def lengths_longer_than_necessary_close_the_connection(t):
    for raw in (
        b'\xc0\x80\x00',                                        # PINGREQ, 0 in two bytes
        b'\x30\x84\x00\x00\x01a\x00',                           # PUBLISH, 4 in two bytes
        b'\x30\x84\x80\x00\x00\x01a\x00',                       # in three
        b'\x30\x05\x00\x01a\x80\x00',                           # Property Length 0 in two bytes
        b'\x82\x0a\x00\x01\x03\x0b\x81\x00\x00\x01a\x00',       # Subscription Identifier 1 in two bytes
    ):
        t.expect_malformed(raw)


@statement('MQTT-1.5.5-1')
def lengths_of_five_bytes_close_the_connection(t):
    t.expect_malformed(b'\x30\xff\xff\xff\xff\x01', 0x81, 0x82, 0x95)
    t.expect_malformed(b'\x30\x80\x80\x80\x80\x00', 0x81, 0x82, 0x95)
    t.expect_malformed(b'\x30\x08\x00\x01a\x80\x80\x80\x80\x00')


@statement('MQTT-1.5.5-1')
def lengths_at_each_border_are_served_and_encoded_shortest(t):
    c = t.connect()
    c.subscribe(t.topic())
    overhead = len(mqtt.data(t.topic())) + 1
    for size in (127, 128, 16383, 16384):
        c.publish(t.topic(), b'x' * (size - overhead))
        message = c.expect_message(t.topic())
        assert message.raw[1:].startswith(mqtt.varint(size)), message.raw[:6].hex(' ')


@statement('MQTT-1.5.7-1')
def ill_formed_user_properties_close_the_connection(t):
    for bad in (b'\xed\xa0\x80', b'\xff', b'\0'):
        for raw in user_properties_with(b'a' + bad):
            t.expect_malformed(raw)


@statement('MQTT-2.1.3-1')
def reserved_header_flags_close_the_connection(t):
    for good in (
        mqtt.acknowledgement(PUBACK, 1), mqtt.acknowledgement(PUBREC, 1), mqtt.acknowledgement(PUBREL, 1),
        mqtt.acknowledgement(PUBCOMP, 1), mqtt.subscribe(1, [('a', 0)]), mqtt.unsubscribe(1, ['a']),
        mqtt.pingreq(), mqtt.disconnect(),
    ):
        for flags in {0, 1, 2, 4, 8} - {good[0] & 15}:
            t.expect_malformed(bytes((good[0] & 0xF0 | flags,)) + good[1:])


@statement('MQTT-2.1.3-1')
def reserved_header_flags_of_connect_are_refused(t):
    for flags in (1, 2, 4, 8):
        raw = mqtt.connect(t.client_id())
        expect_connect_refused(t, bytes((raw[0] | flags,)) + raw[1:], 0x81, 0x82)


@statement('MQTT-2.1.3-1')
def packet_type_0_closes_the_connection(t):
    for first in (0x00, 0x0f):
        t.expect_malformed(mqtt.packet(first))


@statement('MQTT-2.2.1-2')
def qos_0_message_has_no_packet_identifier(t):
    c = t.connect()
    c.subscribe(t.topic(), qos=2)
    c.publish(t.topic(), b'payload', qos=0)
    message = c.expect_message(t.topic(), b'payload', qos=0)
    assert message.raw == mqtt.publish(t.topic(), b'payload'), message.raw.hex(' ')


@statement('MQTT-2.2.1-3')
def packet_identifier_0_closes_the_connection(t):
    for raw in (
        mqtt.publish('a', qos=1, packet_id=0), mqtt.publish('a', qos=2, packet_id=0),
        mqtt.subscribe(0, [('a', 0)]), mqtt.unsubscribe(0, ['a']),
    ):
        t.expect_malformed(raw)


@statement('MQTT-2.2.1-4')
def packet_identifiers_in_flight_are_not_reused(t):
    sub, pub = t.connect('sub', receive_maximum=10), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    held = set()
    for n in range(10):
        pub.publish(t.topic(), str(n), qos=1 + n % 2)
        message = sub.expect_message(t.topic(), str(n), ack=False)
        assert message.packet_id not in held
        held.add(message.packet_id)


@statement('MQTT-2.2.1-5')
def acknowledgements_carry_the_identifier_of_their_publish(t):
    c = t.connect()
    for packet_id in (1, 2, 255, 256, 32768, 65535, 7):
        c.send_publish(t.topic(), qos=1, packet_id=packet_id)
        c.expect(PUBACK, packet_id=packet_id)
        c.send_publish(t.topic(), qos=2, packet_id=packet_id)
        c.expect(PUBREC, packet_id=packet_id)
        c.send_ack(PUBREL, packet_id)
        c.expect(PUBCOMP, packet_id=packet_id)


@statement('MQTT-2.2.1-5')
def pubrel_carries_the_identifier_of_the_publish(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    for _ in range(3):
        pub.publish(t.topic(), qos=2)
        message = sub.expect_message(t.topic(), qos=2, ack=False)
        sub.send_ack(PUBREC, message.packet_id)
        sub.expect(PUBREL, packet_id=message.packet_id)
        sub.send_ack(PUBCOMP, message.packet_id)


@statement('MQTT-2.2.1-6')
def suback_and_unsuback_carry_the_identifier_of_their_request(t):
    c = t.connect()
    for packet_id in (1, 255, 256, 65535, 2):
        c.send_subscribe(t.topic(), packet_id=packet_id)
        c.expect(SUBACK, packet_id=packet_id)
        c.send_unsubscribe(t.topic(), packet_id=packet_id)
        c.expect(UNSUBACK, packet_id=packet_id)


@statement('MQTT-2.2.2-1')
def no_properties_is_a_property_length_of_zero(t):
    c = t.connect()
    suback = c.subscribe(t.topic(), qos=1)
    assert suback.raw[4] == 0, suback.raw.hex(' ')
    c.publish(t.topic(), b'x')
    c.expect(PUBLISH, raw=mqtt.packet(0x30, mqtt.data(t.topic()) + b'\0x'))
    unsuback = c.unsubscribe(t.topic())
    assert unsuback.raw[4] == 0, unsuback.raw.hex(' ')


@statement('MQTT-2.2.2-1')
def packets_without_a_property_length_close_the_connection(t):
    for raw in (
        mqtt.packet(0x30, mqtt.data('a')),
        mqtt.packet(0x82, b'\0\1'),
        mqtt.packet(0xA2, b'\0\1'),
    ):
        t.expect_malformed(raw)
    c = t.open()
    c.send(mqtt.packet(0x10, mqtt.data('MQTT') + b'\5\2\0\0'))
    c.expect_refused(0x81, 0x82)


@statement('MQTT-2.2.2-1')
def connack_says_its_property_length(t):
    c = t.open()
    c.send_connect(t.client_id())
    connack = c.expect(CONNACK, reason=0)
    assert len(connack.raw) >= 5, connack.raw.hex(' ')
