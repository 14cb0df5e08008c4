"""Session State, redelivery, receipt (MQTT 5.0, sections 4.1, 4.2, 4.4 and 4.5)."""

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK, PUBACK, PUBCOMP, PUBREC, PUBREL, SUBACK
from suite import statement


def away(t, qos=1):
    """A session that subscribed to t.topic() and left, and a publisher."""
    sub, pub = t.connect('sub', session_expiry_interval=60), t.connect('pub')
    sub.subscribe(t.topic(), qos=qos)
    sub.disconnect()
    return pub


def back(t, **words):
    sub = t.connect('sub', clean_start=False, session_expiry_interval=60, **words)
    assert sub.connack.session_present
    return sub


@statement('MQTT-4.1.0-1', slow=True)
def a_session_lives_while_its_connection_does(t):
    for expiry in (0, 1):
        c = t.connect(f'e{expiry}', session_expiry_interval=expiry)
        c.subscribe(t.topic(str(expiry)), qos=1)
    t.let_pass(2.5)
    pub = t.connect('pub')
    for expiry, c in zip((0, 1), t.clients):
        pub.publish(t.topic(str(expiry)), b'still here', qos=1)
        c.expect_message(t.topic(str(expiry)), b'still here')


@statement('MQTT-4.1.0-2', slow=True)
def a_session_is_discarded_after_its_expiry_interval(t):
    c = t.connect('one', session_expiry_interval=1)
    c.subscribe(t.topic(), qos=1)
    c.disconnect()
    t.let_pass(2.3)
    assert not t.connect('one', clean_start=False).connack.session_present


@statement('MQTT-4.1.0-2')
def a_session_without_expiry_interval_ends_with_its_connection(t):
    for words in ({}, {'session_expiry_interval': 0}):
        c = t.connect('one', **words)
        c.subscribe(t.topic(), qos=1)
        c.disconnect()
        assert not t.connect('one', clean_start=False).connack.session_present


@statement('MQTT-4.1.0-2', slow=True)
def the_latest_expiry_interval_counts(t):
    t.connect('one', session_expiry_interval=1).disconnect()
    c = t.connect('one', clean_start=False, session_expiry_interval=60)
    assert c.connack.session_present
    c.disconnect()
    t.connect('two', session_expiry_interval=60).disconnect(session_expiry_interval=1)
    t.let_pass(2.3)
    assert t.connect('one', clean_start=False).connack.session_present
    assert not t.connect('two', clean_start=False).connack.session_present


@statement('MQTT-4.2-1')
def packets_may_come_byte_by_byte_or_all_at_once(t):
    c = t.open()
    stream = (mqtt.connect(t.client_id()) + mqtt.subscribe(1, [(t.topic(), 2)])
              + mqtt.publish(t.topic(), b'x' * 20, qos=2, packet_id=2)
              + mqtt.acknowledgement(PUBREL, 2) + mqtt.pingreq())
    c.send_in_pieces(stream)
    c.expect(CONNACK, reason=0)
    c.expect(SUBACK, packet_id=1)
    c.wait_for(PUBREC, 2)
    c.wait_for(PUBCOMP, 2)
    c.wait_for(mqtt.PINGRESP)
    c.expect_message(t.topic(), b'x' * 20, qos=2)
    c.send(mqtt.pingreq() * 1000, '1000 × PINGREQ')
    for _ in range(1000):
        c.expect(mqtt.PINGRESP)


@statement('MQTT-4.4.0-1', 'MQTT-4.3.2-3', 'MQTT-4.3.3-3')
def unacknowledged_messages_are_sent_again_on_reconnection(t):
    for qos in (1, 2):
        pub, sub = away(t, qos), back(t)
        ids = []
        for n in range(4):
            pub.publish(t.topic(), str(n), qos=qos)
            ids.append(sub.expect_message(t.topic(), str(n), ack=False).packet_id)
        sub.drop()
        for _ in range(2):
            sub = back(t)
            for n in range(4):
                sub.expect_message(t.topic(), str(n), qos=qos, dup=True, packet_id=ids[n], ack=False)
            sub.expect_silence()
            sub.drop()


