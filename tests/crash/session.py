"""A client as the standard wants it: what it keeps from one Network Connection to the next.

That is all of the client's Session State (section 4.1): messages of QoS 1 and 2 that it sent and that
are not acknowledged to the end, and the Packet Identifiers of QoS 2 that it received and that are not
released.  Where the broker says Session Present, what is unacknowledged is sent again in its order;
where it does not, both are thrown away.  Two Session States that should fit together, and do not, are
what a crash test is about, so nothing is forgiven here: no second try, no repair.
"""

import asyncio

import mqtt_bytes as mqtt
from mqtt_bytes import (CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP,
                        DISCONNECT)

DEADLINE_S = 60         # an answer that has not come by then never will: a safety net
EXPIRY_S = 7 * 86400    # longer than any run
ACKS_LATE_S = 0.02      # how long a subscriber that acknowledges in batches waits for a full one

# What came, and what was waited for; PUBREC comes again when PUBLISH was resent.
ANSWERS = {(PUBACK, PUBACK), (PUBREC, PUBREC), (PUBREC, PUBCOMP), (PUBCOMP, PUBCOMP)}


class Gone(Exception):
    """The connection ended before the answer came: expected around a crash."""


class Outgoing:
    """A message of ours that is under way: PUBLISH was sent, or PUBREL was."""
    __slots__ = ('message', 'awaits')

    def __init__(self, message):
        self.message = message
        self.awaits = PUBACK if message.qos == 1 else PUBREC


