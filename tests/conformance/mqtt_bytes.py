"""MQTT packets <-> bytes, for tests: written from the standard, sharing nothing with the broker.

The encoder says whatever it is told, right or wrong: a string may be ill-formed bytes, a property may
stand where it must not, a packet identifier may be 0.  The decoder is the opposite: it reads what a
server sent, and anything the standard does not allow there raises Malformed.  So every test checks,
besides its own point, that the server's packets are well-formed, that their properties and Reason
Codes may stand where they stand, and that lengths use as few bytes as possible.
"""

import struct
from dataclasses import dataclass, field

(CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK,
 PINGREQ, PINGRESP, DISCONNECT, AUTH) = range(1, 16)

NAMES = ('RESERVED', 'CONNECT', 'CONNACK', 'PUBLISH', 'PUBACK', 'PUBREC', 'PUBREL', 'PUBCOMP', 'SUBSCRIBE',
         'SUBACK', 'UNSUBSCRIBE', 'UNSUBACK', 'PINGREQ', 'PINGRESP', 'DISCONNECT', 'AUTH')

WILL = 0        # where will properties stand; no packet type is 0

# name: (identifier, kind, the packets it may stand in)
PROPERTIES = {
    'payload_format_indicator':          (0x01, 'byte', (PUBLISH, WILL)),
    'message_expiry_interval':           (0x02, 'four', (PUBLISH, WILL)),
    'content_type':                      (0x03, 'text', (PUBLISH, WILL)),
    'response_topic':                    (0x08, 'text', (PUBLISH, WILL)),
    'correlation_data':                  (0x09, 'data', (PUBLISH, WILL)),
    'subscription_identifier':           (0x0B, 'varint', (PUBLISH, SUBSCRIBE)),
    'session_expiry_interval':           (0x11, 'four', (CONNECT, CONNACK, DISCONNECT)),
    'assigned_client_identifier':        (0x12, 'text', (CONNACK,)),
    'server_keep_alive':                 (0x13, 'two', (CONNACK,)),
    'authentication_method':             (0x15, 'text', (CONNECT, CONNACK, AUTH)),
    'authentication_data':               (0x16, 'data', (CONNECT, CONNACK, AUTH)),
    'request_problem_information':       (0x17, 'byte', (CONNECT,)),
    'will_delay_interval':               (0x18, 'four', (WILL,)),
    'request_response_information':      (0x19, 'byte', (CONNECT,)),
    'response_information':              (0x1A, 'text', (CONNACK,)),
    'server_reference':                  (0x1C, 'text', (CONNACK, DISCONNECT)),
    'reason_string':                     (0x1F, 'text', (CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK,
                                                         UNSUBACK, DISCONNECT, AUTH)),
    'receive_maximum':                   (0x21, 'two', (CONNECT, CONNACK)),
    'topic_alias_maximum':               (0x22, 'two', (CONNECT, CONNACK)),
    'topic_alias':                       (0x23, 'two', (PUBLISH,)),
    'maximum_qos':                       (0x24, 'byte', (CONNACK,)),
    'retain_available':                  (0x25, 'byte', (CONNACK,)),
    'user_property':                     (0x26, 'pair', (CONNECT, CONNACK, PUBLISH, WILL, PUBACK, PUBREC, PUBREL,
                                                         PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK,
                                                         DISCONNECT, AUTH)),
    'maximum_packet_size':               (0x27, 'four', (CONNECT, CONNACK)),
    'wildcard_subscription_available':   (0x28, 'byte', (CONNACK,)),
    'subscription_identifier_available': (0x29, 'byte', (CONNACK,)),
    'shared_subscription_available':     (0x2A, 'byte', (CONNACK,)),
}
PROPERTY_NAMES = {entry[0]: name for name, entry in PROPERTIES.items()}
REPEATABLE = ('user_property', 'subscription_identifier')

