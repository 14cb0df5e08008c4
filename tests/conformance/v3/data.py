"""Strings, flags and Packet Identifiers (MQTT 3.1.1, sections 1.5 and 2)."""

import mqtt_bytes as mqtt
from mqtt_bytes import PINGRESP, PUBACK, PUBCOMP, PUBREC, PUBREL, SUBACK, UNSUBACK
from suite import statement
from v5.data import ILL_FORMED

BOTH = (3, 4)


def connects_with(t, text):
    """CONNECT packets that carry text in each place for a string."""
    yield mqtt.connect(text, t.version)
    yield mqtt.connect(t.client_id(), t.version, will=mqtt.Will(text))
    yield mqtt.connect(t.client_id(), t.version, user_name=text)


def packets_with(text):
    """The same for what is sent after CONNECT."""
    yield mqtt.publish(text, version=4)
    yield mqtt.publish(text, qos=1, packet_id=1, version=4)
    yield mqtt.subscribe(1, [(text, 0)], 4)
    yield mqtt.subscribe(1, [('good', 0), (text, 0)], 4)
    yield mqtt.unsubscribe(1, [text], 4)


def expect_strings_refused(t, text):
    for raw in packets_with(text):
        t.expect_malformed(raw)
    for raw in connects_with(t, text):
        c = t.open()
        c.send(raw)
        c.expect_refused()


# ---- strings ----------------------------------------------------------------------------------------

@statement('MQTT3-1.5.3-1', versions=BOTH)
def ill_formed_utf8_closes_the_connection(t):
    for bad in ILL_FORMED:
        expect_strings_refused(t, b'a' + bad)


@statement('MQTT3-1.5.3-2', versions=BOTH)
def null_character_in_a_string_closes_the_connection(t):
    for bad in (b'\0', b'a\0', b'a\0b'):
        expect_strings_refused(t, bad)


@statement('MQTT3-1.5.3-3', versions=BOTH)
def byte_order_mark_is_kept_wherever_it_stands(t):
    plain, marked, pub = t.connect('plain'), t.connect('marked'), t.connect('pub')
    topics = ['\ufeff' + t.topic(), t.topic('a\ufeffb'), t.topic('ab') + '\ufeff']
    plain.subscribe(t.topic(), t.topic('ab'))
    marked.subscribe(*topics)
    for topic in topics:
        pub.publish(topic, b'x')
        marked.expect_message(topic, b'x')
    t.expect_nothing(plain, pub)


@statement('MQTT3-1.5.3-3')
def byte_order_mark_is_part_of_a_client_id(t):
    marked = t.connect(client_id='\ufeff' + t.client_id())
    plain = t.connect(client_id=t.client_id())
    for c in (marked, plain):
        c.expect_silence()                          # neither took the other's place


# ---- flags ------------------------------------------------------------------------------------------

@statement('MQTT3-2.2.2-1', versions=BOTH)
def each_packet_of_the_server_has_the_flags_of_its_type(t):
    c = t.connect()
    assert c.connack.raw[0] == 0x20
    assert c.subscribe(t.topic(), qos=2).raw[0] == 0x90
    assert c.publish(t.topic('other'), qos=1).raw[0] == 0x40
    packet_id = c.send_publish(t.topic(), qos=2)
    assert c.wait_for(PUBREC, packet_id).raw[0] == 0x50
    c.send_ack(PUBREL, packet_id)
    assert c.wait_for(PUBCOMP, packet_id).raw[0] == 0x70
    message = c.expect_message(t.topic(), ack=False)
    assert message.raw[0] == 0x34
    c.send_ack(PUBREC, message.packet_id)
    assert c.expect(PUBREL).raw[0] == 0x62
    assert c.unsubscribe(t.topic()).raw[0] == 0xB0
    c.send(mqtt.pingreq(), 'PINGREQ')
    assert c.expect(PINGRESP).raw == b'\xd0\x00'


@statement('MQTT3-2.2.2-2')
def invalid_flags_close_the_connection(t):
    for good in (
        mqtt.acknowledgement(PUBACK, 1), mqtt.acknowledgement(PUBREC, 1), mqtt.acknowledgement(PUBREL, 1),
        mqtt.acknowledgement(PUBCOMP, 1), mqtt.subscribe(1, [('a', 0)], 4), mqtt.unsubscribe(1, ['a'], 4),
        mqtt.pingreq(), mqtt.disconnect(),
    ):
        for flags in {0, 1, 2, 4, 8, 15} - {good[0] & 15}:
            t.expect_malformed(bytes((good[0] & 0xF0 | flags,)) + good[1:])


@statement('MQTT3-2.2.2-2', 'MQTT3-3.1.4-1', versions=BOTH)
def invalid_flags_of_connect_close_the_connection(t):
    for flags in (1, 2, 4, 8, 15):
        c = t.open()
        raw = mqtt.connect(t.client_id(), t.version)
        c.send(bytes((raw[0] | flags,)) + raw[1:])
        c.expect_closed()


# ---- Packet Identifiers -----------------------------------------------------------------------------

