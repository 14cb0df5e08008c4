"""What a broker that was stopped, or killed, has kept; and how long it takes to know it again."""

import os
import re
import signal
import socket
import subprocess
import time

from broker import BrokerFailure, STOP_S
from harness import fault
from load import Load, number_of
from mqtt_bytes import PUBCOMP, PUBLISH, PUBREC, PUBREL, Will

STORED = 1_000_000
SESSIONS = 100


def expect_all(t, load, name='s'):
    """What a load was told is there, in order, once; and perhaps what it was not told any more."""
    found = [number_of(m.payload) for m in t.waiting_for(t.back(name))]
    assert found == list(range(len(found))), 'not in order, or not once'
    assert len(found) >= load.acknowledged and not load.is_out_of_order, (len(found), load.acknowledged)


# ---- D1 -----------------------------------------------------------------------------------------

@fault('D1', (4, 5))
def a_will_survives_and_goes_out_after_its_delay(t):
    t.start_broker()
    t.absent('reader', t.topic('#'))
    t.durable('w', will=Will(t.topic('now'), b'gone', 1))
    if t.version == 5:
        t.durable('later', will=Will(t.topic('later'), b'late', 2, properties={'will_delay_interval': 1}))
        t.durable('never', will=Will(t.topic('never'), b'no', 2, properties={'will_delay_interval': 3600}))
    t.broker.restart_after_kill()
    began = time.monotonic()
    reader = t.back('reader')
    reader.expect_message(t.topic('now'), b'gone', qos=1)
    if t.version == 5:
        reader.expect_message(t.topic('later'), b'late', qos=2)
        assert time.monotonic() - began > 0.5, 'the delay was not kept'
    reader.expect_silence()


@fault('D1', (4, 5))
def half_done_qos_2_flows_go_on(t):
    t.start_broker()
    s, p = t.durable('s'), t.durable('p')
    s.subscribe(t.topic('#'), qos=2)
    p.send_publish(t.topic('a'), b'a', qos=2, packet_id=7)
    p.expect(PUBREC, packet_id=7)
    p.publish(t.topic('b'), b'b', qos=2)
    a, b = s.expect(PUBLISH, payload=b'a'), s.expect(PUBLISH, payload=b'b')
    s.send_ack(PUBREC, a.packet_id)
    s.expect(PUBREL, packet_id=a.packet_id)                     # that PUBREC came is on the disk
    t.broker.restart_after_kill()
    p, s = t.back('p'), t.back('s')
    resent = sorted((s.receive() for _ in range(2)), key=lambda packet: packet.type)
    assert (resent[0].type, resent[0].payload, resent[0].packet_id, resent[0].dup) == (PUBLISH, b'b', b.packet_id, True)
    assert (resent[1].type, resent[1].packet_id) == (PUBREL, a.packet_id)
    p.send_publish(t.topic('a'), b'a', qos=2, packet_id=7, dup=True)
    p.expect(PUBREC, packet_id=7)
    p.send_ack(PUBREL, 7)
    p.expect(PUBCOMP, packet_id=7)
    s.send_ack(PUBCOMP, a.packet_id)
    s.acknowledge(resent[0])
    assert not t.waiting_for(s)


# ---- D12 ----------------------------------------------------------------------------------------

@fault('D12', weight=3)
def sigterm_during_durable_load(t):
    t.start_broker()
    t.absent('s', t.topic())
    watcher = t.connect()
    load = Load(t.broker.address, 'load', [t.topic()])
    while load.acknowledged < 5000:
        t.let_pass(0.01)
    t.broker.signal(signal.SIGTERM)
    watcher.expect_disconnect(0x8B)
    status = t.broker.expect_exit(STOP_S)
    assert status == 0, f'status {status} after SIGTERM'
    load.join()
    t.broker.start()
    expect_all(t, load)


@fault('D12', weight=3)
def kill_9_during_durable_load(t):
    t.start_broker()
    t.absent('s', t.topic())
    load = Load(t.broker.address, 'load', [t.topic()])
    while load.acknowledged < 5000:
        t.let_pass(0.01)
    t.broker.kill()
    load.join()
    t.broker.start()
    expect_all(t, load)


# ---- D13 ----------------------------------------------------------------------------------------

def until_it_listens(broker):
    """Tries to connect from the first moment on."""
    broker.launch()
    while broker.is_alive():
        try:
            socket.create_connection(broker.address, 1).close()
            return
        except OSError:
            time.sleep(0.001)
    raise BrokerFailure(f'ended\n{broker.log_tail()}')


@fault('D13', weight=60)
def a_million_messages_are_there_again_before_anybody_can_connect(t):
    t.start_broker('log_type information\nlog_type error\nlog_type warning\nlog_type notice')
    topics = [t.topic(str(n)) for n in range(SESSIONS)]
    for n, topic in enumerate(topics):
        t.absent(f's{n}', topic)
    loads = [Load(t.broker.address, f'load{n}', topics[n::2], 200, STORED // 2, 4000) for n in range(2)]
    for load in loads:
        load.join()
        assert load.acknowledged == STORED // 2 and not load.is_out_of_order
    t.broker.kill()
    t.broker.forget_log()
    until_it_listens(t.broker)
    assert 'restored in ' in t.broker.log(), 'it listens, and has not said that it is ready'
    restored = t.broker.restored()
    t.figures.append(restored)
    assert restored.startswith(f'{SESSIONS} sessions') and f' {STORED} queued messages' in restored, restored
    assert re.search(r'restored in \d+ ms', restored), restored
    found = [number_of(m.payload) for m in t.waiting_for(t.back('s0'))]
    assert found == list(range(0, STORED // 2, SESSIONS // 2))


# ---- D14 ----------------------------------------------------------------------------------------

@fault('D14')
def what_expires_while_the_broker_is_down_has_expired(t):
    t.start_broker()
    t.absent('s', t.topic())
    t.durable('short', session_expiry_interval=1).disconnect()
    p = t.connect()
    p.publish(t.topic(), b'short', qos=1, message_expiry_interval=1)
    p.publish(t.topic(), b'long', qos=1, message_expiry_interval=1000)
    p.publish(t.topic('retained'), b'short', qos=1, retain=True, message_expiry_interval=1)
    t.broker.kill()
    t.let_pass(1.2)
    t.broker.start()
    found = t.waiting_for(t.back('s'))
    assert [m.payload for m in found] == [b'long']
    assert 900 < found[0].get('message_expiry_interval') < 1000, 'the time that it was down does not count'
    assert not t.durable('short').connack.session_present
    t.expect_retained(t.topic('retained'), None)


# ---- D15 ----------------------------------------------------------------------------------------

@fault('D15', weight=3)
def a_backup_while_it_runs_has_all_that_was_acknowledged_before(t):
    first = t.start_broker()
    t.absent('s', t.topic())
    t.connect().publish(t.topic('retained'), b'kept', qos=1, retain=True)
    load = Load(first.address, 'load', [t.topic()])
    while load.acknowledged < 5000:
        t.let_pass(0.01)
    before = load.acknowledged
    second = t.make_broker()
    done = subprocess.run([t.run.command.split()[0], 'store', 'backup', first.store, second.store],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.stat(second.store).st_mode & 0o777 == 0o700
    assert load.is_alive(), 'the broker was disturbed'
    first.kill()
    load.join()
    t.broker = second.start()
    t.expect_retained(t.topic('retained'), b'kept', qos=1)
    load.acknowledged = before
    expect_all(t, load)