class Session(asyncio.Protocol):
    """Whoever uses it may set:
    on_message(packet)    a message came, for the first time as far as the protocol can tell
    on_connected(kept)    CONNACK came; kept is Session Present.  Ours is resent or thrown away by now
    on_room()             an acknowledgement came: more may be sent
    A message that is published has topic, payload, qos, retain; resends, which is counted here; and
    on_acknowledged(), called at PUBACK or PUBCOMP: a broker may deliver a message of QoS 2 as late as
    PUBREL comes (section 4.3.3)."""

    def __init__(self, world, client_id, version, window=16, acks_at_once=1, receive_maximum=None):
        self.world, self.client_id, self.version = world, client_id, version
        self.window, self.acks_at_once, self.receive_maximum = window, acks_at_once, receive_maximum
        self.on_message = self.on_connected = self.on_room = lambda *_: None
        self.present = {False}      # what Session Present may say; two members: nobody can know
        self.sending = {}           # Packet Identifier -> Outgoing, in the order of sending
        self.received = set()       # Packet Identifiers of QoS 2 that wait for PUBREL
        self.packet_id = 0
        self.transport = self.connack = self.lost = None
        self.leaving, self.reason, self.answers = False, None, {}
        self.begins_anew = False    # the next connect() ends the broker's Session State first
        self.buffer, self.out, self.owed, self.debt = bytearray(), [], [], None
        world.sessions.append(self)

    def is_connected(self):
        return self.transport is not None and self.connack.done()

    # ---- the connection ---------------------------------------------------------------------------

    async def connect(self, clean=False, keep=True):
        """Returns Session Present, which has been judged by then.  keep: the Session is to outlive
        the connection; 3.1.1 has one flag for both."""
        assert self.transport is None
        if self.begins_anew:
            self.begins_anew = False
            await self.connect(clean=True, keep=False)
            await self.leave()
        keep = keep if self.version == 5 else not clean
        wanted = {False} if clean else self.present
        # From here on the broker may have done it, though we might never hear.
        self.present = {True, False} if clean and keep else self.present | {keep}
        named = {}
        if self.version == 5:
            named['session_expiry_interval'] = EXPIRY_S if keep else 0
            if self.receive_maximum:
                named['receive_maximum'] = self.receive_maximum
        loop = asyncio.get_running_loop()
        self.buffer, self.out, self.owed = bytearray(), [], []
        self.connack, self.lost = loop.create_future(), loop.create_future()
        self.leaving, self.reason = False, None
        try:
            await loop.create_connection(lambda: self, *self.world.address)
        except OSError:
            raise Gone from None
        self.out.append(mqtt.connect(self.client_id, self.version, clean, keep_alive=0, properties_=named))
        self.flush()
        kept = await self._answer(self.connack, 'CONNACK')
        if kept not in wanted:
            self.world.wrong('session', f'{self.client_id}: Session Present is {kept}')
        self.present = {keep}
        return kept

    async def leave(self):
        """DISCONNECT, and the broker's closing."""
        self.leaving = True
        self._pay()
        self.out.append(mqtt.disconnect())
        self.flush()
        await self._answer(self.lost, 'end of the connection')

    async def cut(self):
        """As a failure of the network would.  Not before CONNACK: a CONNECT that is still on its way
        might overtake, and end, the next connection."""
        if self.transport is not None and not self.connack.done():
            await asyncio.wait([self.connack, self.lost], return_when=asyncio.FIRST_COMPLETED)
        self.abort()
        if self.transport is not None:
            await self.lost

    def abort(self):
        self.leaving = True
        if self.transport is not None:
            self.transport.abort()

    async def ping(self):
        """Whatever the broker had to say before, it has said now."""
        await self._request('ping', mqtt.pingreq(), 'PINGRESP')

    async def subscribe(self, *pairs):
        """pairs: a Topic Filter and its QoS.  Returns the Reason Codes, which are as asked for."""
        packet_id = self._next_packet_id()
        answer = await self._request(packet_id, mqtt.subscribe(packet_id, pairs, self.version), 'SUBACK')
        if answer.reasons != [qos for _, qos in pairs]:
            self.world.fail(f'{self.client_id}: {pairs} are answered by {answer}')

    async def unsubscribe(self, *filters):
        packet_id = self._next_packet_id()
        await self._request(packet_id, mqtt.unsubscribe(packet_id, filters, self.version), 'UNSUBACK')

    async def _request(self, key, raw, about):
        if not self.is_connected():
            raise Gone
        self.answers[key] = future = asyncio.get_running_loop().create_future()
        self.out.append(raw)
        self.flush()
        return await self._answer(future, about)

    async def _answer(self, future, about):
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await asyncio.shield(future)     # who waits may be cancelled, the answer not
        except TimeoutError:
            self.world.fail(f'{self.client_id}: no {about} within {DEADLINE_S} s')
            raise Gone from None

    # ---- sending ----------------------------------------------------------------------------------

    def room(self):
        """How many messages may be sent now."""
        return self.window - len(self.sending) if self.is_connected() else 0

    def publish(self, message):
        """The caller flushes, and has looked for room."""
        packet_id = self._next_packet_id()
        self.sending[packet_id] = Outgoing(message)
        self._send_publish(packet_id, message, False)

    def flush(self):
        if self.out and self.transport is not None:
            self.transport.write(b''.join(self.out))
        self.out.clear()

    def _send_publish(self, packet_id, message, dup):
        self.out.append(mqtt.publish(message.topic, message.payload, message.qos, message.retain, dup,
                                     packet_id, self.version))

    def _next_packet_id(self):
        while True:
            self.packet_id = self.packet_id % 65535 + 1
            if self.packet_id not in self.sending and self.packet_id not in self.answers:
                return self.packet_id

    def _resend(self):
        """[MQTT-4.4.0-1] [MQTT-4.6.0-1]"""
        for packet_id, outgoing in self.sending.items():
            if outgoing.awaits == PUBCOMP:
                self.out.append(mqtt.acknowledgement(PUBREL, packet_id, version=self.version))
            else:
                outgoing.message.resends += 1
                self._send_publish(packet_id, outgoing.message, True)

    def _owe(self, type_, packet_id):
        """An acknowledgement, now or with others later."""
        self.owed.append(mqtt.acknowledgement(type_, packet_id, version=self.version))
        if len(self.owed) >= self.acks_at_once:
            self._pay()
        elif self.debt is None:
            self.debt = asyncio.get_running_loop().call_later(ACKS_LATE_S, self._pay_and_flush)

    def _pay(self):
        self.out += self.owed
        self.owed.clear()
        if self.debt is not None:
            self.debt.cancel()
            self.debt = None

    def _pay_and_flush(self):
        self._pay()
        self.flush()

    # ---- receiving: asyncio calls -----------------------------------------------------------------

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        self.transport = None
        if not self.leaving and not self.world.is_down:
            self.world.on_closed(self, self.reason or 'no reason given')
        for future in [self.connack, *self.answers.values()]:
            if not future.done():
                future.set_exception(Gone())
                future.exception()          # so that nobody needs to look
        self.answers.clear()
        self.owed.clear()
        self._pay()
        self.lost.set_result(None)
        self.world.stir()

    def data_received(self, data):
        try:
            self._read(data)
        except AssertionError as e:         # Malformed is one
            self.world.fail(f'{self.client_id}: {e}')
        self.flush()
        self.world.stir()

    def _read(self, data):
        self.buffer += data
        at = 0
        with memoryview(self.buffer) as view:
            while (found := mqtt.decode(view[at:], self.version)) is not None:
                packet, size = found
                at += size
                self._handle(packet)
        del self.buffer[:at]

    def _handle(self, p):
        if p.type == PUBLISH:
            self._on_publish(p)
        elif p.type in (PUBACK, PUBREC, PUBCOMP):
            self._on_acknowledgement(p)
        elif p.type == PUBREL:
            self.received.discard(p.packet_id)
            self._owe(PUBCOMP, p.packet_id)
        elif p.type in (SUBACK, UNSUBACK):
            self._on_answer(p.packet_id, p)
        elif p.type == PINGRESP:
            self._on_answer('ping', p)
        elif p.type == CONNACK:
            self._on_connack(p)
        elif p.type == DISCONNECT:
            self.reason = p                 # the end of the connection follows

    def _on_connack(self, p):
        if p.reason:
            self.world.fail(f'{self.client_id}: {p}')
            return
        self.window = min(self.window, p.get('receive_maximum', 65535))
        if p.session_present:
            self._resend()
        else:                               # [MQTT-3.2.2-5]
            self.sending.clear()
            self.received.clear()
        self.on_connected(p.session_present)
        self.connack.set_result(p.session_present)
        self.world.on_answer('CONNACK')

    def _on_publish(self, p):
        if p.qos == 2:
            is_new = p.packet_id not in self.received
            self.received.add(p.packet_id)
            self._owe(PUBREC, p.packet_id)
        else:
            is_new = True
            if p.qos == 1:
                self._owe(PUBACK, p.packet_id)
        if is_new:
            self.on_message(p)

    def _on_acknowledgement(self, p):
        outgoing = self.sending.get(p.packet_id)
        if outgoing is None or (p.type, outgoing.awaits) not in ANSWERS:
            return
        if p.reason >= 0x80 and p.type != PUBCOMP:
            self.world.fail(f'{self.client_id}: {outgoing.message.topic} is answered by {p}')
        if p.type == PUBREC:
            outgoing.awaits = PUBCOMP
            self.out.append(mqtt.acknowledgement(PUBREL, p.packet_id, version=self.version))
        else:
            del self.sending[p.packet_id]
            outgoing.message.on_acknowledged()
        self.world.on_answer(p.name)
        self.on_room()

    def _on_answer(self, key, p):
        future = self.answers.pop(key, None)
        if future is not None and not future.done():
            future.set_result(p)
            self.world.on_answer(p.name)
