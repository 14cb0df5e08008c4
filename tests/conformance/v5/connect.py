"""CONNECT (MQTT 5.0, section 3.1)."""

import time

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK
from suite import configuration, statement

NO_EMPTY_ID = configuration('no empty client id', 'allow_zero_length_clientid false')
NO_ANONYMOUS = configuration('no anonymous', 'allow_anonymous false')
RESPONSE_INFORMATION = configuration('response information', 'response_information answers/here')

ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'


def head(flags, version=5, keep_alive=60, properties=b'\0'):
    """The variable header of CONNECT."""
    return mqtt.data('MQTT') + bytes((version, flags)) + mqtt.two(keep_alive) + properties


def expect_refused(t, raw, *reasons):
    c = t.open()
    c.send(raw)
    c.expect_refused(*reasons)


# ---- the first packet -------------------------------------------------------------------------------

@statement('MQTT-3.1.0-1')
def a_first_packet_other_than_connect_closes_the_connection(t):
    for raw in (
        mqtt.publish(t.topic(), b'x', retain=True), mqtt.subscribe(1, [(t.topic(), 0)]), mqtt.pingreq(),
        mqtt.disconnect(), mqtt.auth(0x18), mqtt.unsubscribe(1, ['a']), mqtt.acknowledgement(PUBACK, 1),
        b'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    ):
        c = t.open()
        c.send(raw)
        assert c.receive() is None, 'an answer before CONNECT'
    t.expect_retained(t.topic(), None)


@statement('MQTT-3.1.0-2')
def a_second_connect_is_a_protocol_error(t):
    for same_id in (True, False):
        c = t.connect()
        c.send_connect(c.client_id if same_id else t.client_id('other'))
        c.expect_closed(0x82)


@statement('MQTT-3.1.2-1')
def an_unknown_protocol_name_is_refused(t):
    for name in ('', 'mqtt', 'MQTT5', 'MQT', 'HTTP', b'MQTT\0'):
        expect_refused(t, mqtt.connect(t.client_id(), protocol_name=name), 0x84, 0x81, 0x82, 1)


@statement('MQTT-3.1.2-2')
def an_unknown_protocol_version_is_refused(t):
    for version in (0, 1, 2, 6, 7, 127):
        expect_refused(t, mqtt.connect(t.client_id(), version=version, protocol_name='MQTT'), 0x84, 1)


@statement('MQTT-3.1.2-3')
def the_reserved_connect_flag_is_refused(t):
    expect_refused(t, mqtt.connect(t.client_id(), flags=0x03), 0x81, 0x82)


# ---- Clean Start, Session ---------------------------------------------------------------------------

@statement('MQTT-3.1.2-4', 'MQTT-3.1.4-4')
def clean_start_discards_the_session(t):
    c = t.connect('one', session_expiry_interval=60)
    c.subscribe(t.topic(), qos=1)
    c.disconnect()
    c = t.connect('one', clean_start=True, session_expiry_interval=60)
    assert not c.connack.session_present
    c.publish(t.topic(), b'x', qos=1)
    c.expect_silence()


@statement('MQTT-3.1.2-4')
def clean_start_discards_queued_messages(t):
    sub, pub = t.connect('sub', session_expiry_interval=60), t.connect('pub')
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    pub.publish(t.topic(), b'queued', qos=1)
    t.connect('sub', clean_start=True, session_expiry_interval=60).disconnect()
    sub = t.connect('sub', clean_start=False)
    t.expect_nothing(sub, pub, qos=1)


@statement('MQTT-3.1.2-5', 'MQTT-3.1.4-4')
def without_clean_start_the_session_goes_on(t):
    sub, pub = t.connect('sub', session_expiry_interval=60), t.connect('pub')
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    pub.publish(t.topic(), b'while away', qos=1)
    sub = t.connect('sub', clean_start=False, session_expiry_interval=60)
    assert sub.connack.session_present
    sub.expect_message(t.topic(), b'while away', qos=1)
    pub.publish(t.topic(), b'now', qos=1)
    sub.expect_message(t.topic(), b'now', qos=1)


@statement('MQTT-3.1.2-6', 'MQTT-3.1.4-4')
def without_clean_start_a_missing_session_is_created(t):
    c = t.connect('one', clean_start=False, session_expiry_interval=60)
    assert not c.connack.session_present
    c.subscribe(t.topic())
    c.disconnect()
    assert t.connect('one', clean_start=False).connack.session_present


# ---- the Will ---------------------------------------------------------------------------------------

def watch_will(t, will, name='dying', **words):
    """A client with a will, and somebody who waits for it."""
    watcher = t.connect('watcher')
    watcher.subscribe(will.topic, qos=2)
    return t.connect(name, will=will, **words), watcher


@statement('MQTT-3.1.2-7', 'MQTT-3.1.2-8')
def will_is_published_when_the_connection_breaks(t):
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'))
    watcher.expect_silence()
    dying.drop()
    watcher.expect_message(t.topic(), b'farewell')


@statement('MQTT-3.1.2-8')
def will_is_published_after_a_protocol_error(t):
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'))
    dying.send(b'\x00\x00')
    dying.expect_closed()
    watcher.expect_message(t.topic(), b'farewell')


@statement('MQTT-3.1.2-8')
def will_is_published_after_disconnect_with_will(t):
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'))
    dying.disconnect(0x04)
    watcher.expect_message(t.topic(), b'farewell')


@statement('MQTT-3.1.2-8')
def will_is_published_on_takeover_with_clean_start(t):
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'))
    t.connect(client_id=dying.client_id, clean_start=True)
    watcher.expect_message(t.topic(), b'farewell')


@statement('MQTT-3.1.2-8', slow=True)
def will_waits_for_its_delay(t):
    will = mqtt.Will(t.topic(), b'farewell', properties={'will_delay_interval': 1})
    dying, watcher = watch_will(t, will, session_expiry_interval=60)
    began = time.monotonic()
    dying.drop()
    watcher.expect_silence()
    watcher.expect_message(t.topic(), b'farewell', will_delay_interval=None)
    assert 0.98 <= time.monotonic() - began <= 2.5, time.monotonic() - began


@statement('MQTT-3.1.2-8')
def will_is_published_at_once_when_the_session_ends_first(t):
    will = mqtt.Will(t.topic(), b'farewell', properties={'will_delay_interval': 600})
    dying, watcher = watch_will(t, will, session_expiry_interval=0)
    dying.drop()
    watcher.expect_message(t.topic(), b'farewell')


@statement('MQTT-3.1.2-8', slow=True)
def will_is_published_when_the_session_expires_before_the_delay(t):
    will = mqtt.Will(t.topic(), b'farewell', properties={'will_delay_interval': 600})
    dying, watcher = watch_will(t, will, session_expiry_interval=1)
    dying.drop()
    watcher.expect_message(t.topic(), b'farewell')


@statement('MQTT-3.1.2-8')
def delayed_will_is_published_when_clean_start_ends_the_session(t):
    will = mqtt.Will(t.topic(), b'farewell', properties={'will_delay_interval': 600})
    dying, watcher = watch_will(t, will, session_expiry_interval=600)
    dying.drop()
    t.connect('dying', clean_start=True)
    watcher.expect_message(t.topic(), b'farewell')


@statement('MQTT-3.1.2-10', 'MQTT-3.14.4-3', 'MQTT-3.1.2-8')
def will_is_removed_by_a_normal_disconnect(t):
    for words in ({}, {'reason': 0}):
        dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'), session_expiry_interval=60)
        dying.disconnect(**words)
        t.connect('dying', clean_start=False).drop()
        t.expect_nothing(watcher, t.connect())


@statement('MQTT-3.1.2-10')
def will_is_published_once(t):
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'), session_expiry_interval=60)
    dying.drop()
    watcher.expect_message(t.topic(), b'farewell')
    t.connect('dying', clean_start=False).disconnect(0x04)
    t.expect_nothing(watcher, t.connect())


@statement('MQTT-3.1.2-9')
def will_flag_without_will_fields_is_refused(t):
    expect_refused(t, mqtt.packet(0x10, head(0x06) + mqtt.data('c')), 0x81, 0x82)
    expect_refused(t, mqtt.packet(0x10, head(0x06) + mqtt.data('c') + b'\0'), 0x81, 0x82)
    expect_refused(t, mqtt.packet(0x10, head(0x06) + mqtt.data('c') + b'\0' + mqtt.data('w')), 0x81, 0x82)


@statement('MQTT-3.1.2-11')
def will_qos_without_will_flag_is_refused(t):
    for qos in (1, 2, 3):
        expect_refused(t, mqtt.connect(t.client_id(), flags=0x02 | qos << 3), 0x81, 0x82)


@statement('MQTT-3.1.2-12')
def will_is_published_with_its_qos(t):
    for qos in (0, 1, 2):
        dying, watcher = watch_will(t, mqtt.Will(t.topic(str(qos)), b'w', qos=qos))
        dying.drop()
        watcher.expect_message(t.topic(str(qos)), b'w', qos=qos)


@statement('MQTT-3.1.2-12')
def will_qos_3_is_refused(t):
    expect_refused(t, mqtt.connect(t.client_id(), will=mqtt.Will(t.topic(), qos=3)), 0x81, 0x82)


@statement('MQTT-3.1.2-13')
def will_retain_without_will_flag_is_refused(t):
    expect_refused(t, mqtt.connect(t.client_id(), flags=0x22), 0x81, 0x82)


@statement('MQTT-3.1.2-14')
def will_without_will_retain_is_not_retained(t):
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell'))
    dying.drop()
    watcher.expect_message(t.topic(), b'farewell', retain=False)
    t.expect_retained(t.topic(), None)


@statement('MQTT-3.1.2-15')
def will_with_will_retain_is_retained(t):
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'farewell', retain=True))
    dying.drop()
    watcher.expect_message(t.topic(), b'farewell')
    t.expect_retained(t.topic(), b'farewell')


