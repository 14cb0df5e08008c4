"""The QoS delivery protocols and the order of messages (MQTT 3.1.1, sections 4.3 and 4.6)."""

from mqtt_bytes import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from suite import configuration, statement

BOTH = (3, 4)
ONE = configuration('window of one', 'max_inflight_messages 1')


def pair(t, qos=2, **words):
    sub, pub = t.connect('sub', **words), t.connect('pub')
    sub.subscribe(t.topic(), qos=qos)
    return sub, pub


# ---- the server sends -------------------------------------------------------------------------------

@statement('MQTT3-4.3.1-1', versions=BOTH)
def qos_0_goes_out_with_qos_0_and_no_dup(t):
    sub, pub = pair(t)
    pub.publish(t.topic(), b'x', qos=0)
    assert sub.expect_message(t.topic(), b'x').raw[0] == 0x30
    sub.expect_silence()


def expect_unused_identifiers(t, qos, first_byte):
    sub, pub = pair(t)
    held = []
    for n in range(40):
        pub.publish(t.topic(), str(n), qos=qos)
        message = sub.expect_message(t.topic(), str(n), ack=False)
        assert message.raw[0] == first_byte
        assert message.packet_id not in [m.packet_id for m in held]
        held.append(message)
        if len(held) == 8:
            sub.acknowledge(held.pop(n % 8))


@statement('MQTT3-4.3.2-1', versions=BOTH)
def qos_1_goes_out_with_an_unused_identifier_and_no_dup(t):
    expect_unused_identifiers(t, 1, 0x32)


@statement('MQTT3-4.3.3-1', versions=BOTH)
def qos_2_goes_out_with_an_unused_identifier_and_no_dup(t):
    expect_unused_identifiers(t, 2, 0x34)


@statement('MQTT3-4.3.2-1', config=ONE, versions=BOTH)
def a_qos_1_message_is_unacknowledged_until_its_puback(t):
    sub, pub = pair(t)
    pub.publish(t.topic(), b'1', qos=1)
    pub.publish(t.topic(), b'2', qos=1)
    first = sub.expect_message(payload=b'1', ack=False)
    sub.expect_silence()
    sub.send_ack(PUBACK, first.packet_id)
    sub.expect_message(payload=b'2')


@statement('MQTT3-4.3.2-1', config=ONE, chappe=True, versions=BOTH)
def only_its_own_puback_acknowledges_a_qos_1_message(t):
    sub, pub = pair(t)
    pub.publish(t.topic(), b'1', qos=1)
    pub.publish(t.topic(), b'2', qos=1)
    first = sub.expect_message(payload=b'1', ack=False)
    sub.send_ack(PUBACK, first.packet_id + 1)
    sub.send_ack(PUBREC, first.packet_id + 1)
    sub.expect(PUBREL, packet_id=first.packet_id + 1)           # let the client forget what nobody knows
    sub.send_ack(PUBCOMP, first.packet_id)
    sub.expect_silence()
    sub.send_ack(PUBACK, first.packet_id)
    sub.expect_message(payload=b'2')


@statement('MQTT3-4.3.3-1', config=ONE, versions=BOTH)
def a_pubrel_is_unacknowledged_until_its_pubcomp(t):
    sub, pub = pair(t)
    pub.publish(t.topic(), b'1', qos=2)
    pub.publish(t.topic(), b'2', qos=2)
    first = sub.expect_message(payload=b'1', ack=False)
    sub.send_ack(PUBREC, first.packet_id)
    sub.expect(PUBREL, packet_id=first.packet_id)
    sub.expect_silence()
    sub.send_ack(PUBCOMP, first.packet_id)
    sub.expect_message(payload=b'2')


@statement('MQTT3-4.3.3-1', versions=BOTH)
def a_repeated_pubrec_brings_pubrel_and_no_publish(t):
    sub, pub = pair(t)
    pub.publish(t.topic(), b'x', qos=2)
    message = sub.expect_message(ack=False)
    for _ in range(3):
        sub.send_ack(PUBREC, message.packet_id)
        sub.expect(PUBREL, packet_id=message.packet_id)
    sub.send_ack(PUBCOMP, message.packet_id)
    sub.expect_silence()


