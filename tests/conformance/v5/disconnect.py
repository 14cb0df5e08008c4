"""PINGREQ, DISCONNECT and AUTH (MQTT 5.0, sections 3.12 to 3.15, 4.12 and 4.13)."""

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK
from suite import statement


@statement('MQTT-3.12.4-1')
def pingreq_is_answered_by_pingresp(t):
    c = t.connect()
    for _ in range(3):
        c.expect_silence()


@statement('MQTT-3.12.4-1')
def pingreq_with_a_body_closes_the_connection(t):
    t.expect_malformed(mqtt.packet(0xC0, b'\0'))


# ---- DISCONNECT from the server ---------------------------------------------------------------------

@statement('MQTT-3.14.0-1')
def there_is_no_disconnect_before_connack(t):
    for raw in (mqtt.publish(t.topic()), mqtt.connect(t.client_id(), flags=3), mqtt.packet(0xE0, b'\0\0'),
                mqtt.connect(t.client_id(), protocol_name='MQTX'), b'\xff' * 10):
        c = t.open()
        c.send(raw)
        answer = c.receive()
        assert answer is None or (answer.type == CONNACK and answer.reason != 0), answer


@statement('MQTT-3.14.1-1')
def disconnect_with_reserved_flags_is_malformed(t):
    for flags in (1, 2, 4, 8, 15):
        watcher = t.connect('watcher')
        watcher.subscribe(t.topic(), qos=1)
        c = t.connect(will=mqtt.Will(t.topic(), b'malformed'))
        c.send(mqtt.packet(0xE0 | flags))
        c.expect_closed(0x81)
        watcher.expect_message(t.topic(), b'malformed')
        watcher.disconnect()


def provoked_disconnects(t, **words):
    """Connections that the broker ends, each for another reason; yields them before the end."""
    for raw in (b'\x00\x00', mqtt.publish(t.topic(), dup=True), mqtt.publish(t.topic(), properties_={'topic_alias': 0}),
                mqtt.connect('again'), mqtt.subscribe(0, [('a', 0)]), mqtt.packet(0xE1)):
        c = t.connect(**words)
        c.send(raw)
        yield c
    c = t.connect('one', **words)
    t.connect('one')
    yield c


@statement('MQTT-3.14.2-1', 'MQTT-3.14.2-2', 'MQTT-3.14.4-1', 'MQTT-3.14.4-2', 'MQTT-4.13.2-1')
def a_disconnect_of_the_server_is_proper_and_the_last_packet(t):
    for c in provoked_disconnects(t):
        packet = c.expect_closed()      # reads to the end; the decoder checks reason and properties
        assert packet is None or packet.reason >= 0x80


@statement('MQTT-3.14.2-1', chappe=True)
def a_disconnect_of_the_server_has_its_short_form(t):
    for c in provoked_disconnects(t):
        assert len(c.expect_disconnect(0x81, 0x82, 0x8E, 0x94).raw) == 3


@statement('MQTT-3.14.2-3', 'MQTT-3.14.2-4')
def a_disconnect_of_the_server_fits_into_the_maximum_packet_size(t):
    size = len(t.connect().connack.raw)
    for c in provoked_disconnects(t, maximum_packet_size=size):
        packet = c.expect_closed()
        assert packet is None or len(packet.raw) <= size


@statement('MQTT-3.14.4-2', 'MQTT-3.14.4-1')
def the_server_closes_after_the_clients_disconnect(t):
    for words in ({}, {'reason': 0}, {'reason': 4}, {'reason': 0x80}, {'reason': 0, 'reason_string': 'bye'}):
        c = t.connect()
        c.send_disconnect(**words)
        assert c.receive() is None


@statement('MQTT-3.14.4-1')
def what_follows_a_disconnect_is_not_processed(t):
    c = t.connect()
    c.send(mqtt.disconnect() + mqtt.publish(t.topic(), b'x', retain=True) + mqtt.pingreq())
    assert c.receive() is None
    t.expect_retained(t.topic(), None)


@statement('MQTT-3.14.4-3')
def a_normal_disconnect_discards_the_will(t):
    watcher = t.connect('watcher')
    watcher.subscribe(t.topic(), qos=1)
    for words in ({}, {'reason': 0}, {'reason': 0, 'session_expiry_interval': 0}):
        t.connect('dying', will=mqtt.Will(t.topic(), b'will', qos=1)).disconnect(**words)
        t.expect_nothing(watcher, t.connect(), qos=1)


@statement('MQTT-3.14.4-3')
def a_disconnect_with_another_reason_publishes_the_will(t):
    watcher = t.connect('watcher')
    watcher.subscribe(t.topic())
    for reason in (0x04, 0x80, 0x81, 0x83, 0x93, 0x98):
        t.connect('dying', will=mqtt.Will(t.topic(), bytes((reason,)))).disconnect(reason)
        watcher.expect_message(t.topic(), bytes((reason,)))


@statement('MQTT-3.14.2-1')
def malformed_disconnects_close_the_connection(t):
    for body in (b'\0\1', b'\0\0\0', b'\x01', b'\x8d', b'\0\5\x1f\0\1a\0', b'\0\4\x1f\0\1a\0',
                 b'\0\x0a' + b'\x11\0\0\0\1' * 2):
        c = t.connect()
        c.send(mqtt.packet(0xE0, body))
        c.expect_closed(0x81, 0x82)


