"""CONNECT and CONNACK (MQTT 3.1.1, sections 3.1 and 3.2)."""

import time

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK, PINGRESP, PUBACK, PUBLISH, SUBACK
from suite import configuration, statement

BOTH = (3, 4)
NO_EMPTY_ID = configuration('no empty client id', 'allow_zero_length_clientid false')
NO_ANONYMOUS = configuration('no anonymous', 'allow_anonymous false')

ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'


def head(flags, keep_alive=60):
    """The variable header of CONNECT."""
    return mqtt.data('MQTT') + bytes((4, flags)) + mqtt.two(keep_alive)


def expect_no_connack(t, *raws):
    """Each of these is closed without an answer."""
    for raw in raws:
        c = t.open()
        c.send(raw)
        c.expect_closed()


def expect_return_code(t, raw, *codes, version=None):
    """CONNACK with one of codes, then the end."""
    c = t.open(version=version)
    c.send(raw)
    c.expect(CONNACK, reason=codes, session_present=False)
    assert c.receive() is None


# ---- the first packet -------------------------------------------------------------------------------

@statement('MQTT3-3.1.0-1')
def a_first_packet_other_than_connect_closes_the_connection(t):
    expect_no_connack(
        t, mqtt.publish(t.topic(), b'x', retain=True, version=4), mqtt.subscribe(1, [(t.topic(), 0)], 4),
        mqtt.unsubscribe(1, ['a'], 4), mqtt.pingreq(), mqtt.disconnect(), mqtt.acknowledgement(PUBACK, 1),
        b'\x20\2\0\0', b'\0\0', b'\xf0\0', b'GET / HTTP/1.1\r\n\r\n')
    t.expect_retained(t.topic(), None)


@statement('MQTT3-3.1.0-2', versions=BOTH)
def a_second_connect_is_a_protocol_violation(t):
    for name in ('one', 'another'):
        c = t.connect('one')
        c.send_connect(t.client_id(name))
        c.expect_closed()


# ---- protocol, level, reserved flag -----------------------------------------------------------------

@statement('MQTT3-3.1.2-1')
def an_unknown_protocol_name_is_not_served(t):
    for name in ('', 'mqtt', 'MQTT4', 'MQT', 'MQIsdp', 'MQTTX', 'HTTP', b'MQTT\0'):
        c = t.open()
        c.send(mqtt.connect(t.client_id(), 4, protocol_name=name) + mqtt.publish(t.topic(), b'x', 0, True, version=4))
        c.expect_refused()
    t.expect_retained(t.topic(), None)


@statement('MQTT3-3.1.2-2', 'MQTT3-3.2.2-5')
def an_unknown_protocol_level_gets_return_code_1(t):
    for level in (0, 1, 2, 3):
        expect_return_code(t, mqtt.connect(t.client_id(), level, protocol_name='MQTT'), 1)
    for level in (6, 7, 127, 255):                  # of the future: 5.0 has a code of its own for them
        expect_return_code(t, mqtt.connect(t.client_id(), level, protocol_name='MQTT'), 1, 0x84, version=5)


@statement('MQTT3-3.1.2-2')
def only_name_and_level_decide_about_the_version(t):
    expect_return_code(t, mqtt.packet(0x10, mqtt.data('MQTT') + b'\2'), 1)
    expect_return_code(t, mqtt.packet(0x10, mqtt.data('MQTT') + b'\2\xff\xff\xffnothing known'), 1)


@statement('MQTT3-3.1.2-3', 'MQTT3-3.2.2-6', 'MQTT3-3.1.4-1')
def the_reserved_connect_flag_closes_the_connection(t):
    for flags in (0x01, 0x03, 0xC3):
        expect_no_connack(t, mqtt.connect(t.client_id(), 4, flags=flags, user_name='u', password='p'))


# ---- Clean Session ----------------------------------------------------------------------------------

