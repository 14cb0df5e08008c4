"""A client that does only what the test says, and remembers the conversation.

Nothing here sleeps.  DEADLINE_S is a safety net: a test that reaches it has failed.
`expect_*` methods look at the very next packet.  The methods that complete an exchange (subscribe,
publish, ...) wait for their answer and keep other packets, in order, for the next expect.
"""

import itertools
import socket
import time

import mqtt_bytes as mqtt
from mqtt_bytes import (CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, DISCONNECT,
                        NAMES, PROPERTIES, abbreviated)

DEADLINE_S = 10.0


class Failure(AssertionError):
    """The broker did something else than the test expected."""


def split_properties(words):
    """Keyword arguments -> (properties, the others).  `properties=` passes a ready dict or raw bytes."""
    named = {k: words.pop(k) for k in list(words) if k in PROPERTIES}
    raw = words.pop('properties', None)
    return (raw if raw is not None else named), words


class Client:
    def __init__(self, name, address, version, transcript, deadline_s=DEADLINE_S, receive_buffer=None):
        self.name, self.version, self.transcript, self.deadline_s = name, version, transcript, deadline_s
        self.connack = None
        self.client_id = None
        self._packet_ids = itertools.count(1)
        self._received, self._kept = bytearray(), []
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(deadline_s)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # ---- sending ------------------------------------------------------------------------------------

    def send(self, raw, label=None):
        """Any bytes.  A broker that has already closed is not an error here: expect_closed tells."""
        self.note('──▶', label or f'{NAMES[raw[0] >> 4] if raw else ""} bytes {shown(raw)}')
        self.socket.settimeout(self.deadline_s)
        try:
            self.socket.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            self.note('──▶', '(the broker had closed)')

    def send_in_pieces(self, raw, size=1):
        """The same bytes in segments of size bytes (the kernel may join some)."""
        self.note('──▶', f'in pieces of {size}: {shown(raw)}')
        self.socket.settimeout(self.deadline_s)
        for at in range(0, len(raw), size):
            self.socket.sendall(raw[at:at + size])

    def send_connect(self, client_id='', **words):
        named, words = split_properties(words)
        words.setdefault('version', self.version)
        self.client_id = client_id
        self.send(mqtt.connect(client_id, properties_=named, **words), label('CONNECT', client_id, words, named))

    def send_publish(self, topic, payload=b'', **words):
        """QoS > 0 gets the next packet identifier unless packet_id= says otherwise; returns it."""
        named, words = split_properties(words)
        if words.get('qos') and 'packet_id' not in words:
            words['packet_id'] = self.next_packet_id()
        self.send(mqtt.publish(topic, payload, version=self.version, properties_=named, **words),
                  label('PUBLISH', topic, {**words, 'payload': payload}, named))
        return words.get('packet_id')

    def send_subscribe(self, *filters, packet_id=None, **words):
        """A filter is text, with the options of the keywords (qos=, no_local=, retain_as_published=,
        retain_handling=), or a pair (text, options byte)."""
        named, words = split_properties(words)
        packet_id = self.next_packet_id() if packet_id is None else packet_id
        byte = mqtt.options(**words)
        pairs = [f if isinstance(f, tuple) else (f, byte) for f in filters]
        self.send(mqtt.subscribe(packet_id, pairs, self.version, named),
                  label('SUBSCRIBE', packet_id, {'filters': pairs}, named))
        return packet_id

    def send_unsubscribe(self, *filters, packet_id=None, **words):
        named, words = split_properties(words)
        packet_id = self.next_packet_id() if packet_id is None else packet_id
        self.send(mqtt.unsubscribe(packet_id, filters, self.version, named),
                  label('UNSUBSCRIBE', packet_id, {'filters': filters}, named))
        return packet_id

    def send_ack(self, type_, packet_id, reason=None, **words):
        named, _ = split_properties(words)
        self.send(mqtt.acknowledgement(type_, packet_id, reason, named or None, self.version),
                  label(NAMES[type_], packet_id, {'reason': reason}, named))

    def send_disconnect(self, reason=None, **words):
        named, _ = split_properties(words)
        self.send(mqtt.disconnect(reason, named or None, self.version),
                  label('DISCONNECT', '', {'reason': reason}, named))

    def next_packet_id(self):
        return next(self._packet_ids)

    # ---- whole exchanges ----------------------------------------------------------------------------

    def connect(self, client_id='', **words):
        """CONNECT and its accepting CONNACK, which is also kept as self.connack."""
        self.send_connect(client_id, **words)
        self.connack = self.expect(CONNACK, reason=0)
        return self.connack

    def publish(self, topic, payload=b'', qos=0, **words):
        """The whole exchange of the QoS.  Returns the PUBACK or PUBREC (None for QoS 0)."""
        packet_id = self.send_publish(topic, payload, qos=qos, **words)
        if qos == 0:
            return None
        answer = self.wait_for(PUBACK if qos == 1 else PUBREC, packet_id)
        if qos == 2 and answer.reason < 0x80:
            self.send_ack(PUBREL, packet_id)
            self.wait_for(PUBCOMP, packet_id)
        return answer

    def subscribe(self, *filters, granted=None, **words):
        """SUBSCRIBE and its SUBACK.  Without granted= every filter must be granted as asked for."""
        packet_id = self.send_subscribe(*filters, **words)
        suback = self.wait_for(SUBACK, packet_id)
        wanted = granted
        if wanted is None:
            wanted = [(f[1] & 3) if isinstance(f, tuple) else words.get('qos', 0) for f in filters]
        if suback.reasons != list(wanted):
            raise Failure(f'{self.name}: SUBACK says {suback.reasons}, expected {list(wanted)}')
        return suback

    def unsubscribe(self, *filters, **words):
        return self.wait_for(UNSUBACK, self.send_unsubscribe(*filters, **words))

    def disconnect(self, reason=None, **words):
        """DISCONNECT, and the broker's closing of the connection; what was still on its way is lost."""
        self.send_disconnect(reason, **words)
        while self.receive() is not None:
            pass

    def drop(self):
        """Closes without DISCONNECT, as a network failure would."""
        self.note('──▶', '(connection dropped)')
        self.socket.close()

    def abort(self):
        """As drop, with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.drop()

    close = drop

    # ---- receiving ----------------------------------------------------------------------------------

    def receive(self, deadline_s=None):
        """The next packet, or None if the broker has closed."""
        return self._kept.pop(0) if self._kept else self._read_packet(deadline_s)

    def _read_packet(self, deadline_s=None):
        until = time.monotonic() + (deadline_s or self.deadline_s)
        while True:
            found = mqtt.decode(self._received, self.version)
            if found is not None:
                packet, size = found
                del self._received[:size]
                self.note('◀──', repr(packet))
                return packet
            left = until - time.monotonic()
            if left <= 0:
                raise Failure(f'{self.name}: nothing came within {deadline_s or self.deadline_s:g} s')
            self.socket.settimeout(left)
            try:
                more = self.socket.recv(65536)
            except TimeoutError:
                continue
            except ConnectionResetError:
                more = b''
            if not more:
                self.note('◀──', '(closed)')
                if self._received:
                    raise Failure(f'{self.name}: closed inside a packet: {shown(self._received)}')
                return None
            self._received += more

    def wait_for(self, type_, packet_id=None):
        """The next packet of this type (and identifier); what comes before it is kept for later."""
        for at, kept in enumerate(self._kept):
            if kept.type == type_ and packet_id in (None, getattr(kept, 'packet_id', None)):
                return self._kept.pop(at)
        while True:
            packet = self._read_packet()
            if packet is None:
                raise Failure(f'{self.name}: closed while waiting for {NAMES[type_]}')
            if packet.type == type_ and packet_id in (None, getattr(packet, 'packet_id', None)):
                return packet
            self._kept.append(packet)

    def expect(self, type_, deadline_s=None, **fields):
        """The very next packet must be of this type, with these fields or properties.  A tuple means
        any of its members; None for a property means that it must be absent."""
        packet = self.receive(deadline_s)
        if packet is None:
            raise Failure(f'{self.name}: closed, expected {NAMES[type_]}')
        if packet.type != type_:
            raise Failure(f'{self.name}: expected {NAMES[type_]} {fields or ""}, got {packet}')
        for key, wanted in fields.items():
            actual = packet.get(key) if key in PROPERTIES else getattr(packet, key)
            choices = wanted if isinstance(wanted, tuple) and key != 'user_property' else (wanted,)
            if actual not in choices:
                raise Failure(f'{self.name}: {NAMES[type_]} has {key} {abbreviated(actual)}, '
                              f'expected {abbreviated(wanted)}')
        return packet

    def expect_message(self, topic=None, payload=None, ack=True, **fields):
        """The next packet must be this PUBLISH; ack=True also completes its acknowledgement."""
        if topic is not None:
            fields['topic'] = topic
        if payload is not None:
            fields['payload'] = payload.encode() if isinstance(payload, str) else payload
        message = self.expect(PUBLISH, **fields)
        if ack:
            self.acknowledge(message)
        return message

    def acknowledge(self, message):
        if message.qos == 1:
            self.send_ack(PUBACK, message.packet_id)
        elif message.qos == 2:
            self.send_ack(PUBREC, message.packet_id)
            self.wait_for(PUBREL, message.packet_id)
            self.send_ack(PUBCOMP, message.packet_id)

    def expect_silence(self):
        """Nothing was waiting: the next packet answers our PINGREQ.  What another client causes may
        still be on its way; Test.expect_nothing waits for that too."""
        self.send(mqtt.pingreq(), 'PINGREQ')
        self.expect(PINGRESP)

    def expect_closed(self, *reasons, deadline_s=None):
        """The broker closes now.  Version 5 may say DISCONNECT first, with one of reasons if given."""
        packet = self.receive(deadline_s)
        if packet is None:
            return None
        if packet.type != DISCONNECT:
            raise Failure(f'{self.name}: expected the connection to close, got {packet}')
        self._check_reason(packet, reasons)
        self._expect_end(deadline_s)
        return packet

    def expect_disconnect(self, *reasons, deadline_s=None):
        """The broker says DISCONNECT with one of reasons (version 5 only), then closes."""
        if self.version != 5:
            return self.expect_closed(deadline_s=deadline_s)
        packet = self.expect(DISCONNECT, deadline_s=deadline_s)
        self._check_reason(packet, reasons)
        self._expect_end(deadline_s)
        return packet

    def expect_refused(self, *reasons):
        """The CONNECT is answered by a CONNACK with one of reasons (any error if none), or by nothing;
        either way the connection closes."""
        packet = self.receive()
        if packet is None:
            return None
        if packet.type != CONNACK or packet.reason == 0:
            raise Failure(f'{self.name}: expected a refusal, got {packet}')
        self._check_reason(packet, reasons)
        self._expect_end()
        return packet

    def _check_reason(self, packet, reasons):
        if reasons and packet.reason not in reasons:
            raise Failure(f'{self.name}: {packet.name} {packet.reason:#04x}, expected '
                          + ' or '.join(f'{r:#04x}' for r in reasons))

    def _expect_end(self, deadline_s=None):
        packet = self.receive(deadline_s)
        if packet is not None:
            raise Failure(f'{self.name}: {packet} after the last packet')

    def note(self, arrow, text):
        self.transcript.append((time.monotonic(), self.name, arrow, text))


def shown(raw):
    raw = bytes(raw)
    return raw.hex(' ') if len(raw) <= 48 else f'{raw[:40].hex(" ")} … ({len(raw)} bytes)'


def label(name, subject, words, named):
    parts = [name, abbreviated(subject) if subject != '' else '']
    parts += [f'{k}={abbreviated(v)}' for k, v in words.items() if v is not None and v is not False]
    if named:
        parts.append('{' + (', '.join(f'{k}={abbreviated(v)}' for k, v in named.items())
                            if isinstance(named, dict) else shown(named)) + '}')
    return ' '.join(p for p in parts if p)
