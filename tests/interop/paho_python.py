"""The Paho client for Python (python3-paho-mqtt, version 1.6)."""

import queue
import socket
import threading

from harness import DEADLINE_S, Failure, expect, large_payload, unique

try:
    import paho.mqtt.client as paho
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    from paho.mqtt.subscribeoptions import SubscribeOptions
except ImportError:
    paho = None

VERSIONS = {'3.1': 3, '3.1.1': 4, '5': 5}


def properties(packet, **values):
    result = Properties(getattr(PacketTypes, packet))
    for name, value in values.items():
        setattr(result, name, value)
    return result


class Client:
    """Paho with its own thread.  What happens to it comes out of a queue per kind of event."""

    def __init__(self, port, version, client_id='', clean=True, connect=None, **will):
        self.version = version
        self.connected, self.acks, self.messages = queue.Queue(), queue.Queue(), queue.Queue()
        self.ended = queue.Queue()
        flags = {} if version == 5 else {'clean_session': clean or not client_id}
        self.paho = paho.Client(client_id or unique('paho'), protocol=version, **flags)
        if will:
            self.paho.will_set(**will)
        self.paho.on_connect = lambda _c, _u, flags, reason, props=None: self.connected.put((flags, reason, props))
        self.paho.on_subscribe = lambda _c, _u, mid, granted, props=None: self.acks.put((mid, granted))
        self.paho.on_unsubscribe = lambda _c, _u, mid, *_: self.acks.put((mid, None))
        self.paho.on_publish = lambda _c, _u, mid: self.acks.put((mid, None))
        self.paho.on_message = lambda _c, _u, message: self.messages.put(message)
        self.paho.on_disconnect = self._on_disconnect
        more = {'clean_start': clean, 'properties': connect} if version == 5 else {}
        self.paho.connect('127.0.0.1', port, keepalive=60, **more)
        self.paho.loop_start()
        flags, reason, self.connack = self.next(self.connected, 'CONNACK')
        expect(getattr(reason, 'value', reason), 0, 'CONNACK')
        self.session_present = bool(flags['session present'])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _on_disconnect(self, _client, _user, reason, *_):
        self.paho.disconnect()          # there is no connection left: this only says "do not reconnect"
        self.ended.put(reason)

    @staticmethod
    def next(events, what):
        try:
            return events.get(timeout=DEADLINE_S)
        except queue.Empty:
            raise Failure(f'no {what} in {DEADLINE_S} s') from None

    def acknowledged(self, result, what):
        expect(result[0], 0, what)
        while True:
            mid, value = self.next(self.acks, f'acknowledgement of {what}')
            if mid == result[1]:
                return value

    def subscribe(self, topic_filter, qos=2, props=None, **options):
        """Waits for SUBACK.  What was granted."""
        if self.version == 5:
            result = self.paho.subscribe(topic_filter, options=SubscribeOptions(qos, **options), properties=props)
        else:
            result = self.paho.subscribe(topic_filter, qos)
        granted, = self.acknowledged(result, f'SUBSCRIBE {topic_filter}')
        return getattr(granted, 'value', granted)

    def unsubscribe(self, topic_filter):
        self.acknowledged(self.paho.unsubscribe(topic_filter), 'UNSUBSCRIBE')

    def publish(self, topic, payload, qos=1, retain=False, **props):
        """Waits until the flow of the message is complete."""
        props = properties('PUBLISH', **props) if props else None
        info = self.paho.publish(topic, payload, qos, retain, props)
        self.acknowledged((info.rc, info.mid), f'PUBLISH {topic}')

    def receive(self):
        return self.next(self.messages, 'message')

    def received(self, count):
        """(topic, payload, QoS, retain) of the next messages."""
        messages = [self.receive() for _ in range(count)]
        return [(m.topic, m.payload, m.qos, m.retain) for m in messages]

    def close(self):
        """DISCONNECT, unless there is no connection any more."""
        self.paho.disconnect()
        self.paho.loop_stop()

    def drop(self):
        """Gone without a DISCONNECT."""
        self.paho.socket().shutdown(socket.SHUT_RDWR)
        self.next(self.ended, 'end of the connection')
        self.paho.loop_stop()