def leave_message(t, payload=b'queued', **words):
    """A session that missed one message, and the publisher."""
    sub, pub = t.connect('sub', clean_start=False), t.connect('pub')
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    pub.publish(t.topic(), payload, qos=1, **words)
    return pub


@statement('MQTT3-3.1.2-4', 'MQTT3-3.1.4-3', versions=BOTH)
def without_clean_session_the_session_goes_on(t):
    pub = leave_message(t)
    for n in range(2):
        sub = t.connect('sub', clean_start=False)
        if n == 0:
            sub.expect_message(t.topic(), b'queued', qos=1)
        pub.publish(t.topic(), b'now', qos=1)
        sub.expect_message(t.topic(), b'now', qos=1)
        sub.drop()


@statement('MQTT3-3.1.2-4', 'MQTT3-3.2.2-3')
def without_clean_session_a_missing_session_is_created(t):
    c = t.connect('one', clean_start=False)
    assert not c.connack.session_present
    c.disconnect()
    assert t.connect('one', clean_start=False).connack.session_present


@statement('MQTT3-3.1.2-5', versions=BOTH)
def qos_1_and_2_messages_wait_for_an_absent_session(t):
    sub, pub = t.connect('sub', clean_start=False), t.connect('pub')
    sub.subscribe(t.topic('a'), qos=1)
    sub.subscribe(t.topic('b/+'), qos=2)
    sub.subscribe(t.topic('gone'), qos=2)
    sub.unsubscribe(t.topic('gone'))
    sub.disconnect()
    for name in ('a', 'b/1', 'gone'):
        for qos in (1, 2):
            pub.publish(t.topic(name), str(qos), qos=qos)
    sub = t.connect('sub', clean_start=False)
    found = [(m.topic, m.qos) for m in (sub.expect_message(dup=False) for _ in range(4))]
    assert found == [(t.topic('a'), 1), (t.topic('a'), 1), (t.topic('b/1'), 1), (t.topic('b/1'), 2)], found
    t.expect_nothing(sub, pub, qos=2)


@statement('MQTT3-3.1.2-6', 'MQTT3-3.1.4-3', versions=BOTH)
def clean_session_discards_the_session_before(t):
    pub = leave_message(t)
    sub = t.connect('sub')
    pub.publish(t.topic(), b'now', qos=1)
    t.expect_nothing(sub, pub, qos=1)
    sub.disconnect()
    sub = t.connect('sub', clean_start=False)       # nor does it come back
    pub.publish(t.topic(), b'later', qos=1)
    t.expect_nothing(sub, pub, qos=1)


