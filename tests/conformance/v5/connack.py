"""CONNACK and the capabilities it announces (MQTT 5.0, section 3.2)."""

import mqtt_bytes as mqtt
from suite import configuration, statement

QOS_0 = configuration('qos 0', 'max_qos 0')
QOS_1 = configuration('qos 1', 'max_qos 1')
NO_RETAIN = configuration('no retain', 'retain_available false')
NO_ALIAS = configuration('no alias', 'max_topic_alias 0')
SMALL_PACKETS = configuration('small packets', 'max_packet_size 1000')
KEEP_ALIVE_1 = configuration('keep alive 1', 'max_keepalive 1')


@statement('MQTT-3.2.0-1')
def connack_comes_before_anything_else(t):
    sub, pub = t.connect('sub', session_expiry_interval=60), t.connect('pub')
    sub.subscribe(t.topic(), qos=1)
    sub.disconnect()
    for n in range(5):
        pub.publish(t.topic(), str(n), qos=1)
    sub = t.connect('sub', clean_start=False)       # expects CONNACK as the very first packet
    for n in range(5):
        sub.expect_message(t.topic(), str(n))


@statement('MQTT-3.2.0-2')
def there_is_one_connack_per_connection(t):
    c = t.connect()
    c.subscribe(t.topic(), qos=2)
    c.publish(t.topic(), b'x', qos=2)
    c.expect_message(t.topic(), b'x')
    c.expect_silence()
    c.send_connect(c.client_id)
    c.expect_closed(0x82)           # and no second CONNACK


@statement('MQTT-3.2.2-1')
def reserved_connack_flags_are_0(t):
    for words in ({}, {'clean_start': False, 'session_expiry_interval': 60}, {'clean_start': False}):
        c = t.connect('one', **words)
        assert c.connack.raw[2] in (0, 1), c.connack.raw.hex(' ')
        c.disconnect()


@statement('MQTT-3.2.2-2')
def clean_start_answers_session_not_present(t):
    for _ in range(2):
        c = t.connect('one', clean_start=True, session_expiry_interval=60)
        assert not c.connack.session_present
        c.subscribe(t.topic())
        c.disconnect()


@statement('MQTT-3.2.2-3')
def session_present_tells_whether_there_was_a_session(t):
    c = t.connect('one', clean_start=False, session_expiry_interval=60)
    assert not c.connack.session_present
    c.disconnect()
    c = t.connect('one', clean_start=False, session_expiry_interval=0)
    assert c.connack.session_present
    c.disconnect()
    assert not t.connect('one', clean_start=False).connack.session_present


@statement('MQTT-3.2.2-6', 'MQTT-3.2.2-7')
def a_refusal_says_no_session_and_closes(t):
    t.connect('one', session_expiry_interval=60).disconnect()
    c = t.open()
    c.send_connect(t.client_id('one'), clean_start=False, authentication_method='no such method')
    c.expect_refused(0x8C, 0x87, 0x82)


@statement('MQTT-3.2.2-8')
def refusals_use_the_reason_codes_of_connack(t):
    for raw in (
        mqtt.connect(t.client_id(), flags=3), mqtt.connect(t.client_id(), version=6, protocol_name='MQTT'),
        mqtt.connect(b'\xff'), mqtt.connect(t.client_id(), will=mqtt.Will('a/#')),
        mqtt.connect(t.client_id(), properties_=b'\x21\0\0'),
        mqtt.connect(t.client_id(), properties_={'authentication_method': 'none'}),
    ):
        c = t.open()
        c.send(raw)
        c.expect_refused()          # the decoder knows which codes may stand in CONNACK


# ---- Maximum QoS ------------------------------------------------------------------------------------

@statement('MQTT-3.2.2-9', config=QOS_0)
def maximum_qos_0_is_announced(t):
    assert t.connect().connack.get('maximum_qos') == 0


@statement('MQTT-3.2.2-9', config=QOS_1)
def maximum_qos_1_is_announced(t):
    assert t.connect().connack.get('maximum_qos') == 1


@statement('MQTT-3.2.2-9')
def maximum_qos_2_is_not_announced(t):
    assert t.connect().connack.get('maximum_qos') is None


@statement('MQTT-3.2.2-10', config=QOS_0)
def subscriptions_above_the_maximum_qos_0_are_accepted(t):
    c = t.connect()
    c.subscribe((t.topic('0'), 0), (t.topic('1'), 1), (t.topic('2'), 2), granted=[0, 0, 0])
    c.publish(t.topic('2'), b'x')
    c.expect_message(t.topic('2'), b'x', qos=0)


@statement('MQTT-3.2.2-10', config=QOS_1)
def subscriptions_above_the_maximum_qos_1_are_accepted(t):
    c = t.connect()
    c.subscribe((t.topic('0'), 0), (t.topic('1'), 1), (t.topic('2'), 2), granted=[0, 1, 1])
    c.publish(t.topic('2'), b'x', qos=1)
    c.expect_message(t.topic('2'), b'x', qos=1)