def qos(port, version):
    """Every QoS published to every QoS subscribed."""
    t = unique('py/qos')
    with Client(port, version) as publisher:
        for granted in (0, 1, 2):
            with Client(port, version) as subscriber:
                expect(subscriber.subscribe(t, granted), granted, 'granted QoS')
                for sent in (0, 1, 2):
                    publisher.publish(t, b'%d' % sent, sent)
                expect(sorted(subscriber.received(3)),
                       [(t, b'%d' % sent, min(sent, granted), False) for sent in (0, 1, 2)], f'QoS {granted}')


def in_order(port, version):
    """Many messages in flight, in their order."""
    t, count = unique('py/order'), 500
    with Client(port, version) as subscriber, Client(port, version) as publisher:
        subscriber.subscribe(t)
        for level in (0, 1, 2):
            for i in range(count):
                publisher.paho.publish(t, b'%d' % i, level)
            expect([int(m[1]) for m in subscriber.received(count)], list(range(count)), f'QoS {level}')


def retained(port, version):
    t = unique('py/retained')
    with Client(port, version) as publisher:
        publisher.publish(t, b'old', retain=True)
        publisher.publish(t, b'new', retain=True)
        with Client(port, version) as subscriber:
            subscriber.subscribe(f'{t}/#')
            expect(subscriber.received(1), [(t, b'new', 1, True)], 'retained')
            publisher.publish(t, b'', retain=True)
            expect(subscriber.received(1), [(t, b'', 1, False)], 'the message that clears')
        with Client(port, version) as subscriber:
            subscriber.subscribe(t)
            publisher.publish(t, b'live')
            expect(subscriber.received(1), [(t, b'live', 1, False)], 'after clearing')


def will(port, version):
    t = unique('py/will')
    with Client(port, version) as subscriber:
        subscriber.subscribe(t)
        Client(port, version, topic=t, payload=b'never', qos=1).close()
        Client(port, version, topic=t, payload=b'last words', qos=2, retain=True).drop()
        expect(subscriber.received(1), [(t, b'last words', 2, False)], 'will')
        with Client(port, version) as late:
            late.subscribe(t)
            expect(late.received(1), [(t, b'last words', 2, True)], 'retained will')
            late.publish(t, b'', retain=True)


def wildcards(port, version):
    t = unique('pywild')
    with Client(port, version) as subscriber, Client(port, version) as publisher:
        subscriber.subscribe(f'{t}/+/x')
        subscriber.subscribe(f'{t}/deep/#')
        for topic in (f'{t}/a/x', f'{t}/a/y', f'{t}/deep', f'{t}/deep/1/2', f'{t}', f'{t}//x'):
            publisher.publish(topic, b'')
        subscriber.unsubscribe(f'{t}/+/x')
        publisher.publish(f'{t}/a/x', b'')
        publisher.publish(f'{t}/deep/end', b'')
        expect([m[0] for m in subscriber.received(5)],
               [f'{t}/a/x', f'{t}/deep', f'{t}/deep/1/2', f'{t}//x', f'{t}/deep/end'], 'topics')


def large(port, version):
    t, payload = unique('py/large'), large_payload()
    with Client(port, version) as subscriber, Client(port, version) as publisher:
        subscriber.subscribe(t)
        for level in (0, 1, 2):
            publisher.publish(t, payload, level)
            (topic, received, granted, _), = subscriber.received(1)
            expect((topic, granted, len(received)), (t, level, len(payload)), 'large message')
            expect(received == payload, True, 'the same bytes')