@statement('MQTT-3.1.3-9', slow=True)
def reconnecting_before_the_delay_cancels_the_will(t):
    will = mqtt.Will(t.topic(), b'farewell', properties={'will_delay_interval': 1})
    dying, watcher = watch_will(t, will, session_expiry_interval=60)
    dying.drop()
    back = t.connect('dying', clean_start=False, session_expiry_interval=60)
    t.let_pass(2.5)
    back.expect_silence()
    t.expect_nothing(watcher, t.connect())


@statement('MQTT-3.1.3-10')
def user_properties_of_a_will_keep_their_order(t):
    pairs = [('b', '1'), ('a', '2'), ('b', '1'), ('', ''), ('a', '0')]
    dying, watcher = watch_will(t, mqtt.Will(t.topic(), b'w', properties={'user_property': pairs}))
    dying.drop()
    watcher.expect_message(t.topic(), b'w', user_property=pairs)


@statement('MQTT-3.1.3-11')
def will_topic_is_checked_as_utf8(t):
    for bad in (b'a\xff', b'a\xed\xa0\x80', b'a\0'):
        expect_refused(t, mqtt.connect(t.client_id(), will=mqtt.Will(bad)), 0x81, 0x82, 0x90)


# ---- User Name and Password -------------------------------------------------------------------------

