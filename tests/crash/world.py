"""The broker, its clients, and the course of a round:

    load       everybody does what its kind (flow, retained, churn) does, for a random time; then
               kill -9, at that moment or with the next answer that comes
    restart    on the same store; everybody comes back; sometimes it crashes once more meanwhile
    settle     publishers finish, subscribers get what is left, and everything is judged

One thread; asyncio.  Waits are for a condition, and end when it holds, or when the broker has had
nothing to say for PATIENCE_S though something is missing.
"""

import asyncio
import random
import signal
from dataclasses import dataclass

from broker import BrokerFailure, how_it_ended
from ledger import Counts
from session import Gone

PATIENCE_S = 3.0        # silence after which what is missing is taken for lost
STOP_S = 60             # a broker that saves much at SIGTERM takes its time
TICK_S = 0.004          # how often the load looks whether there is something to do
FATAL_ANSWERS = [None] * 4 + ['PUBACK', 'PUBREC', 'PUBCOMP', 'SUBACK', 'UNSUBACK', 'CONNACK']
FATAL_ANSWER_S = 0.5    # for how long the one that was drawn is waited for
CLOSINGS_MAX = 5        # rounds are settled anew after the broker closed a connection
EXAMPLES_MAX = 8        # of each kind of wrong


class Failure(Exception):
    """The run cannot go on: the broker does not start, answers errors, closes connections."""


@dataclass
class Killing:
    """How a round ends.  '9' and 'term' are signals; 'cut' leaves the broker alone and cuts all
    connections: a test of the clients, and of this harness."""
    how: str

    def strike(self, broker):
        if self.how != 'cut':
            broker.signal(signal.SIGKILL if self.how == '9' else signal.SIGTERM)

    async def end_connections(self, sessions):
        """What the broker had sent before is read to its end."""
        for session in sessions:
            if self.how == 'cut':
                await session.cut()
            elif session.transport is not None:
                await session.lost

    async def end_process(self, broker):
        if self.how == 'cut' or broker.process is None:
            return
        status = await asyncio.to_thread(broker.expect_exit, STOP_S)
        if status not in ((0,) if self.how == 'term' else (-signal.SIGKILL,)):
            raise Failure(f'the broker {"is still there" if status is None else how_it_ended(status)}'
                          f'\n{broker.log_tail()}')


