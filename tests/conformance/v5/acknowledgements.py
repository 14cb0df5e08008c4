"""PUBACK, PUBREC, PUBREL and PUBCOMP (MQTT 5.0, sections 3.4 to 3.7)."""

import mqtt_bytes as mqtt
from mqtt_bytes import PUBACK, PUBCOMP, PUBREC, PUBREL
from suite import statement


def tight(t):
    """A client that accepts nothing larger than its own CONNACK: no Reason String of any length fits."""
    size = len(t.connect('tight').connack.raw)
    return t.connect('tight', maximum_packet_size=size), size


@statement('MQTT-3.4.2-1', 'MQTT-3.5.2-1')
def puback_and_pubrec_tell_the_outcome(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=0)
    for qos in (1, 2):
        assert pub.publish(t.topic(), b'x', qos=qos).reason == 0
        assert pub.publish(t.topic('nobody'), b'x', qos=qos).reason in (0x00, 0x10)


@statement('MQTT-3.4.2-1', 'MQTT-3.5.2-1', chappe=True)
def puback_and_pubrec_tell_that_nobody_subscribed(t):
    pub = t.connect()
    for qos in (1, 2):
        assert pub.publish(t.topic(), b'x', qos=qos).reason == 0x10


@statement('MQTT-3.4.2-1', 'MQTT-3.5.2-1', 'MQTT-3.6.2-1', 'MQTT-3.7.2-1', chappe=True)
def plain_success_has_no_reason_code_byte(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    assert pub.publish(t.topic(), b'x', qos=1).raw == bytes.fromhex('40 02 00 01')
    assert pub.publish(t.topic(), b'x', qos=2).raw == bytes.fromhex('50 02 00 02')
    sub.expect_message(qos=1)
    message = sub.expect_message(qos=2, ack=False)
    sub.send_ack(PUBREC, message.packet_id)
    assert len(sub.expect(PUBREL).raw) == 4


@statement('MQTT-3.4.2-2', 'MQTT-3.4.2-3')
def puback_fits_into_the_maximum_packet_size(t):
    c, size = tight(t)
    for topic in (t.topic(), '$SYS/no'):
        c.send_publish(topic, b'x', qos=1)
        assert len(c.expect(PUBACK).raw) <= size


@statement('MQTT-3.5.2-2', 'MQTT-3.5.2-3')
def pubrec_fits_into_the_maximum_packet_size(t):
    c, size = tight(t)
    for topic in (t.topic(), '$SYS/no'):
        c.send_publish(topic, b'x', qos=2)
        assert len(c.expect(PUBREC).raw) <= size


@statement('MQTT-3.6.2-2', 'MQTT-3.6.2-3')
def pubrel_fits_into_the_maximum_packet_size(t):
    sub, size = tight(t)
    sub.subscribe(t.topic(), qos=2)
    t.connect().publish(t.topic(), b'', qos=2)
    message = sub.expect_message(qos=2, ack=False)
    sub.send_ack(PUBREC, message.packet_id)
    assert len(sub.expect(PUBREL).raw) <= size


@statement('MQTT-3.7.2-2', 'MQTT-3.7.2-3')
def pubcomp_fits_into_the_maximum_packet_size(t):
    c, size = tight(t)
    c.send_ack(PUBREL, 1000)
    assert len(c.expect(PUBCOMP, packet_id=1000).raw) <= size


@statement('MQTT-3.6.1-1')
def pubrel_with_other_flags_closes_the_connection(t):
    for flags in (0, 1, 3, 4, 6, 8, 10, 15):
        c = t.connect()
        c.publish(t.topic(), b'x', qos=1)
        packet_id = c.send_publish(t.topic(), b'x', qos=2)
        c.expect(PUBREC, packet_id=packet_id)
        c.send(mqtt.packet(0x60 | flags, mqtt.two(packet_id)))
        c.expect_closed(0x81, 0x82)


@statement('MQTT-3.6.2-1')
def pubrel_has_flags_2_and_a_reason_of_its_own(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    pub.publish(t.topic(), b'x', qos=2)
    message = sub.expect_message(qos=2, ack=False)
    sub.send_ack(PUBREC, message.packet_id, 0x10)
    assert sub.expect(PUBREL, packet_id=message.packet_id, reason=0).raw[0] == 0x62


@statement('MQTT-3.7.2-1')
def pubcomp_answers_an_unknown_identifier_too(t):
    c = t.connect()
    c.send_ack(PUBREL, 4711)
    c.expect(PUBCOMP, packet_id=4711, reason=(0x00, 0x92))


@statement('MQTT-3.4.2-1', 'MQTT-3.5.2-1', 'MQTT-3.6.2-1', 'MQTT-3.7.2-1')
def each_form_of_an_acknowledgement_is_accepted(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    forms = ({}, {'reason': 0}, {'reason': 0, 'user_property': ('a', 'b'), 'reason_string': 'fine'})
    for form in forms:
        pub.publish(t.topic(), b'x', qos=1)
        sub.send_ack(PUBACK, sub.expect_message(qos=1, ack=False).packet_id, **form)
        packet_id = pub.send_publish(t.topic(), b'y', qos=2)
        pub.expect(PUBREC, packet_id=packet_id)
        pub.send_ack(PUBREL, packet_id, **form)
        pub.expect(PUBCOMP, packet_id=packet_id)
        message = sub.expect_message(payload=b'y', qos=2, ack=False)
        sub.send_ack(PUBREC, message.packet_id, **form)
        sub.expect(PUBREL, packet_id=message.packet_id)
        sub.send_ack(PUBCOMP, message.packet_id, **form)
    sub.expect_silence()


@statement('MQTT-3.4.2-1', 'MQTT-3.5.2-1', 'MQTT-3.6.2-1', 'MQTT-3.7.2-1')
def malformed_acknowledgements_close_the_connection(t):
    for type_ in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        first = type_ << 4 | (2 if type_ == PUBREL else 0)
        for body in (b'', b'\0', b'\0\1\0\5', b'\0\1\0\2\x1f\0', b'\0\1\0\0\0', b'\0\1\0\5\x11\0\0\0\1',
                     b'\0\1\0\x08\x1f\0\1a\x1f\0\1b', b'\0\1\x81'):
            if body == b'\0\1\x81' and type_ in (PUBACK, PUBREC):
                body = b'\0\1\x92'              # a Reason Code of PUBREL and PUBCOMP only
            t.expect_malformed(mqtt.packet(first, body))