@statement('MQTT-3.1.2-16')
def user_name_without_its_flag_is_refused(t):
    expect_refused(t, mqtt.packet(0x10, head(0x02) + mqtt.data(t.client_id()) + mqtt.data('user')), 0x81, 0x82)


@statement('MQTT-3.1.2-17')
def user_name_flag_without_user_name_is_refused(t):
    expect_refused(t, mqtt.packet(0x10, head(0x82) + mqtt.data(t.client_id())), 0x81, 0x82)


@statement('MQTT-3.1.2-18')
def password_without_its_flag_is_refused(t):
    raw = mqtt.packet(0x10, head(0x82) + mqtt.data(t.client_id()) + mqtt.data('user') + mqtt.data('password'))
    expect_refused(t, raw, 0x81, 0x82)


@statement('MQTT-3.1.2-19')
def password_flag_without_password_is_refused(t):
    expect_refused(t, mqtt.packet(0x10, head(0xC2) + mqtt.data(t.client_id()) + mqtt.data('user')), 0x81, 0x82)
    expect_refused(t, mqtt.packet(0x10, head(0x42) + mqtt.data(t.client_id())), 0x81, 0x82)


@statement('MQTT-3.1.3-12')
def user_name_is_checked_as_utf8(t):
    for bad in (b'a\xff', b'\xed\xbf\xbf', b'a\0b'):
        expect_refused(t, mqtt.connect(t.client_id(), user_name=bad), 0x81, 0x82, 0x86, 0x87)