@statement('MQTT3-3.1.2-6', versions=BOTH)
def a_clean_session_ends_with_its_connection(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    pub.publish(t.topic(), b'unacknowledged', qos=1)
    sub.expect_message(payload=b'unacknowledged', ack=False)
    packet_id = sub.send_publish(t.topic('half'), b'x', qos=2)
    sub.expect(mqtt.PUBREC, packet_id=packet_id)
    sub.disconnect()
    sub = t.connect('sub', clean_start=False)
    assert not sub.connack.session_present
    pub.publish(t.topic(), b'now', qos=1)
    t.expect_nothing(sub, pub, qos=1)
    pub.subscribe(t.topic('half'), qos=2)
    sub.publish(t.topic('half'), b'new', qos=2, packet_id=packet_id)    # the identifier is not remembered
    pub.expect_message(t.topic('half'), b'new', qos=2)


@statement('MQTT3-3.1.2-7', versions=BOTH)
def retained_messages_outlive_the_session(t):
    for name, words in (('clean', {}), ('kept', {'clean_start': False})):
        c = t.connect('one', **words)
        c.publish(t.topic(name), b'retained', qos=1, retain=True)
        c.disconnect()
    t.connect('one').disconnect()
    for name in ('clean', 'kept'):
        t.expect_retained(t.topic(name), b'retained')


# ---- the Will ---------------------------------------------------------------------------------------

def watch_will(t, will, name='dying', **words):
    """A client with a will, and somebody who waits for it."""
    watcher = t.connect('watcher')
    watcher.subscribe(will.topic, qos=2)
    return t.connect(name, will=will, **words), watcher


def fall(c):
    """Ends the connection as a failure would, and waits for the broker to have done so."""
    c.send(b'\0\0')
    c.expect_closed()


@statement('MQTT3-3.1.2-8', versions=BOTH)
def will_is_published_when_the_connection_breaks(t):
    for end in ('drop', 'abort'):
        dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'))
        watcher.expect_silence()
        getattr(dying, end)()
        watcher.expect_message(t.topic(), b'farewell')
        watcher.disconnect()


@statement('MQTT3-3.1.2-8', versions=BOTH)
def will_is_published_after_a_protocol_error(t):
    for raw in (b'\0\0', mqtt.subscribe(0, [('a', 0)], 4), mqtt.publish('a/#', version=4), b'\x30\xff\xff\xff\xff\1'):
        dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'))
        dying.send(raw)
        dying.expect_closed()
        watcher.expect_message(t.topic(), b'farewell')
        watcher.disconnect()


@statement('MQTT3-3.1.2-8', 'MQTT3-3.1.4-2', versions=BOTH)
def will_is_published_when_another_connection_takes_over(t):
    for clean in (True, False):
        dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'), clean_start=False)
        t.connect('dying', clean_start=clean)
        dying.expect_closed()
        watcher.expect_message(t.topic(), b'farewell')
        watcher.disconnect()


@statement('MQTT3-3.1.2-8')
def will_of_a_rejected_connect_is_not_published(t):
    watcher = t.connect('watcher')
    watcher.subscribe(t.topic())
    for raw in (mqtt.connect('', 4, clean_start=False, will=mqtt.Will(t.topic(), b'x')),
                mqtt.connect(t.client_id('no'), 4, will=mqtt.Will(t.topic(), b'x'), protocol_name='MQTX')):
        c = t.open()
        c.send(raw)
        c.expect_refused()
    t.expect_nothing(watcher, t.connect())


@statement('MQTT3-3.1.2-8')
def a_will_may_be_empty_or_full_of_any_bytes(t):
    for payload in (b'', bytes(range(256)), b'\xff' * 65535):
        dying, watcher = watch_will(t, mqtt.Will(t.topic(), payload, qos=1))
        dying.drop()
        watcher.expect_message(t.topic(), payload, qos=1)
        watcher.disconnect()


@statement('MQTT3-3.1.2-9', 'MQTT3-3.1.2-14', versions=BOTH)
def will_is_published_with_its_qos(t):
    for qos in (0, 1, 2):
        dying, watcher = watch_will(t, mqtt.Will(t.topic(str(qos)), b'w', qos=qos))
        dying.drop()
        watcher.expect_message(t.topic(str(qos)), b'w', qos=qos)


@statement('MQTT3-3.1.2-9', 'MQTT3-3.1.4-1')
def will_flag_without_will_fields_closes_the_connection(t):
    start = head(0x06) + mqtt.data(t.client_id())
    expect_no_connack(t, *(mqtt.packet(0x10, start + rest) for rest in (
        b'', b'\0', b'\0\5w', mqtt.data('w'), mqtt.data('w') + b'\0', mqtt.data('w') + b'\0\5x')))


@statement('MQTT3-3.1.2-10', versions=BOTH)
def will_is_published_once(t):
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'), clean_start=False)
    dying.drop()
    watcher.expect_message(t.topic(), b'farewell')
    fall(t.connect('dying', clean_start=False))
    t.expect_nothing(watcher, t.connect())


@statement('MQTT3-3.1.2-10', 'MQTT3-3.14.4-3', versions=BOTH)
def will_is_removed_by_disconnect(t):
    for clean in (True, False):
        dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'), clean_start=clean)
        dying.disconnect()
        fall(t.connect('dying', clean_start=clean))
        t.expect_nothing(watcher, t.connect())
        watcher.disconnect()


@statement('MQTT3-3.1.2-11', 'MQTT3-3.1.4-1')
def will_fields_without_will_flag_close_the_connection(t):
    expect_no_connack(
        t, mqtt.packet(0x10, head(0x02) + mqtt.data(t.client_id()) + mqtt.data('w') + mqtt.data('x')),
        mqtt.connect(t.client_id(), 4, flags=0x3A))


@statement('MQTT3-3.1.2-12', versions=BOTH)
def without_will_flag_no_will_is_published(t):
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'of an earlier connection'), clean_start=False)
    dying.disconnect()
    for clean in (False, True):
        fall(t.connect('dying', clean_start=clean))
    t.expect_nothing(watcher, t.connect())