def session(port, version):
    """What is published while the client is away waits for it, in order; the session is reported."""
    t, client_id = unique('py/session'), unique('pysess')
    keep = properties('CONNECT', SessionExpiryInterval=300) if version == 5 else None
    with Client(port, version) as publisher:
        first = Client(port, version, client_id, clean=False, connect=keep)
        expect(first.session_present, False, 'session present at first')
        first.subscribe(t)
        first.drop()
        for level in (1, 1, 2):
            publisher.publish(t, b'%d' % level, level)
        with Client(port, version, client_id, clean=False, connect=keep) as second:
            expect(second.session_present, version != 3, 'session present')
            expect(second.received(3), [(t, b'%d' % q, q, False) for q in (1, 1, 2)], 'queued')
        Client(port, version, client_id, clean=True).close()
        with Client(port, version, client_id, clean=False) as fresh:
            expect(fresh.session_present, False, 'session present after a clean start')
        Client(port, version, client_id, clean=True).close()


def take_over(port, version):
    """A second client with the same id ends the first."""
    client_id = unique('pytake')
    first = Client(port, version, client_id)
    with Client(port, version, client_id) as second:
        reason = first.next(first.ended, 'end of the first connection')
        # Paho looks at the Reason Code only if Properties follow it; otherwise it sees the end itself.
        expect(getattr(reason, 'value', 0x8E), 0x8E, 'DISCONNECT')
        t = unique('py/take')
        second.subscribe(t)
        second.publish(t, b'mine')
        expect(second.received(1), [(t, b'mine', 1, False)], 'second client')


def publish_properties(port, version):
    t = unique('py/props')
    with Client(port, version) as subscriber, Client(port, version) as publisher:
        subscriber.subscribe(t)
        publisher.publish(t, b'{}', ContentType='application/json', PayloadFormatIndicator=1,
                          ResponseTopic='py/answers', CorrelationData=b'\x00\xff', MessageExpiryInterval=600,
                          UserProperty=[('a', '1'), ('b', '2'), ('a', '3')])
        p = subscriber.receive().properties
        expect((p.ContentType, p.PayloadFormatIndicator, p.ResponseTopic, p.CorrelationData, p.UserProperty),
               ('application/json', 1, 'py/answers', b'\x00\xff', [('a', '1'), ('b', '2'), ('a', '3')]), 'properties')
        expect(590 <= p.MessageExpiryInterval <= 600, True, f'message expiry {p.MessageExpiryInterval}')


def message_expiry(port, version):
    """A retained message is gone when its time is up."""
    t = unique('py/expiry')
    with Client(port, version) as client:
        client.publish(t, b'short', retain=True, MessageExpiryInterval=1)
        client.publish(f'{t}/mark', b'mark')
        for _ in range(10 * DEADLINE_S):
            client.subscribe(f'{t}/#')                  # sends retained messages again, if there are any
            client.publish(f'{t}/mark', b'mark')
            seen = []
            while not seen or seen[-1].topic != f'{t}/mark':
                seen.append(client.receive())
            if len(seen) == 1:
                return
            expect(seen[0].properties.MessageExpiryInterval <= 1, True, 'what is left of it')
            threading.Event().wait(0.1)                 # time must pass for this test; ask ten times a second
    raise Failure('the message does not expire')


def subscription_ids(port, version):
    """A message that matches two subscriptions carries both identifiers, in one copy or in two."""
    t = unique('py/ids')
    with Client(port, version) as client:
        client.subscribe(f'{t}/#', props=properties('SUBSCRIBE', SubscriptionIdentifier=1))
        client.subscribe(f'{t}/x', props=properties('SUBSCRIBE', SubscriptionIdentifier=268435455))
        client.publish(f'{t}/x', b'both')
        seen = []
        while len(seen) < 2:
            seen += client.receive().properties.SubscriptionIdentifier
        expect(sorted(seen), [1, 268435455], 'subscription identifiers')


