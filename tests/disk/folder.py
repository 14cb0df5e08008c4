"""Where the store is: the operator's mistakes, and whom it belongs to."""

import os
import stat

from harness import fault


@fault('D8')
def a_second_broker_on_the_same_store_goes_and_the_first_stays(t):
    first = t.start_broker()
    t.absent('s', t.topic())
    before = os.listdir(first.store)
    second = t.make_broker(location=first.location)
    second.refuse('The store in ', 'another broker uses it', '/lock')
    assert os.listdir(first.store) == before
    t.broker = first
    t.connect().publish(t.topic(), b'x', qos=1)
    first.kill()
    t.broker = second.start()           # no lock outlives its broker
    assert [m.payload for m in t.waiting_for(t.back('s'))] == [b'x']


@fault('D11')
def no_folder_above_the_stores(t):
    broker = t.make_broker(location='/nonexistent/place')
    broker.refuse('The store in /nonexistent/place/chappe cannot be opened', 'does not exist')


@fault('D11')
def a_folder_that_may_not_be_written_in(t):
    broker = t.make_broker(user='nobody')
    os.chmod(broker.location, 0o555)
    broker.refuse(f'The store in {broker.store} cannot be opened', 'no permission')
    os.chmod(broker.location, 0o755)
    assert not os.listdir(broker.location)


@fault('D11')
def a_store_that_may_be_read_only_or_not_even_that(t):
    for mode in (0o555, 0o700 if os.geteuid() == 0 else 0):
        broker = t.make_broker(user='nobody')
        os.mkdir(broker.store)
        os.chmod(broker.store, mode)
        broker.refuse(f'The store in {broker.store} cannot be opened', 'no permission')
        os.chmod(broker.store, 0o700)
        assert not os.listdir(broker.store)


@fault('D11')
def a_file_in_the_folders_place(t):
    broker = t.make_broker()
    with open(broker.store, 'w', encoding='ascii') as f:
        f.write('mine')
    broker.refuse('The store in ', 'not a folder')
    with open(broker.store, encoding='ascii') as f:
        assert f.read() == 'mine'
    broker = t.make_broker(location='/dev/null')
    broker.refuse('The store in /dev/null/chappe ', 'not a folder')


@fault('D16')
def files_are_their_owners_alone_whatever_the_umask(t):
    t.start_broker(wrap='''sh -c 'umask 0; exec "$@"' sh''')
    t.absent('s', t.topic())
    modes = {name: stat.S_IMODE(os.stat(os.path.join(t.broker.store, name)).st_mode)
             for name in ('.', *os.listdir(t.broker.store))}
    assert modes.pop('.') == 0o700, oct(modes['.'])
    assert len(modes) >= 3 and set(modes.values()) == {0o600}, {n: oct(m) for n, m in modes.items()}


@fault('D16')
def a_symbolic_link_in_a_files_place_is_not_followed(t):
    t.start_broker()
    t.absent('s', t.topic())
    t.broker.kill()
    segment = t.broker.segments()[0]
    for path in (segment, os.path.join(t.broker.store, 'lock')):
        away = t.broker.path('away')
        os.rename(path, away)
        os.symlink(away, path)
        before = t.broker.contents()
        t.broker.refuse('The store in ', path)
        assert t.broker.contents() == before
        os.unlink(path)
        os.rename(away, path)
    t.broker.start()
    t.back('s')


@fault('D11')
def spares_and_strangers_in_the_folder_do_no_harm(t):
    """A spare may be anything; a file of another name is nobody's business."""
    t.start_broker()
    t.absent('s', t.topic())
    t.connect().publish(t.topic(), b'x', qos=1)
    t.broker.kill()
    spares = sorted(name for name in os.listdir(t.broker.store) if name.endswith('.spare'))
    for name in (spares[0], 'mosquitto.db', '0000000000000001.log.bak', 'core'):
        with open(os.path.join(t.broker.store, name), 'wb') as f:
            f.write(b'anything at all')
    os.truncate(os.path.join(t.broker.store, spares[1]), 0)
    t.broker.start()
    assert [m.payload for m in t.waiting_for(t.back('s'))] == [b'x']
    for name in ('mosquitto.db', '0000000000000001.log.bak', 'core'):
        assert os.stat(os.path.join(t.broker.store, name)).st_size == 15
