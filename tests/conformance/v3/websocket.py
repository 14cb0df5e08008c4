"""MQTT over WebSocket (MQTT 3.1.1, section 6)."""

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK, PINGRESP, SUBACK
from suite import statement
from v5.websocket import CLOSE, TEXT, WEBSOCKETS, WebSocket


class Framed(WebSocket):
    """Speaks MQTT 3.1.1."""

    def receive(self):
        """The next packet, or None at the end."""
        while True:
            found = mqtt.decode(self.mqtt, 4)
            if found:
                packet, size = found
                del self.mqtt[:size]
                self.client.note('◀──', repr(packet))
                return packet
            got = self._frame()
            if got is None or got[0] == CLOSE:
                return None
            assert got[0] in (0, 2), f'a frame of type {got[0]}'
            self.mqtt += got[1]

    def expect(self, type_):
        packet = self.receive()
        assert packet is not None and packet.type == type_, packet

    def expect_closed(self):
        packet = self.receive()
        assert packet is None, packet

    def connect(self, t):
        self.send(mqtt.connect(t.client_id(), 4))
        self.expect(CONNACK)


@statement('MQTT3-6.0.0-1', config=WEBSOCKETS)
def packets_travel_in_binary_frames(t):
    w = Framed(t)
    w.connect(t)
    w.send(mqtt.pingreq())
    w.expect(PINGRESP)


@statement('MQTT3-6.0.0-1', config=WEBSOCKETS)
def a_text_frame_closes_the_connection(t):
    w = Framed(t)
    w.connect(t)
    w.send(mqtt.pingreq(), opcode=TEXT)
    w.expect_closed()


@statement('MQTT3-6.0.0-2', config=WEBSOCKETS)
def packets_need_not_fit_frames(t):
    w = Framed(t)
    stream = mqtt.connect(t.client_id(), 4) + mqtt.subscribe(1, [(t.topic(), 0)], 4) + mqtt.pingreq()
    for at in range(len(stream)):
        w.send(stream[at:at + 1])
    for type_ in (CONNACK, SUBACK, PINGRESP):
        w.expect(type_)
    w.send(mqtt.pingreq() * 3 + mqtt.pingreq()[:1])
    w.send(mqtt.pingreq()[1:])
    for _ in range(4):
        w.expect(PINGRESP)


@statement('MQTT3-6.0.0-3', config=WEBSOCKETS)
def an_upgrade_without_the_subprotocol_is_refused(t):
    for protocols in (None, 'soap', 'm', 'mqttx'):
        assert not WebSocket(t, protocols).status.startswith('HTTP/1.1 101'), protocols


@statement('MQTT3-6.0.0-4', config=WEBSOCKETS)
def the_subprotocol_selected_is_mqtt(t):
    for protocols in ('mqtt', 'mqtt, soap', 'soap, mqtt'):
        w = Framed(t, protocols)
        assert w.status.startswith('HTTP/1.1 101'), w.status
        assert w.headers.get('sec-websocket-protocol') == 'mqtt', w.headers
        w.connect(t)
