#!/usr/bin/python3
"""Runs the conformance tests against a broker.  See README.md."""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.dont_write_bytecode = True

import suite                                                    # noqa: E402
import table                                                    # noqa: E402
from broker import Broker, BrokerFailure                        # noqa: E402
from client import DEADLINE_S                                   # noqa: E402

DEFAULT_BROKER = suite.HERE.parents[1] / 'build/release/chappe'


class Run:
    """One pass over the tests, with one number of workers."""

    def __init__(self, options, workers):
        self.options, self.workers = options, workers
        self.deadline_s = options.deadline
        self.is_foreign = options.broker is not None and not Path(options.broker.split()[0]).name.startswith('chappe')
        self.command = options.broker or f'{DEFAULT_BROKER} broker -c {{conf}}'

    def with_workers(self, lines):
        if self.options.persistence:
            lines += '\npersistence true\npersistence_location {dir}'
            lines += '\nuser root' if os.geteuid() == 0 else ''    # whose the folder is
        return lines if self.workers is None else f'{lines}\nworkers {self.workers}'

    def chosen(self):
        cases = [c for c in suite.load() if any(k in f'{" ".join(c.numbers)} {c.title} {c.place}' for k in
                                                self.options.k or [''])]
        left_out = [c for c in cases if self.is_foreign and c.needs_chappe()
                    or c.waits_for and not self.options.waiting]
        return [c for c in cases if c not in left_out], left_out

    def perform(self, cases):
        """Yields outcomes as they come, brokers' own failures included."""
        brokers, outcomes = {}, []
        for config in sorted({c.config for c in cases} - {'none'}):
            brokers[config] = Broker(self.command, self.with_workers(suite.CONFIGS[config]))
        with ThreadPoolExecutor(self.options.jobs) as pool:
            starting = {config: pool.submit(b.start) for config, b in brokers.items()}
            for config, future in starting.items():
                try:
                    future.result()
                except BrokerFailure as e:
                    outcomes.append(f'the broker of configuration "{config}" {e}')
            slow_first = sorted(cases, key=lambda c: not c.slow)
            futures = [pool.submit(self.perform_one, c, brokers.get(c.config)) for c in slow_first]
            for future in as_completed(futures):
                yield future.result()
            stopping = {config: pool.submit(b.stop) for config, b in brokers.items() if b.process}
            for config, future in stopping.items():
                if future.result():
                    outcomes.append(f'the broker of configuration "{config}" {future.result()}')
        for text in outcomes:
            yield suite.Outcome(None, text)

    def perform_one(self, case, broker):
        if broker is not None and not broker.is_alive():
            return suite.Outcome(case, 'the broker of its configuration is not running')
        return suite.perform(case, broker, self)


def report(outcome, workers):
    title = f'{outcome.case.title}  {outcome.case.place}' if outcome.case else 'BROKER'
    where = '' if workers is None else f'  (workers {workers})'
    print(f'\nFAILED {title}{where}')
    print('  ' + outcome.error.replace('\n', '\n  '))
    if outcome.diagram:
        print(outcome.diagram)


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--broker', metavar='CMD', help='command with {conf} and/or {port} (default: build/release/chappe)')
    p.add_argument('--workers', metavar='N,N', help='run once for each number of workers (default 1,2,8)')
    p.add_argument('--persistence', action='store_true', help='with persistence true, each broker in its own folder')
    p.add_argument('-k', action='append', metavar='TEXT', help='only tests whose number, name or file contains TEXT')
    p.add_argument('-j', '--jobs', type=int, default=48, help='tests at the same time (default %(default)s)')
    p.add_argument('--deadline', type=float, default=DEADLINE_S, help='safety net of each wait in seconds')
    p.add_argument('--waiting', action='store_true', help='also the tests that wait for a feature of the broker')
    p.add_argument('--list', action='store_true', help='print the tests and stop')
    p.add_argument('-v', '--verbose', action='store_true', help='print each test as it ends')
    return p.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    first = Run(options, None)
    if options.list:
        for case in first.chosen()[0]:
            print(f'{case.title:<78} {case.place:<28} {" ".join(case.numbers[1:])}')
        return 0
    workers = [None] if first.is_foreign else [int(n) for n in (options.workers or '1,2,8').split(',')]
    passed = failed = 0
    if not options.k:
        wrong = table.problems()
        passed, failed = passed + (not wrong), failed + bool(wrong)
        if wrong:
            print('FAILED table\n  ' + '\n  '.join(wrong))
    for n in workers:
        run, began = Run(options, n), time.monotonic()
        cases, left_out = run.chosen()
        for outcome in run.perform(cases):
            failed, passed = failed + bool(outcome.error), passed + (not outcome.error)
            if outcome.error:
                report(outcome, n)
            elif options.verbose:
                print(f'passed {outcome.case.title}')
        about = 'the broker' if n is None else f'{n} worker{"s" if n > 1 else ""}'
        print(f'{about}: {len(cases)} tests in {time.monotonic() - began:.1f} s'
              + (f', {len(left_out)} left out' if left_out else ''))
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
