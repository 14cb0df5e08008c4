"""The QoS delivery protocols, order and flow control (MQTT 5.0, sections 4.3, 4.6 and 4.9)."""

from mqtt_bytes import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from suite import statement


def pair(t, qos=2, **words):
    sub, pub = t.connect('sub', **words), t.connect('pub')
    sub.subscribe(t.topic(), qos=qos)
    return sub, pub


# ---- the server sends -------------------------------------------------------------------------------

@statement('MQTT-4.3.1-1')
def qos_0_goes_out_with_qos_0_and_no_dup(t):
    sub, pub = pair(t)
    pub.publish(t.topic(), b'x', qos=0)
    assert sub.expect_message(t.topic(), b'x').raw[0] == 0x30


@statement('MQTT-4.3.2-1', 'MQTT-4.3.2-2')
def qos_1_goes_out_with_an_unused_identifier_and_no_dup(t):
    expect_unused_identifiers(t, 1, 0x32)


@statement('MQTT-4.3.3-1', 'MQTT-4.3.3-2')
def qos_2_goes_out_with_an_unused_identifier_and_no_dup(t):
    expect_unused_identifiers(t, 2, 0x34)


def expect_unused_identifiers(t, qos, first_byte):
    sub, pub = pair(t, receive_maximum=8)
    held = []
    for n in range(40):
        pub.publish(t.topic(), str(n), qos=qos)
        message = sub.expect_message(t.topic(), str(n), ack=False)
        assert message.raw[0] == first_byte
        assert message.packet_id not in [m.packet_id for m in held]
        held.append(message)
        if len(held) == 8:
            sub.acknowledge(held.pop(n % 8))


@statement('MQTT-4.3.2-3')
def a_qos_1_message_is_unacknowledged_until_its_puback(t):
    sub, pub = pair(t, receive_maximum=1)
    pub.publish(t.topic(), b'1', qos=1)
    pub.publish(t.topic(), b'2', qos=1)
    first = sub.expect_message(payload=b'1', ack=False)
    sub.send_ack(PUBACK, first.packet_id % 65535 + 1)           # of nothing
    sub.expect_silence()
    sub.send_ack(PUBACK, first.packet_id)
    sub.expect_message(payload=b'2')


@statement('MQTT-4.3.3-4')
def pubrec_is_answered_by_pubrel_and_an_error_is_not(t):
    sub, pub = pair(t)
    for reason in (None, 0x00, 0x10):
        pub.publish(t.topic(), b'x', qos=2)
        message = sub.expect_message(ack=False)
        sub.send_ack(PUBREC, message.packet_id, reason)
        sub.expect(PUBREL, packet_id=message.packet_id)
        sub.send_ack(PUBCOMP, message.packet_id)
    pub.publish(t.topic(), b'x', qos=2)
    sub.send_ack(PUBREC, sub.expect_message(ack=False).packet_id, 0x80)
    sub.expect_silence()


@statement('MQTT-4.3.3-5')
def a_pubrel_is_unacknowledged_until_its_pubcomp(t):
    sub, pub = pair(t, receive_maximum=1)
    pub.publish(t.topic(), b'1', qos=2)
    pub.publish(t.topic(), b'2', qos=2)
    first = sub.expect_message(payload=b'1', ack=False)
    sub.send_ack(PUBREC, first.packet_id)
    sub.expect(PUBREL, packet_id=first.packet_id)
    sub.expect_silence()
    sub.send_ack(PUBCOMP, first.packet_id)
    sub.expect_message(payload=b'2')


@statement('MQTT-4.3.3-6')
def a_repeated_pubrec_brings_pubrel_and_no_publish(t):
    sub, pub = pair(t)
    pub.publish(t.topic(), b'x', qos=2)
    message = sub.expect_message(ack=False)
    sub.send_ack(PUBREC, message.packet_id)
    sub.expect(PUBREL, packet_id=message.packet_id)
    sub.send_ack(PUBREC, message.packet_id)
    packet = sub.receive()
    assert packet.type == PUBREL and packet.packet_id == message.packet_id, packet
    sub.send_ack(PUBCOMP, message.packet_id)
    sub.expect_silence()


@statement('MQTT-4.3.3-7', slow=True)
def a_qos_2_message_once_sent_does_not_expire(t):
    sub, pub = pair(t, session_expiry_interval=60)
    pub.publish(t.topic(), b'x', qos=2, message_expiry_interval=1)
    message = sub.expect_message(ack=False)
    sub.drop()
    t.let_pass(2.2)
    sub = t.connect('sub', clean_start=False)
    sub.expect_message(t.topic(), b'x', dup=True, packet_id=message.packet_id)