# The Reason Codes a server may put into each packet (MQTT 5.0, tables of chapter 3).
REASONS = {
    CONNACK: {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97,
              0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    PUBACK: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    PUBREC: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    PUBREL: {0x00, 0x92},
    PUBCOMP: {0x00, 0x92},
    SUBACK: {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96,
                 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2},
    AUTH: {0x00, 0x18, 0x19},
}


# ---- encoding ---------------------------------------------------------------------------------------

def varint(value):
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def data(value):
    """A two-byte length and the bytes; text is encoded, bytes go as they are (even ill-formed ones)."""
    raw = value.encode() if isinstance(value, str) else bytes(value)
    return struct.pack('>H', len(raw)) + raw


def two(value):
    return struct.pack('>H', value)


def one_property(name, value):
    identifier, kind, _ = PROPERTIES[name]
    if kind == 'byte':
        body = bytes((value,))
    elif kind == 'two':
        body = struct.pack('>H', value)
    elif kind == 'four':
        body = struct.pack('>I', value)
    elif kind == 'varint':
        body = varint(value)
    elif kind == 'pair':
        body = data(value[0]) + data(value[1])
    else:
        body = data(value)
    return bytes((identifier,)) + body


def properties(named=()):
    """A property list with its length.  named: {name: value}; a value that is a list repeats the
    property; bytes instead of a dict are the raw list, for lists no dict can say."""
    if isinstance(named, (bytes, bytearray)):
        raw = bytes(named)
    else:
        raw = b''.join(one_property(name, value)
                       for name, values in dict(named).items()
                       for value in (values if isinstance(values, list) else [values]))
    return varint(len(raw)) + raw


def packet(first_byte, body=b''):
    return bytes((first_byte,)) + varint(len(body)) + bytes(body)


@dataclass
class Will:
    topic: object
    payload: bytes = b''
    qos: int = 0
    retain: bool = False
    properties: dict = field(default_factory=dict)


def connect(client_id='', version=5, clean_start=True, keep_alive=60, will=None, user_name=None, password=None,
            properties_=(), protocol_name=None, flags=None):
    """flags replaces the computed Connect Flags byte; the payload still follows the arguments."""
    if protocol_name is None:
        protocol_name = 'MQIsdp' if version & 0x7F == 3 else 'MQTT'
    if flags is None:
        flags = 0x02 if clean_start else 0
        if will is not None:
            flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        flags |= 0x80 if user_name is not None else 0
        flags |= 0x40 if password is not None else 0
    has_properties = version & 0x7F == 5
    body = data(protocol_name) + bytes((version, flags)) + two(keep_alive)
    if has_properties:
        body += properties(properties_)
    body += data(client_id)
    if will is not None:
        if has_properties:
            body += properties(will.properties)
        body += data(will.topic) + data(will.payload)
    if user_name is not None:
        body += data(user_name)
    if password is not None:
        body += data(password)
    return packet(0x10, body)


def publish(topic, payload=b'', qos=0, retain=False, dup=False, packet_id=None, version=5, properties_=()):
    body = data(topic)
    if packet_id is not None:
        body += two(packet_id)
    if version == 5:
        body += properties(properties_)
    body += payload.encode() if isinstance(payload, str) else bytes(payload)
    return packet(0x30 | dup << 3 | qos << 1 | retain, body)


def acknowledgement(type_, packet_id, reason=None, properties_=None, version=5):
    """PUBACK, PUBREC, PUBREL or PUBCOMP; short where reason and properties_ are not given."""
    body = two(packet_id)
    if version == 5 and (reason is not None or properties_ is not None):
        body += bytes((reason or 0,))
        if properties_ is not None:
            body += properties(properties_)
    return packet(type_ << 4 | (2 if type_ == PUBREL else 0), body)


def options(qos=0, no_local=False, retain_as_published=False, retain_handling=0):
    return qos | no_local << 2 | retain_as_published << 3 | retain_handling << 4


def subscribe(packet_id, filters, version=5, properties_=()):
    """filters: pairs of a Topic Filter and its options byte."""
    body = two(packet_id) + (properties(properties_) if version == 5 else b'')
    return packet(0x82, body + b''.join(data(f) + bytes((o,)) for f, o in filters))


def unsubscribe(packet_id, filters, version=5, properties_=()):
    body = two(packet_id) + (properties(properties_) if version == 5 else b'')
    return packet(0xA2, body + b''.join(data(f) for f in filters))


def pingreq():
    return packet(0xC0)


def disconnect(reason=None, properties_=None, version=5):
    body = b''
    if version == 5 and (reason is not None or properties_ is not None):
        body = bytes((reason or 0,))
        if properties_ is not None:
            body += properties(properties_)
    return packet(0xE0, body)


def auth(reason, properties_=()):
    return packet(0xF0, bytes((reason,)) + properties(properties_))


# ---- decoding ---------------------------------------------------------------------------------------

class Malformed(AssertionError):
    """A server sent something that the standard does not allow."""


class Packet:
    """What a server sent.  Only the fields that its type has are set."""

    def __init__(self, type_, flags, raw):
        self.type, self.flags, self.raw = type_, flags, raw
        self.properties = {}

    @property
    def name(self):
        return NAMES[self.type]

    def get(self, name, default=None):
        return self.properties.get(name, default)

    def __repr__(self):
        words = [self.name]
        for key, value in vars(self).items():
            if key in ('type', 'flags', 'raw', 'properties') or value is None or value is False:
                continue
            if key in ('reason',):
                words.append(f'{value:02x}')
            elif key == 'reasons':
                words.append('[' + ' '.join(f'{r:02x}' for r in value) + ']')
            elif value is True:
                words.append(key)
            else:
                words.append(f'{key}={abbreviated(value)}')
        if self.properties:
            words.append('{' + ', '.join(f'{k}={abbreviated(v)}' for k, v in self.properties.items()) + '}')
        return ' '.join(words)


def abbreviated(value):
    text = repr(value)
    if not isinstance(value, (bytes, str)) or len(text) <= 80:
        return text
    return f'{text[:60]}… ({len(value)})'


class Reader:
    """A cursor over one packet's body."""

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, size):
        if self.at + size > len(self.raw):
            raise Malformed(f'the packet ends inside a field: {self.raw.hex(" ")}')
        self.at += size
        return self.raw[self.at - size:self.at]

    def rest(self):
        return self.take(len(self.raw) - self.at)

    def left(self):
        return len(self.raw) - self.at

    def byte(self):
        return self.take(1)[0]

    def two(self):
        return struct.unpack('>H', self.take(2))[0]

    def four(self):
        return struct.unpack('>I', self.take(4))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 21:
                raise Malformed('a variable byte integer longer than four bytes')
        if byte == 0 and shift > 0:
            raise Malformed('a variable byte integer longer than necessary [MQTT-1.5.5-1]')
        return value

    def data(self):
        return self.take(self.two())

    def text(self):
        raw = self.data()
        try:
            text = raw.decode('utf-8', 'strict')
        except UnicodeDecodeError:
            raise Malformed(f'ill-formed UTF-8 [MQTT-1.5.4-1]: {raw.hex(" ")}') from None
        if '\0' in text:
            raise Malformed('U+0000 in a string [MQTT-1.5.4-2]')
        return text

    def properties(self, place):
        block = Reader(self.take(self.varint()))
        found = {}
        while block.left():
            identifier = block.byte()
            name = PROPERTY_NAMES.get(identifier)
            if name is None:
                raise Malformed(f'unknown property {identifier:#04x}')
            _, kind, places = PROPERTIES[name]
            if place not in places:
                raise Malformed(f'{name} may not stand in {NAMES[place]}')
            if kind == 'pair':
                value = (block.text(), block.text())
            else:
                value = getattr(block, kind)()
            if name in REPEATABLE:
                found.setdefault(name, []).append(value)
            elif name in found:
                raise Malformed(f'{name} twice in {NAMES[place]}')
            else:
                found[name] = value
        return found