@statement('MQTT-3.2.2-11', config=QOS_0)
def messages_above_the_maximum_qos_0_close_the_connection(t):
    for qos in (1, 2):
        c = t.connect()
        c.send_publish(t.topic(), b'x', qos=qos)
        c.expect_closed(0x9B)


@statement('MQTT-3.2.2-11', config=QOS_1)
def messages_above_the_maximum_qos_1_close_the_connection(t):
    c = t.connect()
    assert c.publish(t.topic(), b'x', qos=1).reason < 0x80
    c.send_publish(t.topic(), b'x', qos=2)
    c.expect_closed(0x9B)


@statement('MQTT-3.2.2-12', config=QOS_1)
def a_will_above_the_maximum_qos_is_refused(t):
    t.connect(will=mqtt.Will(t.topic(), qos=1)).expect_silence()
    c = t.open()
    c.send_connect(t.client_id('other'), will=mqtt.Will(t.topic(), qos=2))
    c.expect_refused(0x9B)


# ---- Retain Available -------------------------------------------------------------------------------

@statement('MQTT-3.2.2-13', config=NO_RETAIN)
def a_retained_will_is_refused_without_retained_messages(t):
    assert t.connect(will=mqtt.Will(t.topic())).connack.get('retain_available') == 0
    c = t.open()
    c.send_connect(t.client_id('other'), will=mqtt.Will(t.topic(), retain=True))
    c.expect_refused(0x9A)


@statement('MQTT-3.2.2-14', config=NO_RETAIN)
def a_retained_message_closes_the_connection_without_retained_messages(t):
    for qos in (0, 1, 2):
        c = t.connect()
        c.send_publish(t.topic(), b'x', qos=qos, retain=True)
        c.expect_closed(0x9A)
    t.expect_retained(t.topic(), None)


# ---- Maximum Packet Size ----------------------------------------------------------------------------

@statement('MQTT-3.2.2-15', config=SMALL_PACKETS)
def packets_above_the_announced_size_close_the_connection(t):
    c = t.connect()
    assert c.connack.get('maximum_packet_size') == 1000
    c.subscribe(t.topic())
    fit = 1000 - len(mqtt.publish(t.topic(), b'x' * 200)) + 200
    c.send_publish(t.topic(), b'x' * fit)
    c.expect_message(t.topic(), b'x' * fit)
    c.send_publish(t.topic(), b'x' * (fit + 1))
    c.expect_closed(0x95)


@statement('MQTT-3.2.2-15', config=SMALL_PACKETS)
def a_length_above_the_announced_size_is_refused_before_the_bytes_come(t):
    c = t.connect()
    c.send(b'\x30\xff\xff\xff\x7f\0\1a')
    c.expect_closed(0x95)


# ---- Topic Alias Maximum ----------------------------------------------------------------------------

@statement('MQTT-3.2.2-17', 'MQTT-3.3.2-9')
def topic_aliases_above_the_announced_maximum_close_the_connection(t):
    c = t.connect()
    c.send_publish(t.topic(), b'x', topic_alias=c.connack.get('topic_alias_maximum', 0) + 1)
    c.expect_closed(0x94, 0x82)


@statement('MQTT-3.2.2-18', config=NO_ALIAS)
def topic_aliases_close_the_connection_when_no_maximum_is_announced(t):
    c = t.connect()
    assert not c.connack.get('topic_alias_maximum')
    c.send_publish(t.topic(), b'x', topic_alias=1)
    c.expect_closed(0x94, 0x82)


# ---- properties that must fit -----------------------------------------------------------------------

@statement('MQTT-3.2.2-19', 'MQTT-3.2.2-20')
def connack_fits_into_the_maximum_packet_size(t):
    size = len(t.connect().connack.raw)
    c = t.connect(maximum_packet_size=size)
    assert len(c.connack.raw) <= size
    c = t.open()
    c.send_connect(t.client_id(), maximum_packet_size=10, authentication_method='no such method')
    refusal = c.expect_refused(0x8C, 0x87, 0x82)
    assert refusal is None or len(refusal.raw) <= 10


# ---- Server Keep Alive ------------------------------------------------------------------------------

@statement('MQTT-3.1.2-21', 'MQTT-3.2.2-21', config=KEEP_ALIVE_1, slow=True)
def server_keep_alive_is_announced_and_used(t):
    for keep_alive in (2, 600, 0):
        c = t.connect(keep_alive=keep_alive)
        assert c.connack.get('server_keep_alive') == 1, c.connack
        if keep_alive == 600:
            c.expect_closed(0x8D)


@statement('MQTT-3.2.2-22', config=KEEP_ALIVE_1)
def a_keep_alive_within_the_limit_is_taken_as_it_is(t):
    assert t.connect(keep_alive=1).connack.get('server_keep_alive') is None


# ---- Chappe's own CONNACK ---------------------------------------------------------------------------

@statement('MQTT-3.1.4-5', chappe=True)
def connack_says_what_mosquitto_says_in_its_order(t):
    c = t.connect()
    assert c.connack.raw == bytes.fromhex('20 0e 00 00 0b 22 00 0a 27 00 1e 84 80 21 00 14'), c.connack.raw.hex(' ')
