"""Retained Messages: set, overwritten and cleared by four writers, each on topics of its own.

Of a topic we know the value that was acknowledged last, and newer ones that were sent and may or may
not have been stored when the broker went.  A subscriber that comes new has to find one of these.  It
looks twice in each round: before the writers come back, and when they have finished.
"""

from session import Session

TOPICS = 12
SHARE = 0.1         # of the rate of all messages
TO_CLEAR = 0.25     # share of messages that clear


class Value:
    """A message of a writer."""
    retain = True

    def __init__(self, slot, payload, qos):
        self.slot, self.payload, self.qos, self.resends = slot, payload, qos, 0

    topic = property(lambda self: self.slot.topic)

    def on_acknowledged(self):
        self.slot.world.counts.acknowledged += 1
        values = self.slot.values
        if self.payload in values:
            del values[:values.index(self.payload)]


class Slot:
    def __init__(self, world, topic):
        self.world, self.topic = world, topic
        self.values, self.number = [b''], 0     # the acknowledged one, then newer ones

    def new_value(self, qos):
        if self.world.rng.random() < TO_CLEAR:
            payload = b''
        else:
            self.number += 1
            payload = b'%d' % self.number
        self.values.append(payload)
        return Value(self, payload, qos)

    def judge(self, payload):
        if payload not in self.values:
            self.world.wrong('retained', f'{self.topic} has {payload!r}, allowed: {self.values}')
            self.values = [payload]


class Writer:
    def __init__(self, world, index):
        self.world, self.qos = world, 1 + index // 2 % 2
        self.session = Session(world, f'w{index}', 4 + index % 2, window=8)
        self.slots = [Slot(world, f'retained/w{index}/{n}') for n in range(TOPICS)]
        self.budget = 0.0

    def allow(self, messages):
        self.budget = min(self.budget + messages, self.session.window)
        while self.budget >= 1 and self.session.room() > 0:
            self.budget -= 1
            self.session.publish(self.world.rng.choice(self.slots).new_value(self.qos))
        self.session.flush()

    async def come_back(self):
        await self.session.connect()


class Retained:
    def __init__(self, world, rate):
        self.world, self.rate, self.readers = world, rate * SHARE, 0
        self.writers = [Writer(world, index) for index in range(4)]
        self.slots = {slot.topic: slot for writer in self.writers for slot in writer.slots}

    async def begin(self):
        for writer in self.writers:
            await writer.come_back()

    def tick(self, seconds):
        for writer in self.writers:
            writer.allow(self.rate * seconds / len(self.writers))

    def actors(self):
        return []

    def comings_back(self):
        return [writer.come_back() for writer in self.writers]

    async def look_first(self):
        await self.read()

    async def settle(self):
        for writer in self.writers:
            await self.world.until_acknowledged(writer.session)
        await self.read()

    async def read(self):
        """What does somebody get who subscribes now?"""
        self.readers += 1
        found = {}
        session = Session(self.world, f'reader{self.readers}', 4 + self.readers % 2)
        session.on_message = lambda packet: found.update({packet.topic: packet.payload})
        try:
            await session.connect(clean=True, keep=False)
            await session.subscribe(('retained/#', 1))
            wanted = {slot.topic for slot in self.slots.values() if b'' not in slot.values}
            await self.world.until_told(lambda: wanted <= found.keys(), session)
            await session.ping()        # those that ought not to be there are there by now, too
            await session.leave()
        finally:
            if session.transport is None:
                self.world.sessions.remove(session)
        for topic, slot in self.slots.items():
            slot.judge(found.pop(topic, b''))
        for topic in found:
            self.world.wrong('retained', f'{topic} was never set')