@statement('MQTT3-3.1.2-13', 'MQTT3-3.1.2-11')
def will_qos_without_will_flag_closes_the_connection(t):
    expect_no_connack(t, *(mqtt.connect(t.client_id(), 4, flags=0x02 | qos << 3) for qos in (1, 2, 3)))


@statement('MQTT3-3.1.2-14', versions=BOTH)
def will_qos_3_closes_the_connection(t):
    expect_no_connack(t, mqtt.connect(t.client_id(), t.version, will=mqtt.Will(t.topic(), qos=3)))


@statement('MQTT3-3.1.2-15', 'MQTT3-3.1.2-11')
def will_retain_without_will_flag_closes_the_connection(t):
    expect_no_connack(t, mqtt.connect(t.client_id(), 4, flags=0x22))


@statement('MQTT3-3.1.2-16', versions=BOTH)
def will_without_will_retain_is_not_retained(t):
    t.connect().publish(t.topic(), b'before', qos=1, retain=True)
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'))
    watcher.expect_message(t.topic(), b'before', retain=True)
    dying.drop()
    watcher.expect_message(t.topic(), b'farewell', retain=False)
    t.expect_retained(t.topic(), b'before')


@statement('MQTT3-3.1.2-17', versions=BOTH)
def will_with_will_retain_is_retained(t):
    for qos in (0, 1, 2):
        topic = t.topic(str(qos))
        dying, watcher = watch_will(t, mqtt.Will(topic, b'farewell', qos=qos, retain=True))
        dying.drop()
        watcher.expect_message(topic, b'farewell', retain=False)
        t.expect_retained(topic, b'farewell', qos=qos)


# ---- User Name and Password -------------------------------------------------------------------------

@statement('MQTT3-3.1.2-18', 'MQTT3-3.1.4-1')
def user_name_without_its_flag_closes_the_connection(t):
    expect_no_connack(t, mqtt.packet(0x10, head(0x02) + mqtt.data(t.client_id()) + mqtt.data('user')))


@statement('MQTT3-3.1.2-19', 'MQTT3-3.1.4-1')
def user_name_flag_without_user_name_closes_the_connection(t):
    start = head(0x82) + mqtt.data(t.client_id())
    expect_no_connack(t, *(mqtt.packet(0x10, start + rest) for rest in (b'', b'\0', b'\0\5user')))


@statement('MQTT3-3.1.2-20', 'MQTT3-3.1.4-1')
def password_without_its_flag_closes_the_connection(t):
    expect_no_connack(t, mqtt.packet(0x10, head(0x82) + mqtt.data(t.client_id()) + mqtt.data('user')
                                     + mqtt.data('password')))


@statement('MQTT3-3.1.2-21', 'MQTT3-3.1.4-1')
def password_flag_without_password_closes_the_connection(t):
    start = head(0xC2) + mqtt.data(t.client_id()) + mqtt.data('user')
    expect_no_connack(t, *(mqtt.packet(0x10, start + rest) for rest in (b'', b'\0', b'\0\5pass')))


@statement('MQTT3-3.1.2-22', 'MQTT3-3.1.4-1')
def a_password_without_user_name_closes_the_connection(t):
    expect_no_connack(t, mqtt.connect(t.client_id(), 4, password='password'))