# ---- Keep Alive -------------------------------------------------------------------------------------

@statement('MQTT-3.1.2-22', 'MQTT-3.2.2-22', slow=True)
def a_silent_client_is_closed_after_one_and_a_half_keep_alive(t):
    will = mqtt.Will(t.topic(), b'timed out')
    silent, watcher = watch_will(t, will, keep_alive=1)
    if silent.connack.get('server_keep_alive') is not None:
        t.fail('the server did not take the keep alive of the client')
    began = time.monotonic()
    silent.expect_closed(0x8D)
    assert 1.45 <= time.monotonic() - began <= 4, time.monotonic() - began
    watcher.expect_message(t.topic(), b'timed out')


@statement('MQTT-3.1.2-22', slow=True)
def any_packet_counts_for_keep_alive(t):
    c = t.connect(keep_alive=1)
    for send in (lambda: c.send(mqtt.pingreq()), lambda: c.publish(t.topic(), b''),
                 lambda: c.send_ack(PUBACK, 9), lambda: c.subscribe(t.topic())):
        t.let_pass(0.8)
        send()
    c.expect(PINGRESP)          # that of the first PINGREQ, kept until now
    c.expect_silence()


@statement('MQTT-3.1.2-22', slow=True)
def keep_alive_0_is_no_limit(t):
    c = t.connect(keep_alive=0)
    t.let_pass(3)
    c.expect_silence()


# ---- Session Expiry ---------------------------------------------------------------------------------

@statement('MQTT-3.1.2-23', slow=True)
def session_is_kept_for_its_expiry_interval(t):
    c = t.connect('one', session_expiry_interval=3)
    c.subscribe(t.topic(), qos=2)
    c.drop()
    t.let_pass(1)
    assert t.connect('one', clean_start=False).connack.session_present


@statement('MQTT-3.1.2-23')
def session_expiry_of_disconnect_replaces_that_of_connect(t):
    c = t.connect('one', session_expiry_interval=60)
    c.disconnect(session_expiry_interval=0)
    assert not t.connect('one', clean_start=False).connack.session_present


# ---- Maximum Packet Size ----------------------------------------------------------------------------

@statement('MQTT-3.1.2-24', 'MQTT-3.1.2-25')
def messages_larger_than_the_maximum_packet_size_are_left_out(t):
    sub, pub = t.connect('sub', maximum_packet_size=100), t.connect('pub')
    sub.subscribe(t.topic(), qos=2)
    for qos in (0, 1, 2):
        fit = 100 - len(mqtt.publish(t.topic(), b'', qos, packet_id=1 if qos else None))
        pub.publish(t.topic(), b'x' * (fit + 1), qos=qos)
        pub.publish(t.topic(), b'y' * fit, qos=qos)
        message = sub.expect_message(t.topic(), b'y' * fit, qos=qos)
        assert len(message.raw) == 100


@statement('MQTT-3.1.2-25')
def a_message_left_out_holds_no_place_in_the_window(t):
    sub, pub = t.connect('sub', maximum_packet_size=60, receive_maximum=1), t.connect('pub')
    sub.subscribe(t.topic(), qos=1)
    for _ in range(3):
        pub.publish(t.topic(), b'x' * 100, qos=1)
    pub.publish(t.topic(), b'small', qos=1)
    sub.expect_message(t.topic(), b'small', qos=1)


