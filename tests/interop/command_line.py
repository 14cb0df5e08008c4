"""pub, sub and rr on the command line: Mosquitto's and ours, which take the same options.

The tests run twice over: mosquitto_pub and mosquitto_sub against Chappe, and `chappe pub` and
`chappe sub` against Chappe and against Mosquitto.
"""

import tempfile

from harness import Program, Failure, expect, large_payload, output_of, run, unique, wait_until

VERSIONS = ('mqttv31', 'mqttv311', 'mqttv5')
FORMAT = '=> %q %r %t %p'       # what a test reads begins with an arrow; everything else is debug output


class Tools:
    """The programs, and how to call them for one broker and one protocol version."""

    def __init__(self, pub, sub, rr, port, version):
        self.programs = {'pub': pub, 'sub': sub, 'rr': rr}
        self.port, self.version = port, version

    def command(self, name, *options):
        return [*self.programs[name], '-h', '127.0.0.1', '-p', self.port, '-V', self.version, *options]

    def pub(self, *options, input_bytes=None):
        return run(self.command('pub', *options), input_bytes)

    def subscribed(self, *options, form=FORMAT):
        """A subscriber that has its SUBACK."""
        program = Program(self.command('sub', '-d', '-F', form, *options))
        try:
            program.wait_for(r'^Subscribed \(mid')
        except Failure:
            program.kill()
            raise
        return program

    def sub(self, *options, form=FORMAT):
        """A subscriber that ends by itself (-C, -E); what it received."""
        return received(run(self.command('sub', '-F', form, *options)))


def received(lines):
    return [line[3:] for line in list(lines) if line and line.startswith('=> ')]


def qos(tools):
    """QoS 0, 1 and 2, each at a subscriber of each."""
    t = unique('qos/')
    for granted in (0, 1, 2):
        with tools.subscribed('-t', t, '-q', granted, '-C', 3) as sub:
            for sent in (0, 1, 2):
                tools.pub('-t', t, '-q', sent, '-m', f'sent with {sent}')
            expect(sorted(received(sub.finish())),
                   sorted(f'{min(granted, sent)} 0 {t} sent with {sent}' for sent in (0, 1, 2)), f'QoS {granted}')


def in_order(tools):
    """500 lines of one publisher, in their order, none twice."""
    t, count = unique('order/'), 500
    lines = [f'line {i}' for i in range(count)]
    for level in (0, 1, 2):
        with tools.subscribed('-t', t, '-q', level, '-C', count, form='=> %p') as sub:
            tools.pub('-t', t, '-q', level, '-l', input_bytes='\n'.join(lines).encode() + b'\n')
            expect(received(sub.finish()), lines, f'lines with QoS {level}')


def wildcards(tools):
    """'+' and '#', and the parent of '#'."""
    t = unique('wild')
    rows = {f'{t}/+/state': [f'{t}/a/state', f'{t}/b/state', f'{t}/only-{t}/state'],
            f'{t}/a/#': [f'{t}/a', f'{t}/a/state', f'{t}/a/b/c'],
            f'+/only-{t}/#': [f'{t}/only-{t}/state']}
    published = [f'{t}', f'{t}/a', f'{t}/a/state', f'{t}/a/b/c', f'{t}/b/state', f'{t}/only-{t}/state']
    for topic_filter, wanted in rows.items():
        stop = f'{t}/stop'
        with tools.subscribed('-t', topic_filter, '-t', stop, '-C', len(wanted) + 1, form='=> %t') as sub:
            for topic in [*published, stop]:
                tools.pub('-t', topic, '-m', 'x', '-q', 1)
            expect(sorted(received(sub.finish())), sorted([*wanted, stop]), topic_filter)


def retained(tools):
    """A Retained Message is there for whoever comes later, is replaced, and is cleared by an empty one."""
    t = unique('retained/')
    tools.pub('-t', t, '-m', 'old', '-r', '-q', 1)
    tools.pub('-t', t, '-m', 'new', '-r', '-q', 1)
    expect(tools.sub('-t', t, '-q', 1, '-C', 1), [f'1 1 {t} new'], 'retained')
    tools.pub('-t', t, '-n', '-r', '-q', 1)
    with tools.subscribed('-t', t, '-q', 1, '-C', 1) as sub:
        tools.pub('-t', t, '-m', 'live', '-q', 1)
        expect(received(sub.finish()), [f'1 0 {t} live'], 'after clearing')