@statement('MQTT-4.4.0-1', 'MQTT-4.3.3-5', 'MQTT-4.3.3-6')
def an_unacknowledged_pubrel_is_sent_again_and_its_publish_is_not(t):
    pub, sub = away(t, 2), back(t)
    pub.publish(t.topic(), b'x', qos=2)
    message = sub.expect_message(t.topic(), b'x', ack=False)
    sub.send_ack(PUBREC, message.packet_id)
    sub.expect(PUBREL, packet_id=message.packet_id)
    for _ in range(2):
        sub.drop()
        sub = back(t)
        sub.expect(PUBREL, packet_id=message.packet_id)
        sub.expect_silence()
    sub.send_ack(PUBCOMP, message.packet_id)
    sub.expect_silence()
    sub.disconnect()
    back(t).expect_silence()


@statement('MQTT-4.4.0-1', slow=True)
def nothing_is_sent_again_while_connected(t):
    pub, sub = away(t, 2), back(t)
    for qos in (1, 2):
        pub.publish(t.topic(), str(qos), qos=qos)
    held = [sub.expect_message(ack=False) for _ in range(2)]
    two = next(m for m in held if m.qos == 2)
    sub.send_ack(PUBREC, two.packet_id)
    sub.expect(PUBREL, packet_id=two.packet_id)
    t.let_pass(3)
    sub.expect_silence()


@statement('MQTT-4.4.0-1')
def acknowledged_messages_are_not_sent_again(t):
    pub, sub = away(t, 2), back(t)
    for qos in (1, 2):
        pub.publish(t.topic(), b'x', qos=qos)
        sub.expect_message(t.topic(), b'x', qos=qos)
    sub.expect_silence()
    sub.drop()
    back(t).expect_silence()


@statement('MQTT-4.4.0-1')
def a_clients_resent_message_is_completed_after_reconnection(t):
    sub = t.connect('sub')
    sub.subscribe(t.topic(), qos=2)
    c = t.connect('one', session_expiry_interval=60)
    packet_id = c.send_publish(t.topic(), b'x', qos=2)
    c.expect(PUBREC, packet_id=packet_id)
    c.drop()
    c = t.connect('one', clean_start=False, session_expiry_interval=60)
    assert c.connack.session_present
    c.send_publish(t.topic(), b'x', qos=2, packet_id=packet_id, dup=True)
    c.expect(PUBREC, packet_id=packet_id)
    c.drop()
    c = t.connect('one', clean_start=False)
    c.send_ack(PUBREL, packet_id)
    c.expect(PUBCOMP, packet_id=packet_id, reason=0)
    sub.expect_message(t.topic(), b'x')
    t.expect_nothing(sub, c, qos=2)


@statement('MQTT-4.4.0-2')
def messages_acknowledged_with_an_error_are_not_sent_again(t):
    for qos, type_ in ((1, PUBACK), (2, PUBREC)):
        pub, sub = away(t, qos), back(t)
        for reason in (0x80, 0x83, 0x97, 0x99):
            pub.publish(t.topic(), b'x', qos=qos)
            sub.send_ack(type_, sub.expect_message(ack=False).packet_id, reason)
            sub.expect_silence()
        sub.drop()
        back(t).expect_silence()


@statement('MQTT-4.5.0-1')
def messages_are_added_to_every_matching_session(t):
    for name in ('present', 'away'):
        t.connect(name, session_expiry_interval=60).subscribe(t.topic('+'), qos=2)
    present, absent = t.clients
    absent.disconnect()
    pub = t.connect('pub')
    for qos in (1, 2):
        pub.publish(t.topic('a'), str(qos), qos=qos)
        present.expect_message(t.topic('a'), str(qos), qos=qos)
    absent = t.connect('away', clean_start=False)
    assert {absent.expect_message(t.topic('a')).payload for _ in range(2)} == {b'1', b'2'}


@statement('MQTT-4.5.0-1')
def acknowledged_messages_survive_the_publishers_departure(t):
    pub = away(t)
    for n in range(100):
        pub.publish(t.topic(), str(n), qos=1)
    pub.abort()
    sub = back(t)
    for n in range(100):
        sub.expect_message(t.topic(), str(n), qos=1)