def subscribe_options(port, version):
    """No Local, Retain As Published, Retain Handling."""
    t = unique('py/options')
    with Client(port, version) as client, Client(port, version) as other:
        other.publish(t, b'kept', retain=True)
        client.subscribe(t, noLocal=True, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        client.publish(t, b'own')
        other.publish(t, b'other', retain=True)
        expect(client.received(1), [(t, b'other', 1, True)], 'first message')
        client.subscribe(t, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        other.publish(t, b'', retain=True)
        expect(client.received(1), [(t, b'', 1, False)], 'second message')


def topic_alias(port, version):
    t = unique('py/alias')
    with Client(port, version) as subscriber, Client(port, version) as publisher:
        subscriber.subscribe(t)
        publisher.publish(t, b'1', 1, TopicAlias=3)
        publisher.publish('', b'2', 1, TopicAlias=3)
        publisher.publish(f'{t}/new', b'3', 1, TopicAlias=3)
        publisher.publish(t, b'4', 1)
        expect([m[:2] for m in subscriber.received(3)], [(t, b'1'), (t, b'2'), (t, b'4')], 'messages')


def shared(port, version):
    """Each message once, and none to a member that left."""
    t, count = unique('py/shared'), 60
    with Client(port, version) as publisher:
        members = [Client(port, version) for _ in range(3)]
        together = queue.Queue()
        for member in members:
            member.messages = together
            member.subscribe(f'$share/group/{t}')
        members.pop().close()
        for i in range(count):
            publisher.publish(t, b'%d' % i)
        expect(sorted(int(members[0].receive().payload) for _ in range(count)), list(range(count)), 'all members')
        for member in members:
            member.close()


def connect_properties(port, version):
    """An id made by the server; a will that waits is not sent when its client comes back in time."""
    t, client_id = unique('py/delay'), unique('pydelay')
    client = paho.Client('', protocol=version)
    got = queue.Queue()
    client.on_connect = lambda _c, _u, _f, reason, props: got.put((reason.value, props))
    client.connect('127.0.0.1', port)
    client.loop_start()
    reason, props = Client.next(got, 'CONNACK')
    client.disconnect()
    client.loop_stop()
    expect((reason, bool(props.AssignedClientIdentifier)), (0, True), 'assigned client identifier')

    keep = properties('CONNECT', SessionExpiryInterval=300)
    waits = properties('WILLMESSAGE', WillDelayInterval=200)
    with Client(port, version) as watcher:
        watcher.subscribe(t)
        Client(port, version, client_id, False, keep, topic=t, payload=b'no', properties=waits).drop()
        with Client(port, version, client_id, False, properties('CONNECT', SessionExpiryInterval=0)) as back:
            expect(back.session_present, True, 'session present')
            back.publish(t, b'yes')
        expect(watcher.received(1), [(t, b'yes', 1, False)], 'instead of the will')


def receive_maximum(port, version):
    """A client that allows one message in flight gets a hundred all the same."""
    t, count = unique('py/receive'), 100
    with Client(port, version, connect=properties('CONNECT', ReceiveMaximum=1)) as subscriber, \
            Client(port, version) as publisher:
        subscriber.subscribe(t)
        for level in (1, 2):
            for i in range(count):
                publisher.paho.publish(t, b'%d' % i, level)
            expect([int(m[1]) for m in subscriber.received(count)], list(range(count)), f'QoS {level}')


EVERY_VERSION = (qos, in_order, retained, will, wildcards, large, session, take_over)
VERSION_5 = (publish_properties, message_expiry, subscription_ids, subscribe_options, topic_alias, shared,
             connect_properties, receive_maximum)


def cases(port):
    """(name, function without arguments) of each test."""
    if paho is None:
        raise Failure('python3-paho-mqtt is not installed for this Python')
    for name, version in VERSIONS.items():
        for test in EVERY_VERSION + (VERSION_5 if version == 5 else ()):
            yield f'{name} {test.__name__}', lambda test=test, version=version: test(port, version)
