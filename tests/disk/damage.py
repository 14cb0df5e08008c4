"""Stores that are not as they were left: torn, damaged, of another version."""

import os
import shutil
import struct

from harness import fault
from load import Load, number_of
from store import (BYTE_ORDER_AT, FIRST_BATCH, SEGMENT_SIZE, VERSION_AT, batches, change_header, flip, patch)


def filled(t, texts=(b'first', b'second', b'third')):
    """A broker that was killed, with these messages for the session "s", each in a batch of its own."""
    t.start_broker()
    t.absent('s', t.topic())
    p = t.connect('p')
    for text in texts:
        p.publish(t.topic(), text, qos=1)
    t.broker.kill()
    return t.broker


def of_many_segments(t, count=400, size=100_000):
    t.start_broker()
    t.absent('s', t.topic())
    load = Load(t.broker.address, 'load', [t.topic()], size, count, window=40)
    load.join()
    assert load.acknowledged == count and not load.is_out_of_order
    t.broker.kill()
    assert len(t.broker.segments()) >= 3
    return t.broker


def batch_of(path, text):
    """Offset and size of the batch that has this text, and where the text is."""
    with open(path, 'rb') as f:
        at = f.read().index(text)
    return next((offset, size, at) for offset, size in batches(path) if offset <= at < offset + size)


def expect_refusal(broker, path, *texts):
    """It names the file, says why, and touches nothing."""
    before = broker.contents()
    broker.refuse('The store in ', path, 'byte ', *texts)
    assert broker.contents() == before


def messages(t):
    t.broker.start()
    return [m.payload for m in t.waiting_for(t.back('s'))]


# ---- D2: the end --------------------------------------------------------------------------------

@fault('D2', weight=2)
def a_torn_end_is_no_damage(t):
    broker = filled(t)
    undo, path = broker.save(), broker.segments()[-1]
    for garbage in (os.urandom(3000), b'\xff' * 4096, b'btch' * 100, b'\0' * 8 + b'btch\1\0\0\0' + b'\1' * 512):
        patch(path, sum(batches(path)[-1]), garbage)
        assert messages(t) == [b'first', b'second', b'third']
        broker.restart_after_kill()
        broker.kill()
        undo()


@fault('D2')
def the_very_last_batch_may_be_lost_and_nothing_else(t):
    broker = filled(t)
    path = broker.segments()[-1]
    offset, size, at = batch_of(path, b'third')
    assert offset + size == sum(batches(path)[-1])
    flip(path, at)
    assert messages(t) == [b'first', b'second']


@fault('D2', weight=2)
def a_last_segment_that_was_being_made(t):
    broker = filled(t)
    undo = broker.save()
    for content in (b'', b'\0' * FIRST_BATCH, os.urandom(100)):
        with open(os.path.join(broker.store, f'{2:016x}.log'), 'wb') as f:
            f.write(content)
        assert messages(t) == [b'first', b'second', b'third']
        broker.restart_after_kill()
        broker.kill()
        undo()


# ---- D3: before the end -------------------------------------------------------------------------

@fault('D3')
def damage_before_the_end_is_named_and_left_alone(t):
    broker = filled(t)
    path = broker.segments()[-1]
    offset, size, at = batch_of(path, b'second')
    for place in (at, offset, offset + 16, offset + size - 1 if size % 8 == 0 else at):
        flip(path, place)
        expect_refusal(broker, path)
        flip(path, place)
    assert messages(t) == [b'first', b'second', b'third']


@fault('D3', weight=4)
def a_segment_that_is_missing_short_or_foreign(t):
    broker = of_many_segments(t)
    undo = broker.save()
    _, second, third = broker.segments()[:3]

    def is_refused(change, *arguments):
        change(*arguments)
        expect_refusal(broker, broker.store + '/')
        undo()

    is_refused(os.unlink, second)
    is_refused(os.truncate, second, SEGMENT_SIZE // 2)
    is_refused(os.truncate, second, 0)
    is_refused(shutil.copyfile, third, second)
    is_refused(flip, second, 30)
    is_refused(change_header, second, 24, b'another!')      # of another store
    is_refused(change_header, second, 32, b'\1' + b'\0' * 7)
    assert [number_of(m) for m in messages(t)] == list(range(400))


# ---- D7: while it runs --------------------------------------------------------------------------

@fault('D7')
def a_queued_message_that_went_bad_is_left_out_and_told(t):
    texts = [word * 20_000 for word in (b'first ', b'second ', b'third ')]     # more than is read at once
    broker = filled(t, texts)
    broker.start()
    path = broker.segments()[-1]
    flip(path, batch_of(path, texts[1])[2])
    assert [m.payload for m in t.waiting_for(t.back('s'))] == [texts[0], texts[2]]
    assert len(broker.errors()) == 1 and path in broker.errors()[0] and 'damaged' in broker.errors()[0]
    t.connect().publish(t.topic(), b'more', qos=1)


# ---- D9, D10: other versions --------------------------------------------------------------------

@fault('D10')
def a_store_of_another_version_or_byte_order_is_left_alone(t):
    broker = filled(t)
    path = broker.segments()[0]
    for offset, new in ((VERSION_AT, struct.pack('<I', 2)), (VERSION_AT, struct.pack('<I', 0)),
                        (BYTE_ORDER_AT, struct.pack('>I', 0x01020304))):
        with open(path, 'rb') as f:
            old = f.read(FIRST_BATCH)
        change_header(path, offset, new)
        expect_refusal(broker, path, 'version' if offset == VERSION_AT else 'byte order')
        patch(path, 0, old)
    assert messages(t) == [b'first', b'second', b'third']


@fault('D10')
def a_header_that_is_only_damaged_is_no_other_version(t):
    broker = filled(t)
    path = broker.segments()[0]
    for offset in (0, VERSION_AT, BYTE_ORDER_AT, 20, 45):
        flip(path, offset)
        expect_refusal(broker, path)
        flip(path, offset)
    assert messages(t) == [b'first', b'second', b'third']