@statement('MQTT3-3.1.2-19', 'MQTT3-3.1.2-21', 'MQTT3-3.1.3-1', versions=BOTH)
def payload_fields_are_read_in_their_order(t):
    watcher = t.connect('watcher')
    watcher.subscribe(t.topic('will'), qos=1)
    for words in ({'user_name': 'user'}, {'user_name': '', 'password': b''},
                  {'user_name': 'b\u00fcrger', 'password': bytes(range(256))}):
        c = t.connect('full', will=mqtt.Will(t.topic('will'), b'will payload', qos=1), **words)
        c.subscribe(t.topic('x'))
        c.drop()
        watcher.expect_message(t.topic('will'), b'will payload', qos=1)


# ---- Keep Alive -------------------------------------------------------------------------------------

@statement('MQTT3-3.1.2-24', slow=True, versions=BOTH)
def a_silent_client_is_closed_after_one_and_a_half_keep_alive(t):
    silent, watcher = watch_will(t, mqtt.Will(t.topic(), b'timed out'), keep_alive=1)
    began = time.monotonic()
    silent.expect_closed()
    assert 1.45 <= time.monotonic() - began <= 4, time.monotonic() - began
    watcher.expect_message(t.topic(), b'timed out')


@statement('MQTT3-3.1.2-24', slow=True)
def what_the_server_sends_does_not_count_for_keep_alive(t):
    silent, pub = t.connect(keep_alive=1), t.connect('pub')
    silent.subscribe(t.topic())
    began = time.monotonic()
    for n in range(3):
        t.let_pass(0.6)
        pub.publish(t.topic(), str(n))
    while silent.receive() is not None:
        pass
    assert time.monotonic() - began <= 4, time.monotonic() - began


@statement('MQTT3-3.1.2-24', slow=True)
def any_packet_counts_for_keep_alive(t):
    c = t.connect(keep_alive=1)
    for send in (lambda: c.send(mqtt.pingreq()), lambda: c.publish(t.topic(), b''),
                 lambda: c.send_ack(PUBACK, 9), lambda: c.subscribe(t.topic())):
        t.let_pass(0.8)
        send()
    c.expect(PINGRESP)          # that of the first PINGREQ, kept until now
    c.expect_silence()


@statement('MQTT3-3.1.2-24', slow=True)
def keep_alive_0_is_no_limit(t):
    c = t.connect(keep_alive=0)
    t.let_pass(3)
    c.expect_silence()


# ---- the Client Identifier --------------------------------------------------------------------------

@statement('MQTT3-3.1.3-2')
def the_client_id_identifies_the_session(t):
    for name in ('one', 'two'):
        c = t.connect(name, clean_start=False)
        c.subscribe(t.topic(name), qos=1)
        c.disconnect()
    pub = t.connect('pub')
    pub.publish(t.topic('one'), b'1', qos=1)
    pub.publish(t.topic('two'), b'2', qos=1)
    t.connect('two', clean_start=False).expect_message(t.topic('two'), b'2')
    t.connect('one', clean_start=False).expect_message(t.topic('one'), b'1')
    for other in ('One', 'one ', 'on', 'one\u200b'):
        assert not t.connect(client_id=t.client_id(other), clean_start=False).connack.session_present


@statement('MQTT3-3.1.3-3', 'MQTT3-3.1.4-1', versions=BOTH)
def connect_without_a_client_id_closes_the_connection(t):
    start = mqtt.data('MQTT' if t.version == 4 else 'MQIsdp') + bytes((t.version, 0x02, 0, 60))
    expect_no_connack(t, *(mqtt.packet(0x10, start + rest) for rest in (b'', b'\0', b'\0\5abc')))


@statement('MQTT3-3.1.3-4', versions=BOTH)
def client_id_is_checked_as_utf8(t):
    for bad in (b'a\xff', b'\xed\xa0\x80', b'a\0b', b'\xc3'):
        c = t.open()
        c.send(mqtt.connect(bad, t.version))
        c.expect_refused(2)


