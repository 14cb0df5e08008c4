"""A sync or a write that fails: it is believed, and it is the last thing that the broker does to its disk."""

from broker import BrokerFailure
from client import Failure
from harness import FOR_EVER, fault
from mqtt_bytes import PUBCOMP, PUBREC, PUBREL
from store import STORE_FAILED
from tracing import under_strace

SAYS = ('The store in ', 'failed', 'Nothing more is acknowledged')


class Script:
    """What two sessions do, step by step; each step is one answer.  self.answered of them have come,
    and `expect_kept` knows what each of those had promised."""

    def __init__(self, t):
        self.t, self.answered = t, []
        t.absent('s', t.topic())
        self.gone = t.durable('gone')
        self.gone.subscribe(t.topic('gone'), qos=2)
        self.p = t.durable('p')
        self.steps = (self.one, self.receipt, self.release, self.retained, self.subscribed, self.unsubscribed,
                      self.session, self.last)

    def run(self):
        """Until the broker closes.  True if it never did."""
        for step in self.steps:
            try:
                step()
            except Failure as e:
                if 'closed' not in str(e):
                    raise
                return False
            self.answered.append(step.__name__)
        return True

    def one(self):
        self.p.publish(self.t.topic(), b'one', qos=1)

    def receipt(self):
        self.p.send_publish(self.t.topic(), b'two', qos=2, packet_id=1000)
        self.p.wait_for(PUBREC, 1000)

    def release(self):
        self.p.send_ack(PUBREL, 1000)
        self.p.wait_for(PUBCOMP, 1000)

    def retained(self):
        self.p.publish(self.t.topic('retained'), b'kept', qos=1, retain=True)

    def subscribed(self):
        self.p.subscribe(self.t.topic('p'), qos=1)

    def unsubscribed(self):
        self.gone.unsubscribe(self.t.topic('gone'))

    def session(self):
        words = {'session_expiry_interval': FOR_EVER} if self.t.version == 5 else {}
        new = self.t.open('new')
        new.send_connect(self.t.client_id('new'), clean_start=False, **words)
        if getattr(new.receive(), 'reason', None) != 0:
            raise Failure('refused or closed')

    def last(self):
        self.p.publish(self.t.topic(), b'last', qos=1)

    def expect_kept(self):
        """After a restart."""
        t, has = self.t, self.answered.__contains__
        p = t.back('p')
        if has('receipt') and not has('release'):
            p.send_publish(t.topic(), b'two', qos=2, packet_id=1000, dup=True)
            p.wait_for(PUBREC, 1000)
        p.publish(t.topic('gone'), b'x', qos=1)
        found = [m.payload for m in t.waiting_for(t.back('s'))]
        promised = [text for step, text in (('one', b'one'), ('receipt', b'two'), ('last', b'last')) if has(step)]
        # What was under way may be there as well: one more at the end, never one twice.
        assert found[:len(promised)] == promised and len(found) <= len(promised) + 1, (found, promised)
        if has('retained'):
            t.expect_retained(t.topic('retained'), b'kept', qos=1)
        if has('subscribed'):
            p.publish(t.topic('p'), b'mine', qos=1)
            p.expect_message(t.topic('p'), b'mine', qos=1)
        if has('unsubscribed'):
            assert not t.waiting_for(t.back('gone'))
        if has('session'):
            t.back('new')


def sweep(t, call, error):
    """The first, second, third... call fails, until the script comes to its end."""
    fatal = 0
    for n in range(1, 40):
        t.serial = f'{t.case.function.__name__[:8]}{t.version}n{n}'
        t.start_broker()
        script = Script(t)
        trace = t.broker.trace(f'{call}:error={error}:when={n}')
        if script.run():
            assert fatal >= len(script.steps), f'{fatal} calls failed, and there were {len(script.steps)} answers'
            t.broker.end()
            return
        fatal += 1
        t.broker.expect_end(STORE_FAILED, *SAYS)
        t.broker.detach()
        calls = trace.calls()
        assert [c[1:] for c in calls if c[2] < 0] == [(call, -1)] and calls[-1][2] < 0, f'it went on after {calls[-4:]}'
        done = sum(1 for _, name, result in calls if name == call and result >= 0)
        assert len(script.answered) <= done, f'{len(script.answered)} answers after {done} calls of {call}'
        t.broker.forget_log()
        t.broker.start()
        script.expect_kept()
    t.fail('the script never comes to its end')


@fault('D4', (4, 5), 10)
def a_sync_that_fails_is_the_last_one(t):
    sweep(t, 'fdatasync', 'EIO')


@fault('D5', (4, 5), 10)
def a_write_that_fails_is_the_last_one(t):
    sweep(t, 'pwrite64', 'EIO')


@fault('D4')
def clients_are_told_and_nothing_more_is_acknowledged(t):
    t.start_broker()
    t.absent('s', t.topic())
    bystander, p = t.connect('bystander'), t.connect('p')
    p.publish(t.topic(), b'one', qos=1)
    t.broker.trace('fdatasync:error=EIO:when=1')
    for _ in range(5):
        p.send_publish(t.topic(), b'lost', qos=1)
    for client in (p, bystander):
        client.expect_disconnect(0x80, 0x83, 0x8B)  # 0x88 may not stand in DISCONNECT [MQTT-3.14.2-1]
    t.broker.expect_end(STORE_FAILED, *SAYS)


@fault('D4', weight=4)
def a_fault_while_the_store_is_opened_is_no_start_and_no_loss(t):
    t.start_broker()
    t.absent('s', t.topic())
    t.connect().publish(t.topic(), b'kept', qos=1)
    t.broker.kill()
    for call in ('pwrite64', 'fdatasync', 'fsync'):
        for n in range(1, 20):
            if starts(t.broker, f'{call}:error=EIO:when={n}'):
                assert n > 1, f'the store was opened without {call}'
                t.broker.kill()
                break
    t.broker.start()
    assert [m.payload for m in t.waiting_for(t.back('s'))] == [b'kept']


def starts(broker, injection):
    """Whether it does with this fault; if not, it says why."""
    command, broker.command = broker.command, f'{under_strace(injection)} {broker.command}'
    broker.forget_log()
    try:
        broker.start()
        return True
    except BrokerFailure:
        assert len(broker.errors()) == 1 and 'The store in ' in broker.errors()[0], broker.log()
        return False
    finally:
        broker.command = command