# ---- the server receives ----------------------------------------------------------------------------

@statement('MQTT-4.3.2-4', 'MQTT-4.3.3-8')
def each_publish_is_acknowledged_and_delivered(t):
    sub, pub = pair(t)
    for qos, answer in ((1, PUBACK), (2, PUBREC)):
        packet_id = pub.send_publish(t.topic(), str(qos), qos=qos)
        pub.expect(answer, packet_id=packet_id)
        if qos == 2:
            pub.send_ack(PUBREL, packet_id)
            pub.expect(PUBCOMP, packet_id=packet_id)
        sub.expect_message(t.topic(), str(qos), qos=qos)


@statement('MQTT-4.3.2-5')
def after_puback_the_same_identifier_is_a_new_message(t):
    sub, pub = pair(t)
    for dup in (False, True, True):
        pub.send_publish(t.topic(), b'x', qos=1, packet_id=7, dup=dup)
        pub.expect(PUBACK, packet_id=7)
        sub.expect_message(t.topic(), b'x', dup=False)


@statement('MQTT-4.3.3-9', chappe=True)
def after_an_error_in_pubrec_the_same_identifier_is_a_new_message(t):
    sub, pub = pair(t)
    pub.send_publish('$SYS/forbidden', b'x', qos=2, packet_id=7)
    assert pub.expect(PUBREC, packet_id=7).reason >= 0x80
    pub.send_publish(t.topic(), b'new', qos=2, packet_id=7)
    pub.expect(PUBREC, packet_id=7, reason=0)
    pub.send_ack(PUBREL, 7)
    pub.expect(PUBCOMP, packet_id=7)
    sub.expect_message(t.topic(), b'new')


@statement('MQTT-4.3.3-10')
def a_repeated_qos_2_publish_is_acknowledged_and_delivered_once(t):
    sub, pub = pair(t)
    for dup in (False, True, True, False):
        pub.send_publish(t.topic(), b'x', qos=2, packet_id=7, dup=dup)
        pub.expect(PUBREC, packet_id=7)
    pub.send_ack(PUBREL, 7)
    pub.expect(PUBCOMP, packet_id=7)
    sub.expect_message(t.topic(), b'x')
    t.expect_nothing(sub, pub, qos=2)


@statement('MQTT-4.3.3-11')
def pubrel_is_answered_by_pubcomp(t):
    pub = t.connect()
    ids = [pub.send_publish(t.topic(), b'x', qos=2) for _ in range(5)]
    for packet_id in ids:
        pub.expect(PUBREC, packet_id=packet_id)
    for packet_id in reversed(ids):
        pub.send_ack(PUBREL, packet_id)
        pub.expect(PUBCOMP, packet_id=packet_id, reason=0)
    pub.send_ack(PUBREL, ids[0])
    pub.expect(PUBCOMP, packet_id=ids[0])


@statement('MQTT-4.3.3-12')
def after_pubcomp_the_same_identifier_is_a_new_message(t):
    sub, pub = pair(t)
    for n in range(3):
        pub.send_publish(t.topic(), str(n), qos=2, packet_id=7, dup=n > 0)
        pub.expect(PUBREC, packet_id=7)
        pub.send_ack(PUBREL, 7)
        pub.expect(PUBCOMP, packet_id=7)
        sub.expect_message(t.topic(), str(n))


@statement('MQTT-4.3.3-13', slow=True)
def the_sequence_goes_on_after_the_message_expired(t):
    sub, pub = pair(t, session_expiry_interval=60)
    sub.disconnect()
    pub.send_publish(t.topic(), b'x', qos=2, packet_id=7, message_expiry_interval=1)
    pub.expect(PUBREC, packet_id=7)
    t.let_pass(2.2)
    pub.send_publish(t.topic(), b'x', qos=2, packet_id=7, dup=True, message_expiry_interval=1)
    pub.expect(PUBREC, packet_id=7)
    pub.send_ack(PUBREL, 7)
    pub.expect(PUBCOMP, packet_id=7, reason=0)


@statement('MQTT-4.3.3-13', slow=True)
def a_server_completes_the_sequence_of_a_message_that_expired_meanwhile(t):
    sub, pub = pair(t)
    pub.publish(t.topic(), b'x', qos=2, message_expiry_interval=1)
    message = sub.expect_message(ack=False)
    t.let_pass(2.2)
    sub.send_ack(PUBREC, message.packet_id)
    sub.expect(PUBREL, packet_id=message.packet_id, reason=0)
    sub.send_ack(PUBCOMP, message.packet_id)
    sub.expect_silence()