@statement('MQTT-3.1.2-25')
def a_queued_message_too_large_for_the_new_connection_is_left_out(t):
    sub, pub = t.connect('sub', session_expiry_interval=60), t.connect('pub')
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    pub.publish(t.topic(), b'x' * 100, qos=1)
    pub.publish(t.topic(), b'small', qos=1)
    sub = t.connect('sub', clean_start=False, maximum_packet_size=60)
    sub.expect_message(t.topic(), b'small', qos=1)


@statement('MQTT-3.1.2-24')
def maximum_packet_size_0_is_a_protocol_error(t):
    expect_refused(t, mqtt.connect(t.client_id(), properties_={'maximum_packet_size': 0}), 0x82, 0x81)


# ---- Topic Alias Maximum ----------------------------------------------------------------------------

@statement('MQTT-3.1.2-26', 'MQTT-3.3.2-11')
def topic_aliases_stay_within_the_maximum_of_the_client(t):
    sub, pub = t.connect('sub', topic_alias_maximum=2), t.connect('pub')
    sub.subscribe(t.topic('#'))
    names = {}
    for n in (0, 1, 2, 3, 0, 1, 2, 3):
        pub.publish(t.topic(f'level/{n}'), str(n))
        message = sub.expect_message(payload=str(n))
        alias = message.get('topic_alias')
        if alias is not None:
            assert 1 <= alias <= 2
            if message.topic:
                names[alias] = message.topic
            assert names.get(alias) == t.topic(f'level/{n}'), 'the alias stands for another topic'
        else:
            assert message.topic == t.topic(f'level/{n}')


@statement('MQTT-3.1.2-27')
def without_a_topic_alias_maximum_there_are_no_topic_aliases(t):
    pub = t.connect('pub')
    for words in ({}, {'topic_alias_maximum': 0}):
        sub = t.connect('sub', **words)
        sub.subscribe(t.topic('#'))
        for _ in range(3):
            pub.publish(t.topic('a'), b'x')
            sub.expect_message(t.topic('a'), b'x', topic_alias=None)
        sub.disconnect()


# ---- what the client asked to be told ---------------------------------------------------------------

@statement('MQTT-3.1.2-28')
def no_response_information_unless_asked_for(t):
    for words in ({}, {'request_response_information': 0}):
        assert t.connect(**words).connack.get('response_information') is None


@statement('MQTT-3.1.2-28', config=RESPONSE_INFORMATION)
def response_information_only_where_asked_for(t):
    for words in ({}, {'request_response_information': 0}):
        assert t.connect(**words).connack.get('response_information') is None
    asked = t.connect(request_response_information=1)
    assert asked.connack.get('response_information') == 'answers/here'


@statement('MQTT-3.1.2-29')
def no_reason_strings_when_problem_information_is_declined(t):
    c = t.connect(request_problem_information=0)
    answers = [c.publish(t.topic(), qos=1), c.publish(t.topic(), qos=2)]
    c.send_publish('$SYS/forbidden', b'x', qos=1)
    answers.append(c.receive())
    c.send_ack(PUBREL, 77)
    answers.append(c.expect(PUBCOMP))
    c.send_subscribe('bad/#/filter', t.topic())
    answer = c.receive()
    if answer.type == SUBACK:
        answers.append(answer)
        c.send_unsubscribe('unknown')
        answers.append(c.expect(UNSUBACK))
    for answer in answers:
        if answer.type in (PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK):
            assert answer.get('reason_string') is None and answer.get('user_property') is None, answer


@statement('MQTT-3.1.2-30')
def packets_sent_during_authentication_are_not_processed(t):
    c = t.open()
    c.send_connect(t.client_id(), authentication_method='no such method')
    c.send_publish(t.topic(), b'x', retain=True)
    c.expect_refused(0x8C, 0x87, 0x82)
    t.expect_retained(t.topic(), None)


