"""Shared Subscriptions (MQTT 5.0, section 4.8.2)."""

import select

from mqtt_bytes import DISCONNECT, PUBACK, PUBREC, PUBREL, SUBACK
from suite import statement


def group(t, rest=''):
    return f'$share/g{t.serial}/{t.topic(rest) if rest else t.topic()}'


def members(t, count=2, qos=2, **words):
    found = [t.connect(f'm{n}', **words) for n in range(count)]
    for c in found:
        c.subscribe(group(t), qos=qos)
    return found


def next_of(clients):
    """Whoever has something to read, without waiting for the others."""
    ready, _, _ = select.select([c.socket for c in clients], [], [], clients[0].deadline_s)
    return next(c for c in clients if c.socket in ready)


@statement('MQTT-4.8.2-1', 'MQTT-4.8.2-2')
def a_share_name_has_characters_and_no_wildcards(t):
    for bad in ('$share/', '$share//a', '$share/g', '$share/g/', '$share/+/a', '$share/#/a', '$share/g+/a',
                '$share/g#/a', '$share/+g/a', '$share/#', '$share/+', '$share/g/a#', '$share/g/#/a'):
        c = t.connect()
        c.send_subscribe(bad)
        answer = c.receive()
        if answer is not None and answer.type == SUBACK:
            assert answer.reasons in ([0x8F], [0x80], [0x9E]), f'{bad}: {answer}'
        elif answer is not None:
            assert answer.type == DISCONNECT, f'{bad}: {answer}'
        c.close()


@statement('MQTT-4.8.2-1')
def each_message_goes_to_one_member(t):
    clients, pub = members(t, 3, qos=1), t.connect('pub')
    for n in range(30):
        pub.publish(t.topic(), str(n), qos=1)
        next_of(clients).expect_message(t.topic(), str(n))
    for c in clients:
        t.expect_nothing(c, pub, qos=1)


@statement('MQTT-4.8.2-1')
def groups_and_plain_subscriptions_are_served_apart(t):
    pub, plain, one, two = (t.connect(name) for name in ('pub', 'plain', 'one', 'two'))
    plain.subscribe(t.topic('#'), qos=1)
    one.subscribe(f'$share/one{t.serial}/{t.topic("+")}', qos=1)
    two.subscribe(f'$share/two{t.serial}/{t.topic("a")}', qos=1)
    pub.publish(t.topic('a'), b'x', qos=1)
    for c in (plain, one, two):
        c.expect_message(t.topic('a'), b'x')
    pub.publish(t.topic('b'), b'y', qos=1)
    for c in (plain, one):
        c.expect_message(t.topic('b'), b'y')
    t.expect_nothing(two, pub, qos=1)


@statement('MQTT-4.8.2-1')
def shared_subscriptions_get_no_retained_messages(t):
    t.connect().publish(t.topic(), b'x', qos=1, retain=True)
    c = t.connect()
    c.subscribe(group(t), qos=1)
    c.expect_silence()


@statement('MQTT-4.8.2-1')
def nothing_is_shared_after_unsubscribe(t):
    (one, two), pub = members(t, qos=1), t.connect('pub')
    assert one.unsubscribe(group(t)).reasons == [0]
    for n in range(4):
        pub.publish(t.topic(), str(n), qos=1)
        two.expect_message(t.topic(), str(n))
    t.expect_nothing(one, pub, qos=1)


@statement('MQTT-4.8.2-3')
def each_member_gets_its_granted_qos(t):
    zero, two, pub = t.connect('zero'), t.connect('two'), t.connect('pub')
    zero.subscribe(group(t), qos=0)
    two.subscribe(group(t), qos=2)
    seen = set()
    for n in range(20):
        pub.publish(t.topic(), str(n), qos=2)
        c = next_of((zero, two))
        c.expect_message(t.topic(), str(n), qos=0 if c is zero else 2)
        seen.add(c.name)
        c.expect_silence()
    assert seen == {'zero', 'two'}, f'all went to {seen}'


@statement('MQTT-4.8.2-4')
def a_qos_2_message_in_flight_is_completed_when_its_member_returns(t):
    pub = t.connect('pub')
    clients = members(t, session_expiry_interval=60)
    pub.publish(t.topic(), b'x', qos=2)
    holder = next_of(clients)
    other = next(c for c in clients if c is not holder)
    message = holder.expect_message(t.topic(), b'x', ack=False)
    holder.drop()
    t.expect_nothing(other, pub, qos=2)
    holder = t.connect(holder.name, clean_start=False, session_expiry_interval=60)
    holder.expect_message(t.topic(), b'x', dup=True, packet_id=message.packet_id)
    t.expect_nothing(other, pub, qos=2)


@statement('MQTT-4.8.2-4')
def a_pubrel_in_flight_is_completed_when_its_member_returns(t):
    pub = t.connect('pub')
    clients = members(t, session_expiry_interval=60)
    pub.publish(t.topic(), b'x', qos=2)
    holder = next_of(clients)
    message = holder.expect_message(t.topic(), b'x', ack=False)
    holder.send_ack(PUBREC, message.packet_id)
    holder.expect(PUBREL, packet_id=message.packet_id)
    holder.drop()
    holder = t.connect(holder.name, clean_start=False)
    holder.expect(PUBREL, packet_id=message.packet_id)


@statement('MQTT-4.8.2-5')
def a_qos_2_message_in_flight_ends_with_the_session_of_its_member(t):
    pub = t.connect('pub')
    clients = members(t, session_expiry_interval=0)
    pub.publish(t.topic(), b'x', qos=2)
    holder = next_of(clients)
    other = next(c for c in clients if c is not holder)
    message = holder.expect_message(t.topic(), b'x', ack=False)
    holder.send_ack(PUBREC, message.packet_id)
    holder.expect(PUBREL)
    holder.disconnect()
    t.expect_nothing(other, pub, qos=2)


@statement('MQTT-4.8.2-5')
def an_unacknowledged_qos_2_message_is_not_given_to_another_member(t):
    pub = t.connect('pub')
    clients = members(t, session_expiry_interval=0)
    pub.publish(t.topic(), b'x', qos=2)
    holder = next_of(clients)
    other = next(c for c in clients if c is not holder)
    holder.expect_message(t.topic(), b'x', ack=False)
    holder.disconnect()
    t.expect_nothing(other, pub, qos=2)


@statement('MQTT-4.8.2-6')
def a_message_refused_by_a_member_is_discarded(t):
    pub, clients = t.connect('pub'), members(t)
    for qos, type_ in ((1, PUBACK), (2, PUBREC)):
        pub.publish(t.topic(), b'x', qos=qos)
        holder = next_of(clients)
        message = holder.expect_message(t.topic(), b'x', qos=qos, ack=False)
        holder.send_ack(type_, message.packet_id, 0x83)
        for c in clients:
            t.expect_nothing(c, pub, qos=qos)