@statement('MQTT3-3.1.3-5', versions=BOTH)
def client_ids_of_1_to_23_letters_and_digits_are_accepted(t):
    broker = t.start_broker()                       # of its own, for one-letter names collide
    for client_id in [*ALPHABET, ALPHABET[:23], ALPHABET[23:46], ALPHABET[-23:]]:
        t.connect(client_id=client_id, broker=broker).expect_silence()


@statement('MQTT3-3.1.3-5', chappe=True, versions=BOTH)
def longer_client_ids_and_other_characters_are_accepted(t):
    for client_id in (t.client_id('x' * 200), t.client_id('/+#$ \u00e4\U0001f5fc'), t.client_id('y' * 65000)):
        t.connect(client_id=client_id).expect_silence()


@statement('MQTT3-3.1.3-6', 'MQTT3-3.1.3-7')
def an_empty_client_id_stands_for_a_unique_one(t):
    clients = [t.connect(client_id='') for _ in range(3)]
    for c in clients:
        assert c.connack.raw == b'\x20\2\0\0'
        c.subscribe(t.topic(), qos=1)
    clients[0].publish(t.topic(), b'to all', qos=1)
    for c in clients:
        c.expect_message(t.topic(), b'to all')


@statement('MQTT3-3.1.3-7', 'MQTT3-3.1.3-8', 'MQTT3-3.2.2-5')
def an_empty_client_id_without_clean_session_gets_return_code_2(t):
    expect_return_code(t, mqtt.connect('', 4, clean_start=False), 2)


@statement('MQTT3-3.1.3-9', 'MQTT3-3.2.2-5', config=NO_EMPTY_ID)
def a_rejected_client_id_gets_return_code_2(t):
    for clean in (True, False):
        expect_return_code(t, mqtt.connect('', 4, clean_start=clean), 2)
    t.connect(client_id=t.client_id()).expect_silence()


@statement('MQTT3-3.1.3-9', chappe=True, versions=BOTH)
def control_characters_in_a_client_id_get_return_code_2(t):
    for bad in ('a\nb', '\x1b[2J', '\x7f'):
        expect_return_code(t, mqtt.connect(bad, t.version), 2)


@statement('MQTT3-3.1.3-10', versions=BOTH)
def will_topic_is_checked_as_utf8(t):
    expect_no_connack(t, *(mqtt.connect(t.client_id(), t.version, will=mqtt.Will(bad))
                           for bad in (b'a\xff', b'a\xed\xa0\x80', b'a\0', b'\xc3')))


@statement('MQTT3-3.1.3-11', versions=BOTH)
def user_name_is_checked_as_utf8(t):
    expect_no_connack(t, *(mqtt.connect(t.client_id(), t.version, user_name=bad)
                           for bad in (b'a\xff', b'\xed\xbf\xbf', b'a\0b', b'\xc3')))


# ---- what the server does ---------------------------------------------------------------------------

@statement('MQTT3-3.1.4-1', 'MQTT3-3.2.2-6')
def a_connect_of_the_wrong_form_is_closed_without_connack(t):
    whole = mqtt.connect(t.client_id(), 4, will=mqtt.Will('w', b'x'), user_name='u', password='p')
    expect_no_connack(t, *(mqtt.packet(0x10, whole[2:size]) for size in range(2, len(whole))))
    expect_no_connack(t, mqtt.packet(0x10, whole[2:] + b'\0'))


@statement('MQTT3-3.1.4-2', versions=BOTH)
def a_takeover_disconnects_the_older_connection(t):
    for clean in (True, False):
        old = t.connect('one', clean_start=clean)
        new = t.connect('one', clean_start=clean)
        old.expect_closed()
        new.expect_silence()