# ---- order ------------------------------------------------------------------------------------------

@statement('MQTT-4.6.0-5', 'MQTT-4.6.0-6')
def messages_come_in_the_order_they_were_published(t):
    for qos in (0, 1, 2):
        sub, pub = t.connect('sub', receive_maximum=5), t.connect('pub')
        sub.subscribe(t.topic(f'{qos}/#'), qos=qos)
        window = pub.connack.get('receive_maximum', 65535)
        for n in range(200):
            packet_id = pub.send_publish(t.topic(f'{qos}/a'), str(n), qos=qos)
            if qos == 2:
                pub.wait_for(PUBREC, packet_id)
                pub.send_ack(PUBREL, packet_id)
            elif qos == 1 and n % window == window - 1:
                pub.wait_for(PUBACK, packet_id)
        for n in range(200):
            sub.expect_message(payload=str(n), qos=qos)
        sub.disconnect()


@statement('MQTT-4.6.0-5')
def acknowledgements_and_redeliveries_keep_the_order(t):
    sub, pub = pair(t, session_expiry_interval=60)
    for n in range(3):
        pub.publish(t.topic(), str(n), qos=1)
        sub.expect_message(payload=str(n), ack=False)
    sub.disconnect()
    for n in range(3, 6):
        pub.publish(t.topic(), str(n), qos=1)
    sub = t.connect('sub', clean_start=False, receive_maximum=2)
    for n in range(6):
        sub.expect_message(payload=str(n), dup=n < 3)


@statement('MQTT-4.6.0-5')
def answers_to_publishes_keep_their_order(t):
    pub = t.connect()
    ids = [pub.send_publish(t.topic(), b'x', qos=1) for _ in range(15)]
    for packet_id in ids:
        pub.expect(PUBACK, packet_id=packet_id)
    ids = [pub.send_publish(t.topic(), b'x', qos=2) for _ in range(15)]
    for packet_id in ids:
        pub.expect(PUBREC, packet_id=packet_id)
    for packet_id in ids:
        pub.send_ack(PUBREL, packet_id)
    for packet_id in ids:
        pub.expect(PUBCOMP, packet_id=packet_id)


# ---- flow control -----------------------------------------------------------------------------------

@statement('MQTT-4.9.0-1')
def the_first_message_may_always_be_sent(t):
    for maximum in (1, 2, 65535):
        sub, pub = pair(t, receive_maximum=maximum)
        pub.publish(t.topic(), b'x', qos=1)
        sub.expect_message(t.topic(), b'x')
        sub.disconnect()


@statement('MQTT-4.9.0-2')
def quota_returns_with_puback_pubcomp_or_an_error(t):
    sub, pub = pair(t, receive_maximum=1)
    for n in range(5):
        pub.publish(t.topic(), str(n), qos=2)
    for n, finish in enumerate(('pubcomp', 'error', 'pubcomp', 'error', 'pubcomp')):
        message = sub.expect_message(payload=str(n), ack=False)
        sub.expect_silence()
        if finish == 'pubcomp':
            sub.acknowledge(message)
        else:
            sub.send_ack(PUBREC, message.packet_id, 0x97)
    sub.expect_silence()


@statement('MQTT-4.9.0-2')
def the_quota_never_rises_above_the_receive_maximum(t):
    sub, pub = pair(t, receive_maximum=2)
    for packet_id in (900, 901, 902):
        sub.send_ack(PUBACK, packet_id)
        sub.send_ack(PUBCOMP, packet_id)
    sub.expect_silence()
    for n in range(4):
        pub.publish(t.topic(), str(n), qos=1)
    for n in range(2):
        sub.expect_message(payload=str(n), ack=False)
    sub.expect_silence()


@statement('MQTT-4.9.0-3')
def everything_else_is_served_with_a_quota_of_zero(t):
    c, pub = t.connect(receive_maximum=1), t.connect('pub')
    c.subscribe(t.topic(), qos=1)
    for _ in range(3):
        pub.publish(t.topic(), b'x', qos=1)
    message = c.expect_message(ack=False)
    c.publish(t.topic('other'), b'y', qos=2)
    c.subscribe(t.topic('zero'))
    c.publish(t.topic('zero'), b'z')
    c.expect(PUBLISH, payload=b'z', qos=0)
    c.unsubscribe(t.topic('zero'))
    c.expect_silence()
    c.acknowledge(message)
    c.expect_message(t.topic(), b'x')
