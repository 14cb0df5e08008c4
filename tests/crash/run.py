#!/usr/bin/python3
"""Kills a broker again and again, and looks whether it kept its promises.  See README.md."""

import argparse
import asyncio
import json
import logging
import os
import random
import shutil
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.append(str(HERE.parent / 'conformance'))

import table                                                    # noqa: E402
from broker import Broker                                       # noqa: E402
from churn import Churn                                         # noqa: E402
from flow import Flow                                           # noqa: E402
from retained import Retained                                   # noqa: E402
from world import Failure, Killing, World                       # noqa: E402

DEFAULT_BROKER = f'{ROOT}/build/release/chappe broker -c {{conf}}'
# Queues without limits: what a limit drops is no loss of the store's.
CONFIG = ['persistence true', 'persistence_location {dir}/store', 'max_queued_messages 0', 'max_queued_bytes 0']
KINDS = ('flow', 'group', 'retained', 'subscriptions', 'sessions')


def populate(world, kinds, rate):
    if 'flow' in kinds or 'group' in kinds:
        world.kinds.append(Flow(world, rate, 'group' in kinds))
    if 'retained' in kinds:
        world.kinds.append(Retained(world, rate))
    if 'subscriptions' in kinds:
        world.kinds.append(Churn.of_subscriptions(world))
    if 'sessions' in kinds:
        world.kinds.append(Churn.of_sessions(world))


def make_broker(options):
    lines = [line for line in CONFIG if not (options.memory and line.startswith('persistence'))] + options.set
    if os.geteuid() == 0:
        lines = ['user root', *lines]       # or it becomes somebody who may not write in our folder
    broker = Broker(options.broker, '\n'.join(lines))
    broker.command = broker.command.replace('{dir}', broker.folder.name)
    os.mkdir(broker.path('store'), 0o700)
    return broker


def round_line(world, load_s, before):
    counts = world.counts
    wrong = [f'{n - before[what]} {what}' for what, n in counts.wrong.items() if n != before[what]]
    return (f'round {world.round}: {load_s:.1f} s, {world.crashes} crashes so far, '
            f'{counts.acknowledged} messages acknowledged, {counts.delivered} copies delivered: '
            + (', '.join(wrong) or 'all well'))


async def play(world, options):
    """Returns what stopped it, or None."""
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)     # it warns of writing to the dead
    try:
        await world.begin()
        while world.round < options.rounds:
            before = dict(world.counts.wrong)
            load_s = await world.play()
            print(round_line(world, load_s, before), flush=True)
        return None
    except Failure as e:
        return str(e)


async def run(options):
    broker = make_broker(options)
    world = World(broker, Killing(options.kill), options.seed, options.seconds_per_round,
                  options.rounds)
    populate(world, options.only or KINDS, options.rate)
    began = time.monotonic()
    stopped = await play(world, options)
    result = table.result(world, options, time.monotonic() - began, stopped)
    if options.keep and not result['passed']:
        shutil.copytree(broker.folder.name, options.keep, dirs_exist_ok=True)
    wrong_at_end = await world.end()
    if wrong_at_end and not stopped:
        result['stopped'], result['passed'] = f'at the end: {wrong_at_end}', False
    return result


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--rounds', type=int, default=50, help='crashes at least (default %(default)s)')
    p.add_argument('--seconds-per-round', type=float, default=1.0, metavar='S',
                   help='load before a crash, in the mean (default %(default)s)')
    p.add_argument('--rate', type=float, default=2000, help='messages per second, at most (default %(default)s)')
    p.add_argument('--seed', type=int, default=None, help='of everything that is drawn')
    p.add_argument('--broker', metavar='CMD', default=DEFAULT_BROKER,
                   help='command with {conf}, {port}, {dir} (default: build/release/chappe)')
    p.add_argument('--set', metavar='LINE', action='append', default=[], help='one more line of configuration')
    p.add_argument('--memory', action='store_true', help='configure no persistence (for --kill cut)')
    p.add_argument('--name', help='for the table')
    p.add_argument('--only', metavar='KIND', action='append', choices=KINDS, help=', '.join(KINDS))
    p.add_argument('--kill', choices=('9', 'term', 'cut'), default='9',
                   help='SIGKILL, SIGTERM, or only cut all connections (default %(default)s)')
    p.add_argument('--json', metavar='FILE', help='write the figures there')
    p.add_argument('--keep', metavar='FOLDER', help='where to copy store and log if something was wrong')
    p.add_argument('--table', metavar='FILE', nargs='+', help='print the table of these runs, and stop')
    options = p.parse_args(arguments)
    options.seed = random.randrange(1 << 32) if options.seed is None else options.seed
    return options


def main(arguments):
    options = parse(arguments)
    if options.table:
        print(table.markdown([json.loads(Path(name).read_text(encoding='utf-8')) for name in options.table]))
        return 0
    print(f'seed {options.seed}', flush=True)
    result = asyncio.run(run(options))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    print(table.report(result))
    return 0 if result['passed'] else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