class World:
    def __init__(self, broker, killing, seed, seconds, rounds):
        self.broker, self.killing, self.seconds = broker, killing, seconds
        self.course, self.rng = random.Random(seed), random.Random(seed)    # of the rounds; of the clients
        self.counts, self.round, self.rounds, self.crashes = Counts(), 0, rounds, 0
        self.sessions, self.kinds = [], []
        self.is_down, self.fatal_answer, self.failure = False, None, None
        self.stirred = asyncio.Event()

    @property
    def address(self):
        return self.broker.address

    # ---- what sessions tell -----------------------------------------------------------------------

    def stir(self):
        """Something happened: conditions may hold now."""
        self.stirred.set()

    def wrong(self, what, text):
        self.counts.wrong[what] += 1
        if len(self.counts.examples[what]) < EXAMPLES_MAX:
            self.counts.examples[what].append(f'round {self.round}: {text}')

    def fail(self, text):
        if self.failure is None:
            self.failure = f'{text}\n{self.broker.log_tail()}'
            for session in self.sessions:           # nobody need wait for anything now
                session.abort()
        self.stir()

    def on_answer(self, name):
        """The broker has just promised something.  The best moment to end it."""
        if self.fatal_answer == name and not self.is_down:
            self.strike()

    def on_closed(self, session, why):
        """The broker closed a connection without a reason.  What that does to the others cannot be
        told, so it ends the round as a crash does, and the client begins anew."""
        self.wrong('closed', f'{session.client_id}: {why}')
        session.begins_anew = True
        self.strike()

    # ---- waiting ----------------------------------------------------------------------------------

    def check(self):
        if self.failure:
            raise Failure(self.failure)
        if not self.is_down and not self.broker.is_alive():
            raise Failure(f'the broker ended by itself\n{self.broker.log_tail()}')

    async def until(self, holds, patience_s=PATIENCE_S):
        """Does it hold, now or when the broker has said all it has to say?"""
        while not holds():
            self.check()
            if self.is_down:
                raise Gone
            self.stirred.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self.stirred.wait()
            except TimeoutError:
                break
        self.check()
        return holds()

    async def pause(self, seconds):
        """Part of the load, as a client that is busy with other things."""
        await asyncio.sleep(seconds)

    async def until_told(self, holds, *sessions):
        """The same about messages for these sessions.  A broker that was only slow answers PINGREQ
        late, and is waited for."""
        if not await self.until(holds):
            await asyncio.gather(*(session.ping() for session in sessions))
            await self.until(holds, PATIENCE_S / 3)
        return holds()

    async def until_room(self, session):
        session.flush()
        if not await self.until_told(lambda: session.room() > 0, session):
            self.fail(f'{session.client_id}: nothing is acknowledged any more')
            self.check()

    async def until_acknowledged(self, session):
        session.flush()
        if not await self.until_told(lambda: not session.sending, session):
            self.fail(f'{session.client_id}: {len(session.sending)} messages are not acknowledged')
            self.check()

    # ---- a round ----------------------------------------------------------------------------------

    async def begin(self):
        self.start_broker()
        for kind in self.kinds:
            await kind.begin()

    def start_broker(self):
        try:
            self.broker.start()
        except BrokerFailure as e:
            raise Failure(f'the broker {e}') from None
        self.is_down = False

    async def play(self):
        """One round.  Returns for how long there was load."""
        self.round += 1
        load_s = self.course.uniform(0.3, 1.7) * self.seconds
        await self.load(load_s)
        while self.course.random() < 0.2:
            await self.crash_while_coming_back()
        for _ in range(CLOSINGS_MAX):
            try:
                await self.restart()
                await self.settle()
                return load_s
            except Gone:
                self.check()
                if not self.is_down:
                    raise Failure('a connection ended, and nobody knows why') from None
                await self.crash()
        raise Failure('the broker closes connections again and again')

    async def load(self, load_s):
        actors = [asyncio.ensure_future(alone(actor)) for kind in self.kinds for actor in kind.actors()]
        await self.go_on(load_s)
        self.fatal_answer = self.course.choice(FATAL_ANSWERS)
        if self.fatal_answer:
            await self.go_on(FATAL_ANSWER_S)
        if not self.is_down:
            self.strike()
        await self.crash()
        # Those who were waiting for an answer have lost it; the others stop where they are.
        for actor in actors:
            actor.cancel()
        await asyncio.gather(*actors, return_exceptions=True)
        await self.crash()                          # who was about to connect

    async def go_on(self, seconds):
        """Load for so long, or until the broker is struck."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not self.is_down and loop.time() < end:
            self.check()
            for kind in self.kinds:
                kind.tick(TICK_S)
            await asyncio.sleep(TICK_S)             # the pace of the load; nothing depends on it

    def strike(self):
        self.is_down, self.fatal_answer = True, None
        self.crashes += 1
        self.killing.strike(self.broker)
        self.stir()

    async def crash(self):
        """Until nobody has a connection."""
        await self.killing.end_connections(self.sessions)
        await self.killing.end_process(self.broker)

    async def restart(self):
        if self.killing.how != 'cut':
            self.start_broker()
        self.is_down = False
        for kind in self.kinds:
            await kind.look_first()
        coming = await asyncio.gather(*self.comings_back(), return_exceptions=True)
        for error in coming:
            if isinstance(error, BaseException):
                raise error

    async def settle(self):
        for kind in self.kinds:
            await kind.settle()
        self.check()

    async def crash_while_coming_back(self):
        """Recovered state, and what clients resend, have to survive as well."""
        if self.killing.how != 'cut':
            self.start_broker()
        self.is_down = False
        coming = asyncio.gather(*(alone(back) for back in self.comings_back()))
        await asyncio.wait([coming], timeout=self.course.uniform(0, 0.1))
        self.strike()
        await self.crash()
        await coming
        await self.crash()                          # who was about to connect

    def comings_back(self):
        """In any order: publishers may resend before their subscribers are there."""
        comings = [back for kind in self.kinds for back in kind.comings_back()]
        self.rng.shuffle(comings)
        return comings

    async def end(self):
        """Returns what was wrong with how the broker ended."""
        self.is_down = True
        for session in self.sessions:
            await session.cut()
        return self.broker.stop()


async def alone(coroutine):
    """A connection that ends is no reason for anybody else to stop."""
    try:
        await coroutine
    except Gone:
        pass