def will(tools):
    """A client that dies leaves its will; one that says goodbye does not."""
    t = unique('will/')
    with tools.subscribed('-t', t, '-q', 1, '-C', 1) as sub:
        options = ('-t', unique('other/'), '--will-topic', t, '--will-qos', 1)
        run(tools.command('sub', *options, '--will-payload', 'none', '-E'))
        dying = tools.subscribed(*options, '--will-payload', 'last words')
        dying.kill()
        expect(received(sub.finish()), [f'1 0 {t} last words'], 'will')


def large(tools):
    """10 MB, live and retained, byte for byte."""
    t, payload = unique('large/'), large_payload()
    with tempfile.NamedTemporaryFile() as file:
        file.write(payload)
        file.flush()
        with tools.subscribed('-t', t, '-q', 1, '-C', 1, form='=> %l %x') as sub:
            tools.pub('-t', t, '-q', 1, '-r', '-f', file.name)
            expect(received(sub.finish()), [f'{len(payload)} {payload.hex()}'], 'live')
    expect(output_of(tools.command('sub', '-t', t, '-q', 1, '-C', 1, '-N')), payload, 'retained')
    tools.pub('-t', t, '-n', '-r', '-q', 1)


def session(tools):
    """A kept session: what is published while its client is away waits for it."""
    t, client_id = unique('session/'), unique('sess')
    keep = ('-c', '-i', client_id, '-q', 2, '-t', t)
    run(tools.command('sub', *keep, '-E'))
    for level in (1, 2):
        tools.pub('-t', t, '-q', level, '-m', f'waits with {level}')
    expect(tools.sub(*keep, '-C', 2), [f'{q} 0 {t} waits with {q}' for q in (1, 2)], 'queued')
    run(tools.command('sub', '-i', client_id, '-t', t, '-E'))       # a clean start ends it


def properties(tools):
    """Everything that a PUBLISH can carry comes out as it went in."""
    t = unique('properties/')
    form = '=> %C|%P|%R|%D|%F|%E'
    with tools.subscribed('-t', t, '-q', 1, '-C', 1, form=form) as sub:
        tools.pub('-t', t, '-q', 1, '-m', 'text',
                  '-D', 'publish', 'content-type', 'text/plain',
                  '-D', 'publish', 'user-property', 'first', '1',
                  '-D', 'publish', 'user-property', 'second', '2',
                  '-D', 'publish', 'user-property', 'first', 'again',
                  '-D', 'publish', 'response-topic', 'answers/here',
                  '-D', 'publish', 'correlation-data', 'c-7',
                  '-D', 'publish', 'payload-format-indicator', '1',
                  '-D', 'publish', 'message-expiry-interval', '3600')
        line, = received(sub.finish())
        rest, expiry = line.rsplit('|', 1)
        expect(rest, 'text/plain|first:1 second:2 first:again|answers/here|c-7|1', 'properties')
        expect(3590 <= int(expiry) <= 3600, True, f'message expiry {expiry}')


def subscription_id(tools):
    """A message carries the identifier of the subscription it matched."""
    t = unique('ids/')
    with tools.subscribed('-t', t, '-C', 1, '-D', 'subscribe', 'subscription-identifier', '4242',
                          form='=> %S %p') as sub:
        tools.pub('-t', t, '-m', 'x')
        expect(received(sub.finish()), ['4242 x'], 'subscription identifier')


def topic_alias(tools):
    """Three messages, two of them with an alias in the place of the topic."""
    t = unique('alias/')
    with tools.subscribed('-t', t, '-C', 3, form='=> %t %p') as sub:
        tools.pub('-t', t, '-D', 'publish', 'topic-alias', '7', '-l', input_bytes=b'1\n2\n3\n')
        expect(received(sub.finish()), [f'{t} 1', f'{t} 2', f'{t} 3'], 'aliased')


