"""Retained messages (MQTT 5.0, section 3.3.1.3)."""

from suite import statement


def retain(t, payload, topic=None, **words):
    c = t.connect()
    c.publish(topic or t.topic(), payload, qos=words.pop('qos', 1), retain=True, **words)
    c.disconnect()


@statement('MQTT-3.3.1-5')
def a_retained_message_replaces_the_one_before(t):
    for qos in (0, 1, 2):
        c = t.connect()
        for payload in (b'first', b'second'):
            c.publish(t.topic(str(qos)), payload, qos=qos, retain=True)
        c.expect_silence()
        c.disconnect()
        t.expect_retained(t.topic(str(qos)), b'second', qos=qos)


@statement('MQTT-3.3.1-5')
def a_retained_message_is_also_delivered_to_present_subscribers(t):
    sub = t.connect('sub')
    sub.subscribe(t.topic())
    retain(t, b'x')
    sub.expect_message(t.topic(), b'x', retain=False)


@statement('MQTT-3.3.1-6', 'MQTT-3.3.1-7')
def an_empty_retained_message_removes_and_is_delivered(t):
    retain(t, b'x')
    sub = t.connect('sub')
    sub.subscribe(t.topic())
    sub.expect_message(t.topic(), b'x', retain=True)
    retain(t, b'')
    sub.expect_message(t.topic(), b'')
    t.expect_retained(t.topic(), None)


@statement('MQTT-3.3.1-7')
def an_empty_message_is_never_retained(t):
    retain(t, b'', user_property=('a', 'b'))
    t.expect_retained(t.topic(), None)


@statement('MQTT-3.3.1-8')
def a_message_without_retain_leaves_the_retained_one_alone(t):
    c = t.connect()
    c.publish(t.topic(), b'live', qos=1)
    t.expect_retained(t.topic(), None)
    retain(t, b'kept')
    c.publish(t.topic(), b'live', qos=1)
    t.expect_retained(t.topic(), b'kept')
    c.publish(t.topic(), b'', qos=1)
    t.expect_retained(t.topic(), b'kept')


@statement('MQTT-3.3.1-9')
def retain_handling_0_sends_retained_messages_at_each_subscribe(t):
    retain(t, b'x', t.topic('a'))
    retain(t, b'y', t.topic('b/c'))
    sub = t.connect('sub')
    for _ in range(2):
        sub.subscribe(t.topic('#'), retain_handling=0)
        found = {sub.expect_message(retain=True).topic for _ in range(2)}
        assert found == {t.topic('a'), t.topic('b/c')}, found
        sub.expect_silence()


@statement('MQTT-3.3.1-10')
def retain_handling_1_sends_retained_messages_to_new_subscriptions_only(t):
    retain(t, b'x')
    sub = t.connect('sub')
    sub.subscribe(t.topic(), retain_handling=1)
    sub.expect_message(t.topic(), b'x', retain=True)
    sub.subscribe(t.topic(), retain_handling=1, qos=1)
    sub.expect_silence()
    sub.unsubscribe(t.topic())
    sub.subscribe(t.topic(), retain_handling=1)
    sub.expect_message(t.topic(), b'x', retain=True)


@statement('MQTT-3.3.1-10')
def retain_handling_1_remembers_the_subscriptions_of_the_session(t):
    retain(t, b'x')
    sub = t.connect('sub', session_expiry_interval=60)
    sub.subscribe(t.topic(), retain_handling=1)
    sub.expect_message(t.topic(), b'x', retain=True)
    sub.disconnect()
    sub = t.connect('sub', clean_start=False)
    sub.subscribe(t.topic(), retain_handling=1)
    sub.expect_silence()


@statement('MQTT-3.3.1-11')
def retain_handling_2_sends_no_retained_messages(t):
    retain(t, b'x')
    sub = t.connect('sub')
    sub.subscribe(t.topic(), retain_handling=2)
    sub.subscribe(t.topic('#'), retain_handling=2)
    sub.expect_silence()


@statement('MQTT-3.3.1-12')
def without_retain_as_published_live_messages_have_no_retain(t):
    sub = t.connect('sub')
    sub.subscribe(t.topic(), retain_as_published=False)
    retain(t, b'x')
    sub.expect_message(t.topic(), b'x', retain=False)


@statement('MQTT-3.3.1-13')
def retain_as_published_keeps_the_flag(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), retain_as_published=True, qos=2)
    for flag in (True, False, True):
        pub.publish(t.topic(), b'x', retain=flag, qos=1)
        sub.expect_message(t.topic(), b'x', retain=flag)


@statement('MQTT-3.3.1-13')
def retain_as_published_holds_for_queued_messages(t):
    sub = t.connect('sub', session_expiry_interval=60)
    sub.subscribe((t.topic('kept'), 0x09), (t.topic('not'), 0x01), granted=[1, 1])
    sub.disconnect()
    retain(t, b'x', t.topic('kept'))
    retain(t, b'x', t.topic('not'))
    sub = t.connect('sub', clean_start=False)
    sub.expect_message(t.topic('kept'), b'x', retain=True)
    sub.expect_message(t.topic('not'), b'x', retain=False)


@statement('MQTT-3.3.1-9')
def retained_messages_come_at_the_lower_qos_with_the_identifier(t):
    retain(t, b'x', qos=2)
    for qos in (0, 1, 2):
        sub = t.connect()
        sub.subscribe(t.topic(), qos=qos, subscription_identifier=5)
        sub.expect_message(t.topic(), b'x', qos=qos, retain=True, subscription_identifier=[5])
        sub.disconnect()
