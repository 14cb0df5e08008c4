"""Topic Names and Topic Filters (MQTT 5.0, section 4.7)."""

import mqtt_bytes as mqtt
from mqtt_bytes import DISCONNECT, SUBACK
from suite import statement


def expect_filter_refused(t, text, *reasons):
    """SUBACK with an error for it, or the end of the connection."""
    c = t.connect()
    c.send_subscribe(text)
    answer = c.receive()
    if answer is not None and answer.type == SUBACK:
        assert len(answer.reasons) == 1 and answer.reasons[0] in (reasons or (0x8F,)), f'{text}: {answer}'
    elif answer is not None:
        assert answer.type == DISCONNECT and answer.reason in (0x81, 0x82, 0x8F, *reasons), f'{text}: {answer}'
    c.close()


@statement('MQTT-4.7.1-1')
def multi_level_wildcards_stand_alone_and_last(t):
    for bad in ('a#', 'a/b#', '#/a', 'a/#/b', '##', '#a', 'a/#b', '/#/', '+#'):
        expect_filter_refused(t, t.topic(bad))
    expect_filter_refused(t, 'a#')
    expect_filter_refused(t, '#/')


@statement('MQTT-4.7.1-1')
def a_multi_level_wildcard_matches_its_parent_and_all_below(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    sub.subscribe(t.topic('a/#'))
    for name in ('a', 'a/', 'a/b', 'a/b/c', 'a//', 'a/b/c/d/e'):
        pub.publish(t.topic(name), name)
        sub.expect_message(t.topic(name), name)
    for name in ('ab', 'A', '', 'b/a'):
        pub.publish(t.topic() + '/' + name, name)
    t.expect_nothing(sub, pub)


@statement('MQTT-4.7.1-2')
def single_level_wildcards_fill_their_level(t):
    for bad in ('a+', '+a', 'a/+b', 'a/b+/c', '++', '+/a+', 'a/++'):
        expect_filter_refused(t, t.topic(bad))


@statement('MQTT-4.7.1-2')
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


@statement('MQTT-4.7.2-1', config=None)
def leading_wildcards_do_not_match_dollar_topics(t):
    broker = t.start_broker('sys_interval 1')       # alone, for "#" sees everything
    pub = t.connect('pub', broker=broker)
    for text in ('#', '+/#', '+/x', '+/+'):
        sub = t.connect('sub', broker=broker)
        sub.subscribe(text)
        pub.publish('$chappe/x', b'no', qos=1)
        pub.publish('$/x', b'no', qos=1)
        sub.publish('plain/x', b'yes')
        sub.expect_message('plain/x', b'yes')
        sub.expect_silence()
        sub.disconnect()


@statement('MQTT-4.7.2-1')
def dollar_filters_match_dollar_topics(t):
    c = t.connect()
    for text in (f'$a{t.topic("x")}', f'$a{t.topic("+")}', f'$a{t.topic("#")}'):
        c.subscribe(text)
        c.publish(f'$a{t.topic("x")}', b'x')
        c.expect_message(f'$a{t.topic("x")}', b'x')
        c.unsubscribe(text)


@statement('MQTT-4.7.2-1', config=None)
def retained_dollar_topics_do_not_match_leading_wildcards(t):
    broker = t.start_broker()
    pub = t.connect('pub', broker=broker)
    pub.publish('$chappe/x', b'no', qos=1, retain=True)
    pub.publish('plain', b'yes', qos=1, retain=True)
    sub = t.connect('sub', broker=broker)
    sub.subscribe('#')
    sub.expect_message('plain', b'yes')
    sub.subscribe('+/x')
    sub.expect_silence()


@statement('MQTT-4.7.3-1')
def topics_and_filters_are_at_least_one_character_long(t):
    expect_filter_refused(t, '')
    t.expect_malformed(mqtt.publish('', b'x'), 0x81, 0x82, 0x90)
    c = t.connect()
    c.send_unsubscribe('')
    answer = c.receive()
    assert answer is None or answer.type == DISCONNECT or answer.reasons == [0x8F], answer
    c = t.connect()
    for name in (' ', f'/{t.topic()}', f'{t.topic()}/ /'):
        c.subscribe(name)
        c.publish(name, b'x')
        c.expect_message(name, b'x')
        c.unsubscribe(name)


@statement('MQTT-4.7.3-2')
def null_characters_in_topics_and_filters_close_the_connection(t):
    for raw in (mqtt.publish('a\0'), mqtt.publish('\0'), mqtt.subscribe(1, [('a/\0', 0)]),
                mqtt.subscribe(1, [('\0', 0)]), mqtt.unsubscribe(1, ['a\0b'])):
        t.expect_malformed(raw, 0x81, 0x82, 0x8F, 0x90)


@statement('MQTT-4.7.3-3')
def topics_of_65535_bytes_are_served(t):
    c = t.connect()
    for char in ('x', '\u00e4'):
        name = t.topic()
        name += char * ((65535 - len(name)) // len(char.encode()))
        name += 'y' * (65535 - len(name.encode()))
        c.subscribe(name)
        c.publish(name, b'long')
        c.expect_message(name, b'long')


@statement('MQTT-4.7.3-4')
def topics_are_not_normalized(t):
    names = ['a', 'A', 'a/', '/a', 'a//', '\u00c5', 'A\u030a', '\u212b', 'a ', ' a', 'a\u200b', '\ufb01', 'fi',
             '..', '.', 'a/../a', '%61', 'a\\']
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


@statement('MQTT-4.7.3-4')
def unassigned_and_private_characters_pass_unaltered(t):
    sub, pub = t.connect('sub'), t.connect('pub')
    name = t.topic('\U0010fffd\ue000\u0378\U0001f5fc\ufffd')
    sub.subscribe(name)
    pub.publish(name, b'x')
    sub.expect_message(name, b'x')
