"""What is different in MQTT 3.1 (level 3, MQIsdp), and the versions among each other.

MQTT 3.1 has no numbered statements: its tests stand with those of 3.1.1 that they are the exceptions to.
"""

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK, PUBACK, PUBCOMP, PUBREC, PUBREL, SUBACK, UNSUBACK
from suite import statement

ALL = (3, 4, 5)


def head(flags, level=3):
    return mqtt.data('MQIsdp') + bytes((level, flags)) + mqtt.two(60)


# ---- MQTT 3.1 ---------------------------------------------------------------------------------------

@statement('MQTT3-3.1.2-1', 'MQTT3-3.1.2-2', version=3)
def mqtt_3_1_has_its_own_name_and_level(t):
    assert t.connect().connack.raw == b'\x20\2\0\0'
    for name, level in (('MQIsdp', 4), ('MQIsdp', 5), ('MQIsdp', 2), ('MQTT', 3)):
        c = t.open(version=max(level, 3))
        c.send(mqtt.connect(t.client_id(), level, protocol_name=name))
        c.expect_refused()


@statement('MQTT3-3.1.3-8', version=3)
def mqtt_3_1_knows_no_empty_client_id(t):
    for clean in (True, False):
        c = t.open()
        c.send(mqtt.connect('', 3, clean_start=clean))
        c.expect(CONNACK, reason=2)
        assert c.receive() is None


@statement('MQTT3-3.2.2-2', version=3)
def mqtt_3_1_has_no_session_present(t):
    for _ in range(3):
        c = t.connect('one', clean_start=False)
        assert c.connack.raw == b'\x20\2\0\0', c.connack.raw.hex(' ')
        c.disconnect()
    assert t.connect('one', version=4, clean_start=False).connack.session_present


@statement('MQTT3-3.1.2-3', 'MQTT3-3.1.2-11', version=3)
def mqtt_3_1_ignores_the_flags_it_does_not_use(t):
    watcher = t.connect('watcher')
    watcher.subscribe(t.topic('#'))
    for flags in (0x03, 0x0A, 0x22, 0x3B):
        c = t.open()
        c.send(mqtt.connect(t.client_id(), 3, flags=flags))
        c.expect(CONNACK, reason=0)
        c.send(b'\0\0')
        c.expect_closed()
    t.expect_nothing(watcher, t.connect())


@statement('MQTT3-3.1.2-19', 'MQTT3-3.1.2-21', version=3)
def mqtt_3_1_lets_the_announced_user_name_and_password_be_missing(t):
    for flags, rest in ((0x82, b''), (0xC2, b''), (0xC2, mqtt.data('user'))):
        c = t.open()
        c.send(mqtt.packet(0x10, head(flags) + mqtt.data(t.client_id()) + rest))
        c.expect(CONNACK, reason=0)
        c.expect_silence()
    c = t.open()
    c.send(mqtt.packet(0x10, head(0xC2) + mqtt.data(t.client_id()) + mqtt.data('user') + b'\0\5cut'))
    c.expect_closed()


@statement('MQTT3-3.3.1-1', 'MQTT3-2.2.2-2', version=3)
def mqtt_3_1_may_repeat_every_packet_that_has_an_identifier_with_dup(t):
    c = t.connect()
    for first, answer in ((0x82, SUBACK), (0x8A, SUBACK)):
        c.send(bytes((first,)) + mqtt.subscribe(1, [(t.topic('x'), 1)], 4)[1:])
        c.expect(answer, packet_id=1)
    for first in (0xA2, 0xAA):
        c.send(bytes((first,)) + mqtt.unsubscribe(2, [t.topic('x')], 4)[1:])
        c.expect(UNSUBACK, packet_id=2)
    packet_id = c.send_publish(t.topic(), b'x', qos=2)
    c.expect(PUBREC, packet_id=packet_id)
    for first in (0x62, 0x6A):
        c.send(bytes((first,)) + mqtt.acknowledgement(PUBREL, packet_id)[1:])
        c.expect(PUBCOMP, packet_id=packet_id)


@statement('MQTT3-3.9.3-2', version=3, chappe=True)
def mqtt_3_1_is_told_of_a_failure_too(t):
    c = t.connect()
    c.subscribe(t.topic('a'), t.topic('a#'), granted=[0, 0x80])


