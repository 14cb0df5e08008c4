"""Who was promised what, and what came of it.

    Stream         the messages of one publisher on one topic, numbered from 1
    Subscription   somebody who is to get all of some streams: one Session, or the members of a group
    View           one subscription's account of one stream

                   base             cursor            next
    1 ............. | ................ | ............... |       numbers of a stream
      judged: what    not judged, and    not looked at
      is missing is   nothing missing    yet
      in `gaps`

A message must come if it was acknowledged and the subscription was there before it.  It must come
once; again only with a reason, and only at QoS 1:

- between publisher and broker: each time that the publisher had to send it again, the broker may take
  it for another message.
- between broker and subscriber: the connection is gone on which it came last, and with it perhaps the
  PUBACK.  Then each of these messages may come once more.  But what has not come again when the next
  connection is judged has no reason to come any more.

First copies must come in the order of their numbers.
"""

import random
from dataclasses import dataclass, field

FILL = random.Random(1794).randbytes(1 << 17)

# What can be wrong, in the order of the tables.
WRONGS = {
    'lost': 'acknowledged, and never delivered to somebody who had subscribed before',
    'duplicated': 'delivered again: at QoS 2, or at QoS 1 without a reason',
    'disordered': 'delivered before an older message of the same publisher and topic',
    'late': 'held back until a later reconnection',
    'damaged': 'delivered with other bytes',
    'closed': 'connections that the broker closed without a reason',
    'session': 'Session Present said otherwise than the Session State of before',
    'subscription': 'subscriptions there that were taken back, or gone though acknowledged',
    'retained': 'topics with another Retained Message than the last acknowledged, or a newer one',
}


@dataclass
class Counts:
    """Of one run."""
    wrong: dict = field(default_factory=lambda: dict.fromkeys(WRONGS, 0))
    examples: dict = field(default_factory=lambda: {what: [] for what in WRONGS})
    acknowledged: int = 0       # messages
    delivered: int = 0          # their copies
    repeated: int = 0           # allowed copies more


class Message:
    __slots__ = ('stream', 'seq', 'size', 'is_acknowledged', 'resends')

    def __init__(self, stream, seq, size):
        self.stream, self.seq, self.size = stream, seq, size
        self.is_acknowledged, self.resends = False, 0

    topic = property(lambda self: self.stream.topic)
    qos = property(lambda self: self.stream.qos)
    retain = False

    @property
    def payload(self):
        return b'%d %d ' % (self.seq, self.size) + FILL[:self.size]

    def on_acknowledged(self):
        self.is_acknowledged = True
        self.stream.counts.acknowledged += 1


def number_of(payload):
    """The number of the message with this payload; None if it is not as it was sent."""
    try:
        seq, size, fill = payload.split(b' ', 2)
        return int(seq) if fill == FILL[:int(size)] else None
    except ValueError:
        return None


class Stream:
    def __init__(self, topic, qos, counts):
        self.topic, self.qos, self.counts = topic, qos, counts
        self.messages, self.next, self.views = {}, 1, []

    def new_message(self, size):
        message = self.messages[self.next] = Message(self, self.next, size)
        self.next += 1
        return message

    def forget_judged(self):
        """Messages that no account looks for any more."""
        base = min((min(view.gaps, default=view.base + 1) - 1 for view in self.views), default=self.next - 1)
        for seq in [seq for seq in self.messages if seq <= base]:
            del self.messages[seq]


class Copies:
    """Of a message, for one subscription."""
    __slots__ = ('message', 'era', 'in_era', 'total')

    def __init__(self, message, era):
        self.message, self.era, self.in_era, self.total = message, era, 1, 1

    def is_allowed(self, era, qos, judged_era):
        """May one more come?"""
        messages = 1 + (self.message.resends if self.message.qos == 1 else 0)
        if qos == 1 and self.era >= judged_era:
            return self.era < era or self.in_era < messages
        return self.total < messages

    def add(self, era):
        self.in_era = self.in_era + 1 if self.era == era else 1
        self.era, self.total = era, self.total + 1


