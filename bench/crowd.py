"""Clients that only exist, with many subscriptions or connections, while others are measured.

Just enough of MQTT 3.1.1 for that: CONNECT, SUBSCRIBE, and waiting for the answers.
"""

import contextlib
import itertools
import socket
import struct

SOURCE = '127.0.0.2'    # leaves the ports of 127.0.0.1 to the load
TIMEOUT_S = 120
FILTERS_PER_PACKET = 1000
IP_BIND_ADDRESS_NO_PORT = 24    # of Linux: connect() chooses the port, which many may share
AT_A_TIME = 64          # connections on their way: backlogs are short


def text(value):
    data = value.encode()
    return struct.pack('>H', len(data)) + data


def packet(first_byte, body):
    size, rest = b'', len(body)
    while rest > 127:
        size, rest = size + bytes([rest & 127 | 128]), rest >> 7
    return bytes([first_byte]) + size + bytes([rest]) + body


def connect_packet(client_id):
    return packet(0x10, text('MQTT') + b'\x04\x02\x00\x00' + text(client_id))


def subscribe_packet(packet_id, filters):
    return packet(0x82, struct.pack('>H', packet_id) + b''.join(text(f) + b'\0' for f in filters))


def receive(sock, size):
    """So many bytes."""
    parts = []
    while size > 0:
        part = sock.recv(size)
        if not part:
            raise ConnectionError('closed by the broker')
        parts.append(part)
        size -= len(part)
    return b''.join(parts)


def receive_packet(sock, wanted):
    """The next packet, which must be of this type; its body."""
    first, = receive(sock, 1)
    size, shift, more = 0, 0, True
    while more:
        byte, = receive(sock, 1)
        size, shift, more = size | (byte & 127) << shift, shift + 7, byte & 128
    body = receive(sock, size)
    if first & 0xf0 != wanted:
        raise ConnectionError(f'an unexpected packet: {first:#04x}')
    return body


class Crowd:
    """Open connections.  Closed all together, without a word."""

    def __init__(self, port):
        self.port, self.sockets = port, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.close()

    def connect(self, count):
        for start in range(0, count, AT_A_TIME):
            begun = [self.begin() for _ in range(min(AT_A_TIME, count - start))]
            for sock in begun:
                if receive_packet(sock, 0x20)[1] != 0:
                    raise ConnectionError('the broker refuses connections')

    def begin(self):
        sock = socket.socket()
        self.sockets.append(sock)
        sock.settimeout(TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((SOURCE, 0))
        sock.connect(('127.0.0.1', self.port))
        sock.sendall(connect_packet(f'crowd-{len(self.sockets)}'))
        return sock

    def subscribe(self, filters):
        """Deals them out to all connections, a packet at a time."""
        filters = iter(filters)
        for packet_id, sock in enumerate(itertools.cycle(self.sockets)):
            some = list(itertools.islice(filters, FILTERS_PER_PACKET))
            if not some:
                return
            sock.sendall(subscribe_packet(packet_id % 65535 + 1, some))
            if 0x80 in receive_packet(sock, 0x90)[2:]:
                raise ConnectionError('the broker refuses a subscription')