@statement('MQTT3-3.1.2-2', versions=(3, 4), chappe=True)
def bit_7_of_the_level_announces_a_bridge(t):
    c = t.open()
    c.send_connect(t.client_id('bridge'), version=t.version | 0x80,
                   protocol_name='MQTT' if t.version == 4 else 'MQIsdp')
    c.expect(CONNACK, reason=0)
    c.subscribe(t.topic(), qos=1)
    pub = t.connect('pub')
    for flag in (True, False):                      # a bridge has to know what is retained
        pub.publish(t.topic(), b'x', qos=1, retain=flag)
        c.expect_message(t.topic(), b'x', retain=flag)


# ---- all versions -----------------------------------------------------------------------------------

@statement('MQTT3-7.0.0-2', versions=(3, 4))
def a_conversation_needs_no_extension(t):
    sub, pub = t.connect('sub', will=mqtt.Will(t.topic('will'), b'w')), t.connect('pub')
    sub.subscribe((t.topic('a'), 2), (t.topic('b/+'), 1))
    for qos in (0, 1, 2):
        pub.publish(t.topic('a'), str(qos), qos=qos)
        sub.expect_message(t.topic('a'), str(qos), qos=qos)
    sub.unsubscribe(t.topic('a'))
    sub.expect_silence()
    sub.disconnect()
    pub.disconnect()


@statement('MQTT3-7.0.0-2', 'MQTT3-3.3.5-1', versions=ALL)
def every_version_reaches_every_other(t):
    pub = t.connect('pub')
    for version in ALL:
        sub = t.connect('sub', version=version)
        sub.subscribe(t.topic('#'), qos=2)
        for qos in (0, 1, 2):
            pub.publish(t.topic(str(qos)), b'payload', qos=qos, retain=qos == 1)
            message = sub.expect_message(t.topic(str(qos)), b'payload', qos=qos, retain=False)
            assert message.properties == {}, message
        reader = t.connect('reader', version=version)
        reader.subscribe(t.topic('1'), qos=2)
        reader.expect_message(t.topic('1'), b'payload', qos=1, retain=True)
        pub.publish(t.topic('1'), b'', qos=1, retain=True)
        reader.disconnect()
        sub.disconnect()


@statement('MQTT3-7.0.0-2', 'MQTT3-3.3.5-1', versions=(3, 4))
def properties_do_not_reach_older_versions(t):
    sub, pub = t.connect('sub'), t.connect('pub', version=5)
    sub.subscribe(t.topic(), qos=2)
    for qos in (0, 1, 2):
        pub.publish(t.topic(), b'payload', qos=qos, retain=True, content_type='text/plain', response_topic='r',
                    correlation_data=b'c', user_property=[('a', 'b')], message_expiry_interval=100, topic_alias=1)
        message = sub.expect_message(t.topic(), b'payload', qos=qos)
        assert message.raw == mqtt.publish(t.topic(), b'payload', qos, packet_id=message.packet_id, version=4)
    t.expect_retained(t.topic(), b'payload')


@statement('MQTT3-3.1.2-4', versions=ALL)
def a_session_may_be_resumed_in_another_version(t):
    pub = t.connect('pub')
    for version in ALL:
        words = {'session_expiry_interval': 60} if t.version == 5 else {}
        sub = t.connect('sub', clean_start=False, **words)
        sub.subscribe(t.topic(), qos=2)
        pub.publish(t.topic(), b'1', qos=1)
        held = sub.expect_message(t.topic(), b'1', ack=False)
        sub.disconnect()
        pub.publish(t.topic(), b'2', qos=2)
        sub = t.connect('sub', version=version, clean_start=False)
        sub.expect_message(t.topic(), b'1', qos=1, dup=True, packet_id=held.packet_id)
        sub.expect_message(t.topic(), b'2', qos=2, dup=False)
        sub.disconnect()
        t.connect('sub').disconnect()               # and away with it


@statement('MQTT3-3.1.4-2', versions=ALL)
def a_takeover_works_across_versions(t):
    for version in ALL:
        old, new = t.connect('one'), t.connect('one', version=version)
        old.expect_closed(*((0x8E,) if t.version == 5 else ()))
        new.publish(t.topic(), b'x', qos=1)
        new.drop()
