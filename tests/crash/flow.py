"""Messages: publishers of QoS 1 and 2, and who gets them.

    p0 ... p7   publish flow/pN/0, /1 and /2; QoS 1 and 2, 3.1.1 and 5.0
    online      are there whenever the broker is
    wanderers   go away during the load, with or without DISCONNECT; they come back when the round is
                settled, or rounds later
    group       three members of a Shared Subscription: each message comes to one of them

When the load is over each publisher sends one last message on each topic.  What is older than that
must have come when it comes.
"""

from ledger import Stream, Subscription
from session import Session

PUBLISHERS, TOPICS = 8, 3
BURST_MAX = 40          # messages that a publisher may be behind its rate, and catch up with

#                 name         version, QoS, topic, more
ONLINE =        (('online-a',   4, 1, 0, {}),
                 ('online-b',   4, 2, 1, {'acks_at_once': 5}),
                 ('online-c',   5, 1, 1, {'acks_at_once': 5}),
                 ('online-d',   5, 2, 0, {'receive_maximum': 7}))
WANDERERS =     (('wanderer-a', 4, 1, 2, {'acks_at_once': 5}),
                 ('wanderer-b', 4, 2, 0, {}),
                 ('wanderer-c', 5, 1, 0, {'receive_maximum': 3}),
                 ('wanderer-d', 5, 2, 2, {'acks_at_once': 3}))
MEMBERS =       (('member-a',   5, 1, 1, {}),
                 ('member-b',   5, 1, 1, {'acks_at_once': 4}),
                 ('member-c',   4, 1, 1, {}))


class Publisher:
    def __init__(self, world, index):
        self.world = world
        self.session = Session(world, f'p{index}', 4 + index % 2, window=world.rng.choice((2, 8, 20)))
        self.session.on_room = self.go_on
        self.streams = [Stream(f'flow/p{index}/{topic}', 1 + index // 2 % 2, world.counts)
                        for topic in range(TOPICS)]
        self.budget = 0.0

    def allow(self, messages):
        self.budget = min(self.budget + messages, BURST_MAX)
        self.go_on()

    def go_on(self):
        while self.budget >= 1 and self.session.room() > 0 and not self.world.is_down:
            self.budget -= 1
            self.publish(self.world.rng.choice(self.streams))
        self.session.flush()

    def publish(self, stream):
        rng = self.world.rng
        is_large = rng.random() < 0.002
        self.session.publish(stream.new_message(rng.randrange(100_000) if is_large else rng.randrange(200)))

    async def come_back(self):
        await self.session.connect()


class Receiver:
    """One Session of a subscription."""

    def __init__(self, world, name, version, subscription, filter_, more):
        self.world, self.subscription, self.filter = world, subscription, filter_
        self.session = Session(world, name, version, **more)
        self.session.on_message = lambda packet: subscription.on_message(packet, name)
        self.session.on_connected = self.on_connected
        self.is_subscribed = False
        self.back_in = 0        # the round in which it comes back, while it is away

    def on_connected(self, _kept):
        self.subscription.era += 1

    async def come_back(self):
        is_anew = self.session.begins_anew
        if not await self.session.connect():
            self.is_subscribed = False
            if not is_anew:
                self.subscription.judge()   # what waited for this Session is not coming any more
        if not self.is_subscribed:
            await self.subscribe()

    async def subscribe(self):
        await self.session.subscribe((self.filter, self.subscription.qos))
        self.is_subscribed = True
        self.subscription.pass_over()

    async def wander(self):
        """Stays a while, and goes."""
        rng = self.world.rng
        await self.world.pause(rng.expovariate(1.5 / self.world.seconds))
        self.back_in = self.world.round + rng.choice((0, 0, 0, 1, 2, 3))
        await (self.session.leave() if rng.random() < 0.5 else self.session.cut())
        if rng.random() < 0.3:
            await self.world.pause(rng.expovariate(3 / self.world.seconds))
            await self.come_back()


class Flow:
    def __init__(self, world, rate, with_group):
        self.world, self.rate = world, rate
        self.publishers = [Publisher(world, index) for index in range(PUBLISHERS)]
        self.wanderers = [self.receiver(row) for row in WANDERERS]
        self.receivers = [self.receiver(row) for row in ONLINE] + self.wanderers
        if with_group:
            group = Subscription(world, 'group', 1, self.streams(MEMBERS[0][3]), is_ordered=False)
            self.receivers += [Receiver(world, name, version, group, f'$share/group/flow/+/{topic}', more)
                               for name, version, _, topic, more in MEMBERS]

    def receiver(self, row):
        name, version, qos, topic, more = row
        subscription = Subscription(self.world, name, qos, self.streams(topic))
        return Receiver(self.world, name, version, subscription, f'flow/+/{topic}', more)

    def streams(self, topic):
        return [publisher.streams[topic] for publisher in self.publishers]

    async def begin(self):
        for somebody in self.receivers + self.publishers:
            await somebody.come_back()

    def tick(self, seconds):
        for publisher in self.publishers:
            publisher.allow(self.rate * seconds / len(self.publishers) * self.world.rng.uniform(0, 2))

    def actors(self):
        return [receiver.wander() for receiver in self.wanderers if receiver.session.is_connected()]

    def comings_back(self):
        world = self.world
        return [somebody.come_back() for somebody in self.publishers + self.receivers
                if somebody not in self.wanderers or somebody.back_in <= world.round
                or world.round == world.rounds]         # in the end all are judged

    async def look_first(self):
        pass

    async def settle(self):
        await self.finish()
        for publisher in self.publishers:
            for stream in publisher.streams:
                await self.world.until_room(publisher.session)
                publisher.publish(stream)
        await self.finish()
        there = [receiver for receiver in self.receivers if receiver.session.is_connected()]
        await self.world.until_told(lambda: all(receiver.subscription.is_complete() for receiver in there),
                                    *(receiver.session for receiver in there))
        for subscription in {receiver.subscription: None for receiver in there}:
            await self.judge(subscription, [r for r in there if r.subscription is subscription])
        for publisher in self.publishers:
            for stream in publisher.streams:
                stream.forget_judged()

    async def finish(self):
        """Until all that was published is acknowledged."""
        for publisher in self.publishers:
            publisher.budget = 0.0
            await self.world.until_acknowledged(publisher.session)

    async def judge(self, subscription, receivers):
        subscription.judge()
        if subscription.is_silent():
            self.world.wrong('subscription', f'{subscription.name}: nothing comes any more')
            for receiver in receivers:
                await receiver.subscribe()