@statement('MQTT3-4.3.3-1', 'MQTT3-4.4.0-1', versions=BOTH)
def after_pubrel_the_publish_is_not_sent_again(t):
    sub, pub = pair(t, clean_start=False)
    pub.publish(t.topic(), b'x', qos=2)
    message = sub.expect_message(ack=False)
    sub.send_ack(PUBREC, message.packet_id)
    sub.expect(PUBREL, packet_id=message.packet_id)
    for _ in range(2):
        sub.drop()
        sub = t.connect('sub', clean_start=False)
        sub.expect(PUBREL, packet_id=message.packet_id)
        sub.expect_silence()
    sub.send_ack(PUBCOMP, message.packet_id)
    sub.disconnect()
    t.connect('sub', clean_start=False).expect_silence()


# ---- the server receives ----------------------------------------------------------------------------

@statement('MQTT3-4.3.2-2', 'MQTT3-4.3.3-2', versions=BOTH)
def each_publish_is_acknowledged_and_delivered(t):
    sub, pub = pair(t)
    for qos, answer in ((1, PUBACK), (2, PUBREC)):
        packet_id = pub.send_publish(t.topic(), str(qos), qos=qos)
        pub.expect(answer, packet_id=packet_id)
        if qos == 2:
            pub.send_ack(PUBREL, packet_id)
            pub.expect(PUBCOMP, packet_id=packet_id)
        sub.expect_message(t.topic(), str(qos), qos=qos)


@statement('MQTT3-4.3.2-2', versions=BOTH)
def after_puback_the_same_identifier_is_a_new_message(t):
    sub, pub = pair(t)
    for dup in (False, True, True):
        pub.send_publish(t.topic(), b'x', qos=1, packet_id=7, dup=dup)
        pub.expect(PUBACK, packet_id=7)
        sub.expect_message(t.topic(), b'x', dup=False)


@statement('MQTT3-4.3.3-2', versions=BOTH)
def a_repeated_qos_2_publish_is_acknowledged_and_delivered_once(t):
    sub, pub = pair(t)
    for dup in (False, True, True, False):
        pub.send_publish(t.topic(), b'x', qos=2, packet_id=7, dup=dup)
        pub.expect(PUBREC, packet_id=7)
    pub.send_ack(PUBREL, 7)
    pub.expect(PUBCOMP, packet_id=7)
    sub.expect_message(t.topic(), b'x')
    t.expect_nothing(sub, pub, qos=2)


@statement('MQTT3-4.3.3-2', versions=BOTH)
def a_qos_2_publish_repeated_after_reconnection_is_delivered_once(t):
    sub = t.connect('sub')
    sub.subscribe(t.topic(), qos=2)
    c = t.connect('one', clean_start=False)
    packet_id = c.send_publish(t.topic(), b'x', qos=2)
    c.expect(PUBREC, packet_id=packet_id)
    for _ in range(2):
        c.drop()
        c = t.connect('one', clean_start=False)
        c.send_publish(t.topic(), b'x', qos=2, packet_id=packet_id, dup=True)
        c.expect(PUBREC, packet_id=packet_id)
    c.drop()
    c = t.connect('one', clean_start=False)
    c.send_ack(PUBREL, packet_id)
    c.expect(PUBCOMP, packet_id=packet_id)
    sub.expect_message(t.topic(), b'x')
    t.expect_nothing(sub, c, qos=2)


@statement('MQTT3-4.3.3-2', versions=BOTH)
def pubrel_is_answered_by_pubcomp(t):
    pub = t.connect()
    ids = [pub.send_publish(t.topic(), b'x', qos=2) for _ in range(5)]
    for packet_id in ids:
        pub.expect(PUBREC, packet_id=packet_id)
    for packet_id in (*reversed(ids), ids[0], 4711):            # also again, and an unknown one
        pub.send_ack(PUBREL, packet_id)
        pub.expect(PUBCOMP, packet_id=packet_id)


@statement('MQTT3-4.3.3-2', versions=BOTH)
def after_pubcomp_the_same_identifier_is_a_new_message(t):
    sub, pub = pair(t)
    for n in range(3):
        pub.send_publish(t.topic(), str(n), qos=2, packet_id=7, dup=n > 0)
        pub.expect(PUBREC, packet_id=7)
        pub.send_ack(PUBREL, 7)
        pub.expect(PUBCOMP, packet_id=7)
        sub.expect_message(t.topic(), str(n))