LOST, OPTIONAL = 'lost', 'optional'


class View:
    def __init__(self, subscription, stream):
        self.subscription, self.stream = subscription, stream
        self.qos = min(subscription.qos, stream.qos)
        self.base, self.cursor, self.judged_era = stream.next - 1, stream.next, 0
        self.seen = {}          # seq -> Copies, unless nothing more may come of it
        self.gaps = {}          # seq up to base that has not come -> LOST or OPTIONAL
        self.highest = {}       # receiver -> the highest seq it got
        stream.views.append(self)

    def is_complete(self):
        """Has all come that must?  Only asked while nothing is under way to the broker."""
        while self.cursor < self.stream.next:
            if self.cursor not in self.seen and self.stream.messages[self.cursor].is_acknowledged:
                return False
            self.cursor += 1
        return True

    def on_message(self, packet, receiver):
        seq = number_of(packet.payload)
        counts = self.stream.counts
        counts.delivered += 1
        if seq is None or seq >= self.stream.next or packet.topic != self.stream.topic:
            self._wrong('damaged', seq)
            return
        if packet.qos != self.qos:
            self._wrong('subscription', seq, f' at QoS {packet.qos} instead of {self.qos}')
        if seq in self.gaps:
            if self.gaps.pop(seq) == LOST:
                counts.wrong['lost'] -= 1
                self._wrong('late', seq)
            self._first(seq, receiver)
        elif seq > self.base and seq not in self.seen:
            self._first(seq, receiver)
        else:
            self._again(seq)

    def _first(self, seq, receiver):
        self.seen[seq] = Copies(self.stream.messages[seq], self.subscription.era)
        if seq < self.highest.get(receiver, 0):
            if self.subscription.is_ordered:
                self._wrong('disordered', seq, f' after {self.highest[receiver]}')
        else:
            self.highest[receiver] = seq

    def _again(self, seq):
        copies, era = self.seen.get(seq), self.subscription.era
        if copies and copies.is_allowed(era, self.qos, self.judged_era):
            copies.add(era)
            self.stream.counts.repeated += 1
        else:
            self._wrong('duplicated', seq, f', QoS {self.qos}')

    def judge(self):
        """What has not come by now is lost, if it had to come."""
        for seq in range(self.base + 1, self.stream.next):
            if seq in self.seen:
                continue
            is_lost = self.stream.messages[seq].is_acknowledged
            self.gaps[seq] = LOST if is_lost else OPTIONAL
            if is_lost:
                self._wrong('lost', seq, f', QoS {self.qos}')
        self.pass_over()
        era = self.judged_era = self.subscription.era
        self.seen = {seq: copies for seq, copies in self.seen.items() if copies.era >= era}

    def pass_over(self):
        """Whatever was sent until now need not come."""
        for seq in range(self.base + 1, self.stream.next):
            if seq not in self.seen:
                self.gaps.setdefault(seq, OPTIONAL)
        self.base, self.cursor = self.stream.next - 1, self.stream.next

    def _wrong(self, what, seq, more=''):
        self.subscription.world.wrong(what, f'{self.subscription.name}: {self.stream.topic} number {seq}{more}')


class Subscription:
    def __init__(self, world, name, qos, streams, is_ordered=True):
        self.world, self.name, self.qos, self.is_ordered = world, name, qos, is_ordered
        self.era = 0            # rises whenever a receiver has a new connection
        self.views = {stream.topic: View(self, stream) for stream in streams}

    def on_message(self, packet, receiver):
        view = self.views.get(packet.topic)
        if view is None:
            self.world.wrong('subscription', f'{self.name} got {packet.topic}')
        else:
            view.on_message(packet, receiver)

    def is_complete(self):
        return all(view.is_complete() for view in self.views.values())

    def judge(self):
        for view in self.views.values():
            view.judge()

    def is_silent(self):
        """Right after the judgement: not even the last messages came."""
        return all(view.base in view.gaps for view in self.views.values())

    def pass_over(self):
        for view in self.views.values():
            view.pass_over()
