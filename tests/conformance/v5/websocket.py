"""MQTT over WebSocket (MQTT 5.0, section 6)."""

import base64
import hashlib
import os
import struct

import mqtt_bytes as mqtt
from mqtt_bytes import CONNACK, PINGRESP, SUBACK
from suite import configuration, statement

WEBSOCKETS = configuration('websockets', 'protocol websockets', waits_for='WebSocket listeners')

TEXT, BINARY, CLOSE = 1, 2, 8


def request(protocols='mqtt', key=b'chappe-conformance'):
    lines = ['GET /mqtt HTTP/1.1', 'Host: localhost', 'Upgrade: websocket', 'Connection: Upgrade',
             'Sec-WebSocket-Version: 13', f'Sec-WebSocket-Key: {base64.b64encode(key[:16]).decode()}']
    if protocols:
        lines.append(f'Sec-WebSocket-Protocol: {protocols}')
    return ('\r\n'.join(lines) + '\r\n\r\n').encode()


def frame(payload, opcode=BINARY, final=True):
    """One masked frame of a client."""
    size, mask = len(payload), os.urandom(4)
    if size < 126:
        head = bytes((size | 0x80,))
    elif size < 65536:
        head = b'\xfe' + struct.pack('>H', size)
    else:
        head = b'\xff' + struct.pack('>Q', size)
    return (bytes((opcode | (0x80 if final else 0),)) + head + mask
            + bytes(b ^ mask[at % 4] for at, b in enumerate(payload)))


class WebSocket:
    """Speaks frames over the socket of a raw client."""

    def __init__(self, t, protocols='mqtt'):
        self.client = t.open()
        self.mqtt, self.closed = bytearray(), False
        self.client.send(request(protocols), f'GET, upgrade to {protocols}')
        self.raw = bytearray()
        while b'\r\n\r\n' not in self.raw:
            self._more()
            if self.closed:
                break
        head, _, rest = bytes(self.raw).partition(b'\r\n\r\n')
        self.raw = bytearray(rest)
        lines = head.decode(errors='replace').split('\r\n')
        self.status = lines[0]
        self.headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(':') for line in lines[1:])}
        self.client.note('◀──', self.status)

    def _more(self):
        self.client.socket.settimeout(self.client.deadline_s)
        try:
            more = self.client.socket.recv(65536)
        except ConnectionResetError:
            more = b''
        self.closed = not more
        self.raw += more

    def _frame(self):
        """(opcode, payload) of the next whole frame, or None at the end."""
        while True:
            if len(self.raw) >= 2:
                size, at = self.raw[1] & 127, 2
                if size == 126 and len(self.raw) >= 4:
                    size, at = struct.unpack('>H', self.raw[2:4])[0], 4
                elif size == 127 and len(self.raw) >= 10:
                    size, at = struct.unpack('>Q', self.raw[2:10])[0], 10
                elif size > 125:
                    size = None
                if size is not None and len(self.raw) >= at + size:
                    found = self.raw[0] & 15, bytes(self.raw[at:at + size])
                    assert not self.raw[1] & 128, 'a server must not mask'
                    del self.raw[:at + size]
                    return found
            self._more()
            if self.closed:
                return None

    def send(self, raw, **words):
        self.client.send(frame(raw, **words), f'frame of {len(raw)} bytes {mqtt.NAMES[raw[0] >> 4] if raw else ""}')

    def expect(self, type_):
        while True:
            found = mqtt.decode(self.mqtt, 5)
            if found:
                packet, size = found
                del self.mqtt[:size]
                self.client.note('◀──', repr(packet))
                assert packet.type == type_, packet
                return packet
            got = self._frame()
            assert got is not None, 'closed'
            assert got[0] in (0, BINARY), f'a frame of type {got[0]}'
            self.mqtt += got[1]

    def expect_closed(self):
        while True:
            got = self._frame()
            if got is None or got[0] == CLOSE:
                return
            assert got[0] in (0, BINARY), f'a frame of type {got[0]}'
            self.mqtt += got[1]
            found = mqtt.decode(self.mqtt, 5)
            assert not found or found[0].type == mqtt.DISCONNECT, found

    def connect(self, t):
        self.send(mqtt.connect(t.client_id()))
        self.expect(CONNACK)


@statement('MQTT-6.0.0-1', config=WEBSOCKETS)
def packets_travel_in_binary_frames(t):
    w = WebSocket(t)
    w.connect(t)
    w.send(mqtt.pingreq())
    w.expect(PINGRESP)


@statement('MQTT-6.0.0-1', config=WEBSOCKETS)
def a_text_frame_closes_the_connection(t):
    w = WebSocket(t)
    w.connect(t)
    w.send(b'text', opcode=TEXT)
    w.expect_closed()


@statement('MQTT-6.0.0-2', config=WEBSOCKETS)
def packets_need_not_fit_frames(t):
    w = WebSocket(t)
    stream = mqtt.connect(t.client_id()) + mqtt.subscribe(1, [(t.topic(), 0)]) + mqtt.pingreq()
    for at in range(len(stream)):
        w.send(stream[at:at + 1])
    for type_ in (CONNACK, SUBACK, PINGRESP):
        w.expect(type_)
    w.send(mqtt.pingreq() * 3)
    w.send(mqtt.pingreq()[:1], final=False)
    w.send(mqtt.pingreq()[1:] + mqtt.pingreq(), opcode=0)
    for _ in range(5):
        w.expect(PINGRESP)


@statement('MQTT-6.0.0-3', config=WEBSOCKETS)
def an_upgrade_without_the_subprotocol_is_refused(t):
    for protocols in (None, 'soap', 'm', 'mqttx'):
        assert not WebSocket(t, protocols).status.startswith('HTTP/1.1 101'), protocols


@statement('MQTT-6.0.0-4', config=WEBSOCKETS)
def the_subprotocol_selected_is_mqtt(t):
    for protocols in ('mqtt', 'mqtt, mqttv3.1', 'soap, mqtt', 'soap,mqtt'):
        w = WebSocket(t, protocols)
        assert w.status.startswith('HTTP/1.1 101'), w.status
        assert w.headers.get('sec-websocket-protocol') == 'mqtt', w.headers
        key = base64.b64encode(b'chappe-conformance'[:16]) + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
        assert w.headers.get('sec-websocket-accept') == base64.b64encode(hashlib.sha1(key).digest()).decode()