@statement('MQTT3-4.3.3-2', versions=BOTH)
def many_qos_2_messages_may_be_unreleased(t):
    sub, pub = pair(t)                              # older versions know no Receive Maximum
    ids = [pub.send_publish(t.topic(), b'x', qos=2) for _ in range(300)]
    for packet_id in ids:
        pub.expect(PUBREC, packet_id=packet_id)
    for packet_id in ids:
        pub.send_publish(t.topic(), b'x', qos=2, packet_id=packet_id, dup=True)
        pub.expect(PUBREC, packet_id=packet_id)
    for packet_id in ids:
        pub.send_ack(PUBREL, packet_id)
        pub.expect(PUBCOMP, packet_id=packet_id)
        sub.expect_message(t.topic(), b'x')
    t.expect_nothing(sub, pub, qos=2)


# ---- order ------------------------------------------------------------------------------------------

@statement('MQTT3-4.6.0-5', 'MQTT3-4.6.0-6', versions=BOTH)
def messages_come_in_the_order_they_were_published(t):
    for qos in (0, 1, 2):
        sub, pub = t.connect('sub'), t.connect('pub')
        sub.subscribe(t.topic(f'{qos}/#'), qos=qos)
        for n in range(200):
            packet_id = pub.send_publish(t.topic(f'{qos}/a'), str(n), qos=qos)
            if qos == 2:
                pub.wait_for(PUBREC, packet_id)
                pub.send_ack(PUBREL, packet_id)
        for n in range(200):
            sub.expect_message(payload=str(n), qos=qos)
        sub.disconnect()


@statement('MQTT3-4.6.0-6', versions=BOTH)
def messages_of_several_publishers_keep_the_order_of_each(t):
    sub = t.connect('sub')
    sub.subscribe(t.topic('#'), qos=1)
    pubs = [t.connect(f'pub{n}') for n in range(4)]
    for n in range(50):
        for pub in pubs:
            pub.send_publish(t.topic('a'), f'{pub.name} {n}', qos=1)
    seen = {pub.name: 0 for pub in pubs}
    for _ in range(50 * len(pubs)):
        name, n = sub.expect_message(qos=1).payload.decode().split()
        assert int(n) == seen[name], f'{name}: {n} after {seen[name] - 1}'
        seen[name] += 1


@statement('MQTT3-4.6.0-6', versions=BOTH)
def messages_sent_again_keep_their_order_before_those_that_waited(t):
    sub, pub = pair(t, clean_start=False)
    sent = []
    for n in range(10):
        pub.publish(t.topic(), str(n), qos=1 + n % 2)
        sent.append(sub.expect_message(payload=str(n), ack=False).packet_id)
    sub.disconnect()
    for n in range(10, 15):
        pub.publish(t.topic(), str(n), qos=1)
    for _ in range(2):
        sub = t.connect('sub', clean_start=False)
        for n, packet_id in enumerate(sent):
            sub.expect_message(payload=str(n), packet_id=packet_id, dup=True, ack=False)
        sub.drop()
    sub = t.connect('sub', clean_start=False)
    found = [sub.expect_message().payload for _ in range(15)]
    assert found == [str(n).encode() for n in range(15)], found


@statement('MQTT3-4.6.0-6', versions=BOTH)
def pubrels_keep_the_order_of_pubrecs(t):
    sub, pub = pair(t)
    for n in range(10):
        pub.publish(t.topic(), str(n), qos=2)
    ids = [sub.expect(PUBLISH, qos=2).packet_id for _ in range(10)]
    order = ids[5:] + ids[4::-1]
    for packet_id in order:
        sub.send_ack(PUBREC, packet_id)
    for packet_id in order:
        sub.expect(PUBREL, packet_id=packet_id)


@statement('MQTT3-4.6.0-6', versions=BOTH)
def answers_to_publishes_keep_their_order(t):
    pub = t.connect()
    for qos, answer in ((1, PUBACK), (2, PUBREC)):
        ids = [pub.send_publish(t.topic(), b'x', qos=qos) for _ in range(50)]
        for packet_id in ids:
            pub.expect(answer, packet_id=packet_id)
    for packet_id in ids:
        pub.send_ack(PUBREL, packet_id)
    for packet_id in ids:
        pub.expect(PUBCOMP, packet_id=packet_id)
