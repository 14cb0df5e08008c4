#!/usr/bin/python3
"""Runs clients that others wrote against a broker, and our own against ours and Mosquitto's.

See README.md.  The last line is "N passed, N failed".
"""

import argparse
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent / 'conformance'))

import command_line                                             # noqa: E402
import paho_python                                              # noqa: E402
import programs                                                 # noqa: E402
from broker import Broker                                       # noqa: E402
from harness import Failure                                     # noqa: E402

CHAPPE = ROOT / 'build/release/chappe'
# Enough for a payload of 10 MB, to every subscriber and into every queue.
CONFIG = 'max_packet_size 20000000\nmax_queued_messages 0\n'
# They would keep their lines to themselves when they write to a pipe.
LINE_BUFFERED = ['stdbuf', '-oL']
MOSQUITTO = ['mosquitto_pub'], [*LINE_BUFFERED, 'mosquitto_sub'], [*LINE_BUFFERED, 'mosquitto_rr']


def mosquitto():
    """The broker: of this machine, or the one that fetch.sh unpacked."""
    path = '/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin'
    return shutil.which('mosquitto', path=path) or ROOT / 'build/interop/mosquitto/usr/sbin/mosquitto'


def ours(chappe):
    return [chappe, 'pub'], [*LINE_BUFFERED, chappe, 'sub'], None


# Group -> the cases for a port.  Groups with a broker of their own name its command.
def groups(options):
    return {
        'mosquitto_pub/sub': (options.broker, lambda port: command_line.cases(*MOSQUITTO, port)),
        'paho python': (options.broker, paho_python.cases),
        'paho c': (options.broker, programs.paho_c_cases),
        'mqtt.js': (options.broker, programs.mqttjs_cases),
        'chappe pub/sub': (options.broker, lambda port: command_line.cases(*ours(options.chappe), port)),
        'chappe pub/sub with mosquitto': (f'{mosquitto()} -c {{conf}}',
                                          lambda port: command_line.cases(*ours(options.chappe), port)),
    }


def perform(case):
    """What went wrong, or None."""
    _, test = case
    try:
        test()
    except Failure as e:
        return str(e)
    except Exception as e:                                      # of a client library, say: one failed test
        return f'{type(e).__name__}: {e}'
    return None


def run_group(name, broker, cases_of, options):
    """(passed, failed) of one group, with a broker of its own."""
    passed = failed = 0
    try:
        broker.start()
        cases = [c for c in cases_of(broker.port) if any(k in f'{name}: {c[0]}' for k in options.k or [''])]
        with ThreadPoolExecutor(options.jobs) as pool:
            for (title, _), wrong in zip(cases, pool.map(perform, cases)):
                passed, failed = passed + (wrong is None), failed + (wrong is not None)
                if wrong:
                    print(f'FAILED {name}: {title}\n  {wrong}', flush=True)
                elif options.verbose:
                    print(f'passed {name}: {title}', flush=True)
    except Exception as e:                                      # a group that cannot start is a failure
        failed += 1
        print(f'FAILED {name}: {type(e).__name__}: {e}', flush=True)
    if (wrong := broker.stop()):
        failed += 1
        print(f'FAILED {name}: the broker {wrong}', flush=True)
    return passed, failed


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--broker', metavar='CMD', help='command with {conf} (default: build/release/chappe)',
                   default=f'{CHAPPE} broker -c {{conf}}')
    p.add_argument('--chappe', metavar='FILE', default=CHAPPE, help='whose pub and sub are tested')
    p.add_argument('-g', action='append', metavar='GROUP', help='only groups whose name contains GROUP')
    p.add_argument('-k', action='append', metavar='TEXT', help='only tests whose "group: name" contains TEXT')
    p.add_argument('-j', '--jobs', type=int, default=8, help='tests at the same time (default %(default)s)')
    p.add_argument('-v', '--verbose', action='store_true', help='print each test as it ends')
    return p.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    passed = failed = 0
    for name, (command, cases_of) in groups(options).items():
        if not any(g in name for g in options.g or ['']):
            continue
        began = time.monotonic()
        good, bad = run_group(name, Broker(command, CONFIG), cases_of, options)
        print(f'{name}: {good} of {good + bad} in {time.monotonic() - began:.1f} s', flush=True)
        passed, failed = passed + good, failed + bad
    print(f'{passed} passed, {failed} failed')
    return 0 if passed and not failed else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
