"""Retained messages (MQTT 3.1.1, section 3.3.1.3)."""

import mqtt_bytes as mqtt
from mqtt_bytes import PINGRESP
from suite import statement

BOTH = (3, 4)


def retain(t, payload, topic=None, qos=1):
    c = t.connect()
    c.publish(topic or t.topic(), payload, qos=qos, retain=True)
    c.disconnect()


@statement('MQTT3-3.3.1-5', versions=BOTH)
def a_retained_message_is_kept_with_its_qos(t):
    for qos in (0, 1, 2):
        retain(t, b'x', t.topic(str(qos)), qos)
        for granted in (0, 1, 2):
            c = t.connect()
            c.subscribe(t.topic(str(qos)), qos=granted)
            c.expect_message(t.topic(str(qos)), b'x', retain=True, qos=min(qos, granted))
            c.disconnect()


@statement('MQTT3-3.3.1-5', versions=BOTH)
def a_retained_message_replaces_the_one_before(t):
    for qos in (0, 1, 2):
        for payload in (b'first', b'second'):
            retain(t, payload, t.topic(str(qos)), qos)
        t.expect_retained(t.topic(str(qos)), b'second', qos=qos)


@statement('MQTT3-3.3.1-6', versions=BOTH)
def a_new_subscription_gets_the_retained_message_of_each_matching_topic(t):
    for name in ('a', 'a/b', 'a/b/c', 'b'):
        retain(t, name, t.topic(name))
    for text, names in (('a', ['a']), ('+', ['a', 'b']), ('a/#', ['a', 'a/b', 'a/b/c']), ('+/b', ['a/b']),
                        ('c', []), ('#', ['a', 'a/b', 'a/b/c', 'b'])):
        c = t.connect()
        c.subscribe(t.topic(text), qos=1)
        found = sorted(c.expect_message(retain=True).payload.decode() for _ in names)
        assert found == names, found
        c.expect_silence()
        c.disconnect()


@statement('MQTT3-3.3.1-6', versions=BOTH)
def resuming_a_session_is_no_new_subscription(t):
    retain(t, b'x')
    c = t.connect('sub', clean_start=False)
    c.subscribe(t.topic(), qos=1)
    c.expect_message(t.topic(), b'x', retain=True)
    c.disconnect()
    t.connect('sub', clean_start=False).expect_silence()


@statement('MQTT3-3.3.1-7', versions=BOTH)
def a_qos_0_message_discards_the_one_before(t):
    retain(t, b'old', qos=2)
    retain(t, b'new', qos=0)
    c = t.connect()
    c.subscribe(t.topic(), qos=2)
    c.send(mqtt.pingreq(), 'PINGREQ')
    packet = c.receive()                    # the new one, or none
    assert packet.type == PINGRESP or (packet.payload, packet.retain, packet.qos) == (b'new', True, 0), packet


@statement('MQTT3-3.3.1-7', chappe=True, versions=BOTH)
def a_qos_0_message_is_retained_itself(t):
    retain(t, b'old', qos=2)
    retain(t, b'new', qos=0)
    t.expect_retained(t.topic(), b'new', qos=0)


@statement('MQTT3-3.3.1-8', 'MQTT3-3.3.1-9', versions=BOTH)
def retain_is_set_for_new_subscriptions_only(t):
    present = t.connect('present')
    present.subscribe(t.topic(), qos=2)
    for qos in (0, 1, 2):
        retain(t, str(qos), qos=qos)
        present.expect_message(t.topic(), str(qos), retain=False, qos=qos)
    t.expect_retained(t.topic(), b'2')


@statement('MQTT3-3.3.1-9', versions=BOTH)
def retain_is_not_set_on_messages_that_waited(t):
    sub = t.connect('sub', clean_start=False)
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    retain(t, b'x')
    t.connect('sub', clean_start=False).expect_message(t.topic(), b'x', retain=False, qos=1)


@statement('MQTT3-3.3.1-10', versions=BOTH)
def an_empty_retained_message_removes_and_is_delivered(t):
    for qos in (0, 1, 2):
        topic = t.topic(str(qos))
        retain(t, b'x', topic)
        sub = t.connect('sub')
        sub.subscribe(topic, qos=2)
        sub.expect_message(topic, b'x', retain=True)
        retain(t, b'', topic, qos)
        sub.expect_message(topic, b'', retain=False, qos=qos)
        sub.disconnect()
        t.expect_retained(topic, None)


@statement('MQTT3-3.3.1-11', versions=BOTH)
def an_empty_message_is_never_retained(t):
    for _ in range(2):
        retain(t, b'')
        t.expect_retained(t.topic(), None)


@statement('MQTT3-3.3.1-12', versions=BOTH)
def a_message_without_retain_leaves_the_retained_one_alone(t):
    c = t.connect()
    c.publish(t.topic(), b'live', qos=1)
    t.expect_retained(t.topic(), None)
    retain(t, b'kept')
    for payload in (b'live', b''):
        for qos in (0, 1, 2):
            c.publish(t.topic(), payload, qos=qos)
    c.expect_silence()
    t.expect_retained(t.topic(), b'kept')