@statement('MQTT3-2.3.1-1', versions=BOTH)
def packet_identifier_0_closes_the_connection(t):
    for raw in (
        mqtt.publish('a', qos=1, packet_id=0, version=4), mqtt.publish('a', qos=2, packet_id=0, version=4),
        mqtt.subscribe(0, [('a', 0)], 4), mqtt.unsubscribe(0, ['a'], 4),
    ):
        t.expect_malformed(raw)


@statement('MQTT3-2.3.1-1', versions=BOTH)
def a_missing_packet_identifier_closes_the_connection(t):
    for first in (0x32, 0x34):
        for rest in (b'', b'\1'):
            t.expect_malformed(mqtt.packet(first, mqtt.data('a') + rest))
    for first in (0x82, 0xA2, 0x40, 0x50, 0x62, 0x70):
        for rest in (b'', b'\1'):
            t.expect_malformed(mqtt.packet(first, rest))


@statement('MQTT3-2.3.1-4', versions=BOTH)
def packet_identifiers_in_flight_are_not_reused(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    held = set()
    for n in range(10):
        pub.publish(t.topic(), str(n), qos=1 + n % 2)
        message = sub.expect_message(t.topic(), str(n), ack=False)
        assert message.packet_id not in held
        held.add(message.packet_id)


@statement('MQTT3-2.3.1-4', versions=BOTH)
def a_message_sent_again_keeps_its_packet_identifier(t):
    sub, pub = t.connect('sub', clean_start=False), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    for qos in (1, 2):
        pub.publish(t.topic(), str(qos), qos=qos)
    ids = [sub.expect_message(payload=str(qos), ack=False).packet_id for qos in (1, 2)]
    for _ in range(2):
        sub.drop()
        sub = t.connect('sub', clean_start=False)
        for qos, packet_id in zip((1, 2), ids):
            sub.expect_message(payload=str(qos), packet_id=packet_id, dup=True, ack=False)
    sub.close()


@statement('MQTT3-2.3.1-4', slow=True)
def packet_identifiers_wrap_around_past_65535_and_never_are_0(t):
    c = t.connect()
    c.subscribe(t.topic(), qos=1)
    c.publish(t.topic(), b'held', qos=1)
    held = c.expect_message(payload=b'held', ack=False).packet_id
    batch = 500
    for at in range(0, 66000, batch):
        ids = list(range(at % 60000 + 1, at % 60000 + 1 + batch))
        c.send(b''.join(mqtt.publish(t.topic(), b'', 1, packet_id=n, version=4) for n in ids), f'{batch} × PUBLISH')
        left = {PUBACK: batch, mqtt.PUBLISH: batch}
        while any(left.values()):
            packet = c.receive()
            left[packet.type] -= 1
            if packet.type == mqtt.PUBLISH:
                assert packet.packet_id not in (0, held)
                c.send_ack(PUBACK, packet.packet_id)
        c.transcript.clear()
    c.send_ack(PUBACK, held)
    c.expect_silence()


@statement('MQTT3-2.3.1-5', versions=BOTH)
def qos_0_message_has_no_packet_identifier(t):
    c = t.connect()
    c.subscribe(t.topic(), qos=2)
    c.publish(t.topic(), b'payload', qos=0)
    message = c.expect_message(t.topic(), b'payload', qos=0)
    assert message.raw == mqtt.publish(t.topic(), b'payload', version=4), message.raw.hex(' ')


@statement('MQTT3-2.3.1-6', versions=BOTH)
def acknowledgements_carry_the_identifier_of_their_publish(t):
    c = t.connect()
    for packet_id in (1, 2, 255, 256, 32768, 65535, 7):
        c.send_publish(t.topic(), qos=1, packet_id=packet_id)
        c.expect(PUBACK, raw=b'\x40\2' + mqtt.two(packet_id))
        c.send_publish(t.topic(), qos=2, packet_id=packet_id)
        c.expect(PUBREC, raw=b'\x50\2' + mqtt.two(packet_id))
        c.send_ack(PUBREL, packet_id)
        c.expect(PUBCOMP, raw=b'\x70\2' + mqtt.two(packet_id))


@statement('MQTT3-2.3.1-6', versions=BOTH)
def pubrel_carries_the_identifier_of_the_publish(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    for _ in range(3):
        pub.publish(t.topic(), qos=2)
        message = sub.expect_message(t.topic(), qos=2, ack=False)
        sub.send_ack(PUBREC, message.packet_id)
        sub.expect(PUBREL, raw=b'\x62\2' + mqtt.two(message.packet_id))
        sub.send_ack(PUBCOMP, message.packet_id)


@statement('MQTT3-2.3.1-7', 'MQTT3-3.8.4-2', 'MQTT3-3.10.4-4', versions=BOTH)
def suback_and_unsuback_carry_the_identifier_of_their_request(t):
    c = t.connect()
    for packet_id in (1, 255, 256, 65535, 2):
        c.send_subscribe(t.topic(), packet_id=packet_id)
        c.expect(SUBACK, raw=b'\x90\3' + mqtt.two(packet_id) + b'\0')
        c.send_unsubscribe(t.topic(), packet_id=packet_id)
        c.expect(UNSUBACK, raw=b'\xb0\2' + mqtt.two(packet_id))