# ---- the payload ------------------------------------------------------------------------------------

@statement('MQTT-3.1.3-1')
def payload_fields_are_read_in_their_order(t):
    watcher = t.connect('watcher')
    watcher.subscribe(t.topic('will'))
    will = mqtt.Will(t.topic('will'), b'will payload', properties={'content_type': 'text/plain'})
    c = t.connect('full', will=will, user_name='user', password=b'\x00\xffsecret', session_expiry_interval=60)
    c.disconnect(0x04)
    watcher.expect_message(t.topic('will'), b'will payload', content_type='text/plain')
    assert t.connect('full', clean_start=False).connack.session_present


@statement('MQTT-3.1.3-1')
def a_password_without_user_name_is_accepted(t):
    t.connect(password=b'only a password').expect_silence()


@statement('MQTT-3.1.3-2')
def the_client_id_identifies_the_session(t):
    for name in ('one', 'two'):
        c = t.connect(name, session_expiry_interval=60)
        c.subscribe(t.topic(name), qos=1)
        c.disconnect()
    pub = t.connect('pub')
    pub.publish(t.topic('one'), b'1', qos=1)
    pub.publish(t.topic('two'), b'2', qos=1)
    t.connect('two', clean_start=False).expect_message(t.topic('two'), b'2')
    t.connect('one', clean_start=False).expect_message(t.topic('one'), b'1')
    assert not t.connect('One', clean_start=False).connack.session_present


@statement('MQTT-3.1.3-3')
def connect_without_a_client_id_is_refused(t):
    expect_refused(t, mqtt.packet(0x10, head(0x02)), 0x81, 0x82)
    expect_refused(t, mqtt.packet(0x10, head(0x02) + b'\0'), 0x81, 0x82)
    expect_refused(t, mqtt.packet(0x10, head(0x02) + b'\0\5abc'), 0x81, 0x82)


@statement('MQTT-3.1.3-4')
def client_id_is_checked_as_utf8(t):
    for bad in (b'a\xff', b'\xed\xa0\x80', b'a\0b', b'\xc3'):
        expect_refused(t, mqtt.connect(bad), 0x81, 0x82, 0x85)


@statement('MQTT-3.1.3-5')
def client_ids_of_1_to_23_letters_and_digits_are_accepted(t):
    # On a broker of its own, for one-letter names collide.
    broker = t.start_broker()
    for client_id in [*ALPHABET[::7], ALPHABET[:23], ALPHABET[23:46], ALPHABET[-23:]]:
        t.connect(client_id=client_id, broker=broker).expect_silence()


@statement('MQTT-3.1.3-6', 'MQTT-3.1.3-7', 'MQTT-3.2.2-16')
def an_empty_client_id_gets_a_new_one_assigned(t):
    clients = [t.connect(client_id='', clean_start=clean) for clean in (True, False, True)]
    assigned = [c.connack.get('assigned_client_identifier') for c in clients]
    assert all(assigned) and len(set(assigned)) == 3, assigned
    assert not any(c.connack.session_present for c in clients)
    for c in clients:
        c.expect_silence()


@statement('MQTT-3.1.3-7', 'MQTT-3.1.3-2')
def the_assigned_client_id_names_the_session(t):
    c = t.connect(client_id='', session_expiry_interval=60)
    c.subscribe(t.topic(), qos=1)
    c.disconnect()
    again = t.connect(client_id=c.connack.get('assigned_client_identifier'), clean_start=False)
    assert again.connack.session_present
    assert again.connack.get('assigned_client_identifier') is None


@statement('MQTT-3.1.3-8', config=NO_EMPTY_ID)
def a_rejected_client_id_closes_the_connection(t):
    expect_refused(t, mqtt.connect(''), 0x85, 0x80)
    t.connect(client_id=t.client_id()).expect_silence()


# ---- the Server's actions ---------------------------------------------------------------------------