def decode(raw, version):
    """The first packet in raw and its size, or None if more bytes are needed."""
    if len(raw) < 2:
        return None
    size = shift = 0
    for at in range(1, 5):
        if at >= len(raw):
            return None
        size |= (raw[at] & 0x7F) << shift
        shift += 7
        if raw[at] < 0x80:
            break
    else:
        raise Malformed('a remaining length longer than four bytes')
    if raw[at] == 0 and at > 1:
        raise Malformed('a remaining length longer than necessary [MQTT-1.5.5-1]')
    end = at + 1 + size
    if len(raw) < end:
        return None
    return decode_body(raw[0], bytes(raw[at + 1:end]), bytes(raw[:end]), version), end


def decode_body(first, body, raw, version):
    p, r = Packet(first >> 4, first & 0x0F, raw), Reader(body)
    if p.type not in (CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, DISCONNECT,
                      AUTH):
        raise Malformed(f'a server sent {p.name}')
    if p.type in (DISCONNECT, AUTH) and version != 5:
        raise Malformed(f'a server sent {p.name} to a client of version {version}')
    if p.type != PUBLISH and p.flags != (2 if p.type == PUBREL else 0):
        raise Malformed(f'reserved flags of {p.name} are {p.flags} [MQTT-2.1.3-1]')

    if p.type == CONNACK:
        acknowledge_flags, p.reason = r.byte(), r.byte()
        if acknowledge_flags > 1:
            raise Malformed('reserved Connect Acknowledge Flags [MQTT-3.2.2-1]')
        p.session_present = acknowledge_flags == 1
        if version == 5 and r.left():           # a 3.1.1 style refusal has no properties
            p.properties = r.properties(CONNACK)
        elif version == 5 and p.reason in REASONS[CONNACK] - {0x84}:
            raise Malformed('CONNACK without a Property Length [MQTT-2.2.2-1]')
        if p.reason and p.session_present:
            raise Malformed('Session Present in a refusal [MQTT-3.2.2-6]')
        if version != 5 and p.reason > 5:
            raise Malformed(f'return code {p.reason:#04x} in a CONNACK')
    elif p.type == PUBLISH:
        p.qos, p.retain, p.dup = p.flags >> 1 & 3, bool(p.flags & 1), bool(p.flags & 8)
        p.topic = r.text()
        p.packet_id = r.two() if p.qos else None
        if p.qos == 3:
            raise Malformed('QoS 3 [MQTT-3.3.1-4]')
        if p.qos == 0 and p.dup:
            raise Malformed('DUP on a QoS 0 message [MQTT-3.3.1-2]')
        if p.packet_id == 0:
            raise Malformed('packet identifier 0 [MQTT-2.2.1-4]')
        if '+' in p.topic or '#' in p.topic:
            raise Malformed('a wildcard in a Topic Name [MQTT-3.3.2-2]')
        if version == 5:
            p.properties = r.properties(PUBLISH)
            if p.get('topic_alias') == 0:
                raise Malformed('Topic Alias 0 [MQTT-3.3.2-8]')
        if not p.topic and not p.get('topic_alias'):
            raise Malformed('an empty Topic Name [MQTT-4.7.3-1]')
        p.payload = r.rest()
    elif p.type in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        p.packet_id = r.two()
        p.reason = r.byte() if version == 5 and r.left() else 0
        if version == 5 and r.left():
            p.properties = r.properties(p.type)
    elif p.type in (SUBACK, UNSUBACK):
        p.packet_id = r.two()
        if version == 5:
            p.properties = r.properties(p.type)
        p.reasons = list(r.rest())
    elif p.type in (DISCONNECT, AUTH):
        p.reason = r.byte() if r.left() else 0
        if r.left():
            p.properties = r.properties(p.type)
    if r.left():
        raise Malformed(f'{r.left()} bytes left over in {p.name}')
    check_reasons(p, version)
    return p


def check_reasons(p, version):
    if p.type == SUBACK and version != 5:
        allowed = {0, 1, 2, 0x80}
    elif version != 5:
        return
    else:
        allowed = REASONS.get(p.type)
    for reason in getattr(p, 'reasons', [getattr(p, 'reason', 0)]):
        if allowed is not None and reason not in allowed and not (p.type == CONNACK and reason <= 5):
            raise Malformed(f'Reason Code {reason:#04x} may not stand in {p.name}')
    if p.type == DISCONNECT and p.get('session_expiry_interval') is not None:
        raise Malformed('Session Expiry Interval in a server\'s DISCONNECT [MQTT-3.14.2-2]')
