"""A publisher in a hurry."""

import socket
import struct
import threading

import mqtt_bytes as mqtt

CONNACK_SIZE = PUBACK_SIZE = 4              # of 3.1.1


def numbered(number, size):
    return b'%08d' % number + b'.' * (size - 8)


def number_of(payload):
    return int(payload[:8])


class Load(threading.Thread):
    """Publishes numbered messages with QoS 1 by MQTT 3.1.1, many under way, until the broker ends the
    connection or all are acknowledged.  self.acknowledged of them are: the first ones, because
    acknowledgements come in order, which is looked at."""

    def __init__(self, address, client_id, topics, size=200, count=1 << 60, window=1000):
        super().__init__(daemon=True)
        self.topics, self.size, self.count, self.window = topics, size, count, window
        self.acknowledged, self.is_out_of_order = 0, False
        self.socket = socket.create_connection(address)
        self.socket.settimeout(60)
        self.socket.sendall(mqtt.connect(client_id, 4, keep_alive=0))
        self._read(CONNACK_SIZE)
        self.start()

    def _read(self, size):
        raw = b''
        while len(raw) < size:
            more = self.socket.recv(size - len(raw))
            if not more:
                raise ConnectionResetError
            raw += more
        return raw

    def _packet(self, number):
        return mqtt.publish(self.topics[number % len(self.topics)], numbered(number, self.size), 1,
                            packet_id=number % 65535 + 1, version=4)

    def _take(self, raw):
        for first, packet_id in struct.iter_unpack('>HH', raw):
            if first != 0x4002 or packet_id != self.acknowledged % 65535 + 1:
                self.is_out_of_order = True
            self.acknowledged += 1

    def run(self):
        sent, half = 0, self.window // 2
        try:
            while self.acknowledged < self.count:
                more = min(half, self.count - sent) if sent - self.acknowledged <= half else 0
                self.socket.sendall(b''.join(self._packet(n) for n in range(sent, sent + more)))
                sent += more
                wanted = min(sent - self.acknowledged, half) or 1
                self._take(self._read(wanted * PUBACK_SIZE))
            self.socket.sendall(mqtt.disconnect(version=4))
        except OSError:
            pass                            # it was ended
        self.socket.close()