@statement('MQTT-3.1.4-1')
def a_connect_of_the_wrong_format_is_refused(t):
    whole = mqtt.connect(t.client_id(), will=mqtt.Will('w', b'x'), user_name='u', password='p')
    for size in range(2, len(whole)):           # cut at each byte, with a length that says so
        expect_refused(t, mqtt.packet(0x10, whole[2:size]))
    expect_refused(t, mqtt.packet(0x10, whole[2:] + b'\0'), 0x81, 0x82)


@statement('MQTT-3.1.4-1')
def connect_properties_are_checked(t):
    for raw in (
        b'\x7f\x00',                                                    # unknown
        b'\x24\x01',                                                    # Maximum QoS is a server's
        b'\x02\0\0\0\1',                                                # of PUBLISH
        b'\x11\0\0\0\1\x11\0\0\0\1', b'\x21\0\1\x21\0\1',               # twice
        b'\x22\0\1\x22\0\1', b'\x27\0\0\1\0\x27\0\0\1\0',
        b'\x17\2', b'\x19\2', b'\x21\0\0',                              # values out of range
        b'\x21\0', b'\x26\0\1a', b'\x11\0\0',                           # cut short
        b'\x16\0\1a',                                                   # data without a method
    ):
        expect_refused(t, mqtt.connect(t.client_id(), properties_=raw), 0x81, 0x82)
    for raw in (b'\x11\0\0\0\1', b'\x01\2', b'\x18\0\0\0\1\x18\0\0\0\1', b'\x23\0\1', b'\x0b\1'):
        expect_refused(t, mqtt.connect(t.client_id(), will=mqtt.Will('w', properties=raw)), 0x81, 0x82)


@statement('MQTT-3.1.4-2', config=NO_ANONYMOUS)
def an_unauthorized_client_is_refused_and_closed(t):
    expect_refused(t, mqtt.connect(t.client_id()), 0x87, 0x86)
    expect_refused(t, mqtt.connect(t.client_id(), user_name='nobody', password='wrong'), 0x87, 0x86)


@statement('MQTT-3.1.4-3')
def a_takeover_disconnects_the_older_connection(t):
    old = t.connect('one')
    new = t.connect('one')
    old.expect_closed(0x8E)
    new.expect_silence()


@statement('MQTT-3.1.4-3')
def a_takeover_keeps_the_session_and_its_messages(t):
    old, pub = t.connect('one', session_expiry_interval=60), t.connect('pub')
    old.subscribe(t.topic(), qos=1)
    pub.publish(t.topic(), b'unacknowledged', qos=1)
    old.expect_message(ack=False)
    new = t.connect('one', clean_start=False, session_expiry_interval=60)
    assert new.connack.session_present
    old.expect_closed(0x8E)
    new.expect_message(t.topic(), b'unacknowledged', dup=True)
    pub.publish(t.topic(), b'next', qos=1)
    new.expect_message(t.topic(), b'next', dup=False)


@statement('MQTT-3.1.4-5')
def connect_is_acknowledged_with_success(t):
    c = t.open()
    c.send_connect(t.client_id())
    c.expect(CONNACK, reason=0, session_present=False)


@statement('MQTT-3.1.4-6')
def what_follows_a_rejected_connect_is_not_processed(t):
    c = t.open()
    c.send(mqtt.connect(t.client_id(), flags=0x03) + mqtt.publish(t.topic(), b'x', retain=True)
           + mqtt.connect(t.client_id()))
    c.expect_refused()
    t.expect_retained(t.topic(), None)


@statement('MQTT-3.1.4-6')
def what_follows_an_accepted_connect_is_processed(t):
    c = t.open()
    c.send(mqtt.connect(t.client_id()) + mqtt.subscribe(1, [(t.topic(), 1)])
           + mqtt.publish(t.topic(), b'x', qos=1, packet_id=2))
    c.expect(CONNACK, reason=0)
    c.expect(SUBACK, packet_id=1)
    c.wait_for(PUBACK, 2)
    c.expect(PUBLISH, payload=b'x')
