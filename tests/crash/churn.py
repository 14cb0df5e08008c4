"""Subscriptions that come and go, and Sessions that do.

Each churner has one Session and some Topic Filters.  For each filter we know the QoS that the last
SUBACK granted (0: none, or taken back by UNSUBACK); while a packet is under way, both the old and the
new one are possible.  When the round is settled somebody publishes to all of them, at QoS 2, and it
shows which are there.
"""

import asyncio

from session import Session

PAUSE_S = 0.006     # between two acts of a churner, in the mean


class Probe:
    """A message of the one who looks."""
    qos, retain, resends = 2, False, 0

    def __init__(self, topic, payload):
        self.topic, self.payload = topic, payload

    def on_acknowledged(self):
        pass


class Churner:
    """Subscribes, unsubscribes, changes the QoS; its Session stays."""

    def __init__(self, world, name, version, topics):
        self.world, self.name = world, name
        self.session = Session(world, name, version)
        self.session.on_message = self.on_message
        self.granted = {f'churn/{name}/{n}': {0} for n in range(topics)}    # topic -> possible QoS
        self.last = f'churn/{name}/last'        # always subscribed: what is published there comes last
        self.has_last = False
        self.came, self.came_last = {}, 0       # in this round: topic -> QoS
        self.had = set()                        # topic and round

    async def come_back(self):
        is_anew = self.session.begins_anew
        if not await self.session.connect():
            self.forget(is_anew)
        await self.subscribe_last()

    async def subscribe_last(self):
        if not self.has_last:
            await self.session.subscribe((self.last, 2))
            self.has_last = True

    def forget(self, is_anew):
        """The Session is another one; by our own wish if is_anew."""
        for topic, granted in self.granted.items():
            if 0 not in granted and not is_anew:
                self.world.wrong('subscription', f'{topic} is gone, with the Session')
            self.granted[topic] = {0}
        self.has_last = False

    async def act(self):
        rng = self.world.rng
        while not self.world.is_down:
            await self.world.pause(rng.expovariate(1 / PAUSE_S))
            await self.change(rng.choice(list(self.granted)), rng.choice((0, 0, 1, 2)))

    async def change(self, topic, qos):
        self.granted[topic] = self.granted[topic] | {qos}
        await (self.session.subscribe((topic, qos)) if qos else self.session.unsubscribe(topic))
        self.granted[topic] = {qos}

    def on_message(self, packet):
        number = int(packet.payload)
        if packet.topic == self.last:
            self.came_last = number
        elif number == self.world.round:
            self.came[packet.topic] = packet.qos
            self.had.add((packet.topic, number))
        elif (packet.topic, number) not in self.had:    # else it comes again, because of the crash
            self.world.wrong('subscription', f'{packet.topic}: a message of round {number}')

    def probes(self):
        self.came = {}
        return [Probe(topic, b'%d' % self.world.round) for topic in [*self.granted, self.last]]

    def has_all(self):
        return self.came_last == self.world.round and all(
            topic in self.came for topic, granted in self.granted.items() if 0 not in granted)

    async def judge(self):
        for topic, granted in self.granted.items():
            came = self.came.get(topic, 0)
            if came not in granted:
                self.world.wrong('subscription', f'{topic} is there at QoS {came}, allowed: {granted}')
            self.granted[topic] = {came}
        if self.came_last != self.world.round:
            self.world.wrong('subscription', f'{self.last} is gone')
            self.has_last = False
            await self.subscribe_last()


class SessionChurner(Churner):
    """Begins and ends Sessions, and has a subscription in some."""

    def __init__(self, world, name, version):
        super().__init__(world, name, version, 1)

    async def begin(self, clean, keep):
        if clean or True not in self.session.present:
            # A new Session; but if nobody hears of it, it may still be the old one, with what it had.
            self.granted = {topic: granted | {0} for topic, granted in self.granted.items()}
            self.has_last = False
        if not await self.session.connect(clean, keep):
            self.forget(True)               # Session Present has been judged already
        await self.subscribe_last()

    async def come_back(self):
        await self.begin(False, True)

    async def act(self):
        rng = self.world.rng
        while not self.world.is_down:
            for _ in range(rng.choice((0, 1, 1, 2))):
                await self.change(rng.choice(list(self.granted)), rng.choice((0, 1, 2)))
                await self.world.pause(rng.expovariate(1 / PAUSE_S))
            await self.session.leave()
            await self.begin(clean=rng.random() < 0.5, keep=rng.random() < 0.6)


class Churn:
    """Churners of one kind, and the one who looks."""

    def __init__(self, world, name, churners):
        self.world, self.churners = world, churners
        self.looker = Session(world, f'looker-{name}', 4, window=20)

    @classmethod
    def of_subscriptions(cls, world):
        return cls(world, 'subscriptions', [Churner(world, f's{n}', 4 + n % 2, 20) for n in range(4)])

    @classmethod
    def of_sessions(cls, world):
        return cls(world, 'sessions', [SessionChurner(world, f'c{n}', 4 + n % 2) for n in range(6)])

    async def begin(self):
        await asyncio.gather(*self.comings_back())

    def tick(self, seconds):
        pass

    def actors(self):
        return [churner.act() for churner in self.churners]

    def comings_back(self):
        return [self.looker.connect()] + [churner.come_back() for churner in self.churners]

    async def look_first(self):
        pass

    async def settle(self):
        for churner in self.churners:
            for probe in churner.probes():
                await self.world.until_room(self.looker)
                self.looker.publish(probe)
        await self.world.until_acknowledged(self.looker)
        await self.world.until_told(lambda: all(churner.has_all() for churner in self.churners),
                                    *(churner.session for churner in self.churners))
        for churner in self.churners:
            await churner.judge()