def shared(tools):
    """A Shared Subscription: each message to one member, and every member gets some."""
    t, count = unique('shared/'), 40
    members = [tools.subscribed('-t', f'$share/group/{t}', '-q', 1, form='=> %p') for _ in range(2)]
    try:
        text = '\n'.join(str(i) for i in range(count)).encode() + b'\n'
        tools.pub('-t', t, '-q', 1, '-l', input_bytes=text)
        wait_until(lambda: sum(len(received(m.lines)) for m in members) >= count, 'all messages')
        parts = [[int(line) for line in received(m.lines)] for m in members]
        expect(sorted(sum(parts, [])), list(range(count)), 'both members together')
        expect([bool(part) for part in parts], [True, True], 'each member got something')
    finally:
        for member in members:
            member.kill()


def session_expiry(tools):
    """A session outlives its connection by the interval that the client asked for."""
    t, client_id = unique('expiry/'), unique('exp')
    options = ('-c', '-i', client_id, '-q', 1, '-t', t)
    run(tools.command('sub', *options, '-x', 300, '-E'))
    tools.pub('-t', t, '-q', 1, '-m', 'kept')
    expect(tools.sub(*options, '-x', 0, '-C', 1), [f'1 0 {t} kept'], 'within the interval')
    tools.pub('-t', t, '-q', 1, '-m', 'lost')
    with tools.subscribed(*options, '-x', 0, '-C', 1) as sub:
        tools.pub('-t', t, '-q', 1, '-m', 'live')
        expect(received(sub.finish()), [f'1 0 {t} live'], 'after an interval of 0')


def will_properties(tools):
    """A will keeps its properties."""
    t = unique('willprops/')
    with tools.subscribed('-t', t, '-C', 1, form='=> %p %C %P') as sub:
        dying = tools.subscribed('-t', unique('other/'), '--will-topic', t, '--will-payload', 'w',
                                 '-D', 'will', 'content-type', 'text/w', '-D', 'will', 'user-property', 'k', 'v')
        dying.kill()
        expect(received(sub.finish()), ['w text/w k:v'], 'will')


def maximum_packet_size(tools):
    """What is larger than the client said it takes is not sent to it [MQTT-3.1.2-24]."""
    t = unique('size/')
    with tools.subscribed('-t', t, '-q', 1, '-C', 1, '-D', 'connect', 'maximum-packet-size', '200',
                          form='=> %p') as sub:
        tools.pub('-t', t, '-q', 1, '-m', 'x' * 300)
        tools.pub('-t', t, '-q', 1, '-m', 'fits')
        expect(received(sub.finish()), ['fits'], 'received')


def request_response(tools):
    """mosquitto_rr asks, a subscriber and a publisher answer."""
    t, answers = unique('ask/'), unique('answer/')
    with tools.subscribed('-t', t, '-C', 1, form='=> %p|%R|%D') as responder, \
            Program(tools.command('rr', '-t', t, '-e', answers, '-m', 'question', '-F', '=> %p')) as asker:
        text, response_topic, correlation = received(responder.finish())[0].split('|')
        expect((text, response_topic), ('question', answers), 'request')
        more = ('-D', 'publish', 'correlation-data', correlation) if correlation else ()
        tools.pub('-t', response_topic, '-m', 'reply', *more)
        expect(received(asker.finish()), ['reply'], 'response')


EVERY_VERSION = (qos, in_order, wildcards, retained, will, large, session)
VERSION_5 = (properties, subscription_id, topic_alias, shared, session_expiry, will_properties, maximum_packet_size)


def cases(pub, sub, rr, port):
    """(name, function without arguments) of each test."""
    for version in VERSIONS:
        tools = Tools(pub, sub, rr, port, version)
        tests = EVERY_VERSION + (VERSION_5 if version == 'mqttv5' else ())
        tests += (request_response,) if rr and version == 'mqttv5' else ()
        for test in tests:
            yield f'{version} {test.__name__}', lambda test=test, tools=tools: test(tools)