@statement('MQTT3-3.1.4-2', 'MQTT3-3.1.2-4', versions=BOTH)
def a_takeover_keeps_the_session_and_its_messages(t):
    old, pub = t.connect('one', clean_start=False), t.connect('pub')
    old.subscribe(t.topic(), qos=1)
    pub.publish(t.topic(), b'unacknowledged', qos=1)
    old.expect_message(ack=False)
    new = t.connect('one', clean_start=False)
    old.expect_closed()
    new.expect_message(t.topic(), b'unacknowledged', dup=True)
    pub.publish(t.topic(), b'next', qos=1)
    new.expect_message(t.topic(), b'next', dup=False)


@statement('MQTT3-3.1.4-4', 'MQTT3-3.2.0-1', versions=BOTH)
def connect_is_acknowledged_before_anything_else(t):
    pub = leave_message(t)
    c = t.open()
    c.send(mqtt.connect(t.client_id('sub'), t.version, clean_start=False) + mqtt.pingreq()
           + mqtt.subscribe(1, [(t.topic('a'), 0)], 4))
    c.expect(CONNACK, reason=0)
    rest = [c.receive() for _ in range(3)]
    assert sorted(p.type for p in rest) == [PUBLISH, SUBACK, PINGRESP], rest
    pub.expect_silence()


@statement('MQTT3-3.1.4-5')
def what_follows_a_rejected_connect_is_not_processed(t):
    for bad in (mqtt.connect(t.client_id(), 4, flags=0x03), mqtt.connect('', 4, clean_start=False),
                mqtt.connect(t.client_id(), 2, protocol_name='MQTT')):
        c = t.open()
        c.send(bad + mqtt.publish(t.topic(), b'x', 0, True, version=4) + mqtt.connect(t.client_id(), 4)
               + mqtt.publish(t.topic(), b'x', 0, True, version=4))
        c.expect_refused()
    t.expect_retained(t.topic(), None)


# ---- CONNACK ----------------------------------------------------------------------------------------

@statement('MQTT3-3.2.2-1', 'MQTT3-3.1.4-4')
def session_present_is_0_with_clean_session(t):
    for clean in (True, False, True, True):
        connack = t.connect('one', clean_start=clean).connack
        assert connack.raw == b'\x20\2\0\0', connack.raw.hex(' ')


@statement('MQTT3-3.2.2-2', 'MQTT3-3.2.2-3')
def session_present_tells_of_a_stored_session(t):
    for expected in (b'\x20\2\0\0', b'\x20\2\1\0', b'\x20\2\1\0'):
        c = t.connect('one', clean_start=False)
        assert c.connack.raw == expected, c.connack.raw.hex(' ')
        c.disconnect()
    t.connect('one').disconnect()
    assert t.connect('one', clean_start=False).connack.raw == b'\x20\2\0\0'


@statement('MQTT3-3.2.2-2')
def session_present_tells_of_a_session_of_another_version(t):
    c = t.connect('one', version=5, clean_start=False, session_expiry_interval=60)
    c.subscribe(t.topic(), qos=1)
    c.disconnect()
    c = t.connect('one', clean_start=False)
    assert c.connack.session_present
    c.publish(t.topic(), b'x', qos=1)
    c.expect_message(t.topic(), b'x')


@statement('MQTT3-3.2.2-4', 'MQTT3-3.2.2-5')
def session_present_is_0_in_a_refusal(t):
    t.connect('one', clean_start=False).disconnect()
    expect_return_code(t, mqtt.connect(t.client_id('one'), 2, clean_start=False, protocol_name='MQTT'), 1)
    assert t.connect('one', clean_start=False).connack.session_present


@statement('MQTT3-3.2.2-5', 'MQTT3-3.2.2-4', config=NO_ANONYMOUS, versions=BOTH)
def an_unauthorized_client_gets_return_code_4_or_5(t):
    expect_return_code(t, mqtt.connect(t.client_id(), t.version), 5)
    expect_return_code(t, mqtt.connect(t.client_id(), t.version, user_name='nobody', password='wrong'), 4, 5)