@statement('MQTT-3.14.2-2')
def session_expiry_cannot_be_raised_from_0_by_disconnect(t):
    c = t.connect('one', session_expiry_interval=0)
    c.send_disconnect(0, session_expiry_interval=60)
    c.expect_closed(0x82)
    assert not t.connect('one', clean_start=False).connack.session_present


# ---- AUTH -------------------------------------------------------------------------------------------

@statement('MQTT-3.15.1-1')
def auth_with_reserved_flags_closes_the_connection(t):
    for flags in (1, 2, 4, 8):
        t.expect_malformed(mqtt.packet(0xF0 | flags, b'\x18\0'))


@statement('MQTT-3.15.2-1')
def auth_with_an_unknown_reason_code_closes_the_connection(t):
    for reason in (0x01, 0x17, 0x1A, 0x80, 0xFF):
        t.expect_malformed(mqtt.auth(reason, {'authentication_method': 'm'}))


@statement('MQTT-4.12.0-1', 'MQTT-4.12.0-4')
def an_unknown_authentication_method_is_refused(t):
    for named in ({'authentication_method': 'no such method'},
                  {'authentication_method': 'PLAIN', 'authentication_data': b'\0u\0p'}):
        c = t.open()
        c.send(mqtt.connect(t.client_id(), properties_=named))
        c.expect_refused(0x8C, 0x87)


@statement('MQTT-4.12.0-6')
def without_an_authentication_method_there_is_no_auth(t):
    for words in ({}, {'user_name': 'u', 'password': 'p'}):
        c = t.connect(**words)          # CONNACK is the very first packet
        assert c.connack.get('authentication_method') is None
        assert c.connack.get('authentication_data') is None
        c.expect_silence()


@statement('MQTT-4.12.0-7')
def auth_without_an_authentication_method_closes_the_connection(t):
    for raw in (mqtt.auth(0x18, {'authentication_method': 'm'}), mqtt.auth(0x19, {'authentication_method': 'm'}),
                mqtt.auth(0x18), mqtt.packet(0xF0), mqtt.auth(0x00)):
        t.expect_malformed(raw)


@statement('MQTT-4.12.1-2')
def reauthentication_of_a_client_without_method_fails_and_closes(t):
    watcher = t.connect('watcher')
    watcher.subscribe(t.topic())
    c = t.connect(will=mqtt.Will(t.topic(), b'failed'))
    c.send(mqtt.auth(0x19, {'authentication_method': 'm', 'authentication_data': b'x'}))
    c.expect_closed(0x82, 0x87, 0x8C)
    watcher.expect_message(t.topic(), b'failed')


# ---- errors -----------------------------------------------------------------------------------------

@statement('MQTT-4.13.1-1', 'MQTT-4.13.2-1')
def malformed_packets_close_the_connection_and_disturb_nobody(t):
    other, pub = t.connect('other'), t.connect('pub')
    other.subscribe(t.topic(), qos=1)
    for raw in (
        b'\x00\x00',                                            # type 0
        b'\x20\x03\0\0\0', b'\x90\x04\0\1\0\0', b'\xb0\x04\0\1\0\0', b'\xd0\x00',     # packets of a server
        mqtt.packet(0x30, b'\xff\xff'),                         # a string beyond its packet
        mqtt.packet(0x30, mqtt.data('a') + b'\5\1'),            # properties beyond the packet
        mqtt.packet(0x30, mqtt.data('a') + b'\2\1\2'),          # Payload Format Indicator 2
        mqtt.packet(0x30, mqtt.data('a') + b'\4\1\1\1\1'),      # twice
        mqtt.packet(0x30, mqtt.data('a') + b'\5\x11\0\0\0\1'),  # a property of CONNECT
        mqtt.packet(0x30, mqtt.data('a') + b'\1\xff'),          # an unknown property
        mqtt.publish('', b'x'),                                 # neither topic nor alias
        mqtt.packet(0x82, b'\0\1\0' + mqtt.data('a') + b'\0\0'),
        mqtt.connect('x'),
    ):
        c = t.connect()
        c.send(raw)
        c.expect_closed(0x81, 0x82, 0x90)
    pub.publish(t.topic(), b'undisturbed', qos=1)
    other.expect_message(t.topic(), b'undisturbed')


@statement('MQTT-4.13.2-1')
def every_kind_of_refusal_closes_the_connection(t):
    for raw, reasons in (
        (mqtt.connect(t.client_id(), version=9, protocol_name='MQTT'), (0x84, 0x01)),
        (mqtt.connect(t.client_id(), flags=3), (0x81, 0x82)),
        (mqtt.connect(t.client_id(), will=mqtt.Will('a/+')), (0x90, 0x81, 0x82)),
        (mqtt.connect(t.client_id(), will=mqtt.Will('')), (0x90, 0x81, 0x82)),
        (mqtt.connect(t.client_id(), properties_={'authentication_method': 'x'}), (0x8C, 0x87)),
    ):
        c = t.open()
        c.send(raw)
        c.expect_refused(*reasons)
