"""Topic Names and Topic Filters (MQTT 3.1.1, section 4.7)."""

import mqtt_bytes as mqtt
from mqtt_bytes import SUBACK
from suite import statement

BOTH = (3, 4)


def expect_filter_refused(t, text):
    """SUBACK with a failure for it, or the end of the connection."""
    c = t.connect()
    c.send_subscribe(text)
    answer = c.receive()
    assert answer is None or (answer.type == SUBACK and answer.reasons == [0x80]), f'{text}: {answer}'
    c.close()


@statement('MQTT3-4.7.1-2', versions=BOTH)
def multi_level_wildcards_stand_alone_and_last(t):
    for bad in ('a#', 'a/b#', '#/a', 'a/#/b', '##', '#a', 'a/#b', '/#/', '+#'):
        expect_filter_refused(t, t.topic(bad))
    expect_filter_refused(t, 'a#')
    expect_filter_refused(t, '#/')


@statement('MQTT3-4.7.1-2', versions=BOTH)
def a_multi_level_wildcard_matches_its_parent_and_all_below(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic('a/#'))
    for name in ('ab', 'A', '', 'b/a'):
        pub.publish(t.topic() + '/' + name, name)
    for name in ('a', 'a/', 'a/b', 'a/b/c', 'a//', 'a/b/c/d/e', 'a/$b'):
        pub.publish(t.topic(name), name)
        sub.expect_message(t.topic(name), name)


@statement('MQTT3-4.7.1-3', versions=BOTH)
def single_level_wildcards_fill_their_level(t):
    for bad in ('a+', '+a', 'a/+b', 'a/b+/c', '++', '+/a+', 'a/++'):
        expect_filter_refused(t, t.topic(bad))


@statement('MQTT3-4.7.1-3', versions=BOTH)
def single_level_wildcards_match_one_level_anywhere(t):
    pub = t.connect('pub')
    for text, matching, others in (
        ('+', ('a', ''), ('a/b', 'a/')),
        ('+/b', ('a/b', '/b'), ('b', 'a/b/c', 'a/c')),
        ('a/+', ('a/b', 'a/'), ('a', 'a/b/c')),
        ('+/+', ('a/b', '/', '/b'), ('a', 'a/b/c')),
        ('a/+/c', ('a/b/c', 'a//c'), ('a/c', 'a/b/b/c')),
        ('+/a/#', ('x/a', 'x/a/b'), ('a/b', 'x/b/a')),
    ):
        sub = t.connect('sub')
        sub.subscribe(t.topic() + '/' + text)
        for name in others:
            pub.publish(t.topic() + '/' + name, b'no')
        for name in matching:
            pub.publish(t.topic() + '/' + name, name)
            sub.expect_message(t.topic() + '/' + name, name)
        t.expect_nothing(sub, pub)
        sub.disconnect()


@statement('MQTT3-4.7.1-2', 'MQTT3-4.7.1-3', config=None)
def wildcards_may_be_the_first_level(t):
    broker = t.start_broker('sys_interval 0')       # alone, for "#" sees everything
    pub = t.connect('pub', broker=broker)
    for text, name, other in (('#', 'a/b', None), ('+', 'a', 'a/b'), ('+/+', '/finance', 'finance'),
                              ('/+', '/finance', 'finance'), ('+/b/#', 'a/b', 'b')):
        sub = t.connect('sub', broker=broker)
        sub.subscribe(text, qos=1)
        if other:
            pub.publish(other, b'no', qos=1)
        pub.publish(name, b'yes', qos=1)
        sub.expect_message(name, b'yes')
        sub.disconnect()


@statement('MQTT3-4.7.2-1', config=None, versions=BOTH)
def leading_wildcards_do_not_match_dollar_topics(t):
    broker = t.start_broker('sys_interval 1')       # alone, for "#" sees everything
    pub = t.connect('pub', broker=broker)
    pub.publish('$chappe/kept/x', b'no', qos=1, retain=True)
    for text in ('#', '+/#', '+/x', '+/+'):
        sub = t.connect('sub', broker=broker)
        sub.subscribe(text, qos=1)
        pub.publish('$chappe/x', b'no', qos=1)
        pub.publish('$/x', b'no', qos=1)
        pub.publish('plain/x', b'yes', qos=1)
        sub.expect_message('plain/x', b'yes')
        sub.expect_silence()
        sub.disconnect()


@statement('MQTT3-4.7.2-1', versions=BOTH)
def dollar_filters_match_dollar_topics(t):
    c = t.connect()
    for text in (f'$a{t.topic("x")}', f'$a{t.topic("+")}', f'$a{t.topic("#")}'):
        c.subscribe(text)
        c.publish(f'$a{t.topic("x")}', b'x')
        c.expect_message(f'$a{t.topic("x")}', b'x')
        c.unsubscribe(text)


@statement('MQTT3-4.7.3-1', versions=BOTH)
def topics_and_filters_are_at_least_one_character_long(t):
    expect_filter_refused(t, '')
    for qos in (0, 1):
        t.expect_malformed(mqtt.publish('', b'x', qos, packet_id=1 if qos else None, version=4))
    c = t.connect()
    for name in (f'/{t.topic()}', f'{t.topic()}/ /', f' {t.topic()}'):
        c.subscribe(name)
        c.publish(name, b'x')
        c.expect_message(name, b'x')


@statement('MQTT3-4.7.3-1', config=None)
def a_single_character_is_a_topic(t):
    c = t.connect(broker=t.start_broker())
    for name in ('a', ' ', '/', '\u00e4'):
        c.subscribe(name)
        c.publish(name, b'x')
        c.expect_message(name, b'x')


@statement('MQTT3-4.7.3-2', versions=BOTH)
def null_characters_in_topics_and_filters_close_the_connection(t):
    for raw in (mqtt.publish('a\0', version=4), mqtt.publish('\0', version=4), mqtt.subscribe(1, [('a/\0', 0)], 4),
                mqtt.subscribe(1, [('\0', 0)], 4), mqtt.unsubscribe(1, ['a\0b'], 4)):
        t.expect_malformed(raw)


@statement('MQTT3-4.7.3-3', versions=BOTH)
def topics_of_65535_bytes_are_served(t):
    c = t.connect()
    for char in ('x', '\u00e4'):
        name = t.topic()
        name += char * ((65535 - len(name)) // len(char.encode()))
        name += 'y' * (65535 - len(name.encode()))
        c.subscribe(name)
        c.publish(name, b'long', qos=1)
        c.expect_message(name, b'long')


@statement('MQTT3-4.7.3-4', versions=BOTH)
def topics_are_not_normalized(t):
    names = ['a', 'A', 'a/', '/a', 'a//', '\u00c5', 'A\u030a', '\u212b', 'a ', ' a', 'a\u200b', '\ufb01', 'fi',
             '..', '.', 'a/../a', '%61', 'a\\', '\u0378', '\ue000', '\U0010fffd']
    subs = {}
    pub = t.connect('pub')
    for n, name in enumerate(names):
        subs[name] = t.connect(f'sub{n}')
        subs[name].subscribe(f'{t.topic()}/{name}')
    for name in names:
        pub.publish(f'{t.topic()}/{name}', name)
    for name, sub in subs.items():
        sub.expect_message(f'{t.topic()}/{name}', name)
        t.expect_nothing(sub, pub)
