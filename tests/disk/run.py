#!/usr/bin/python3
"""Faults of the disk and of the operator, against the real broker.  See README.md.

The last line is "N passed, N failed".
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.dont_write_bytecode = True

import harness                                                  # noqa: E402
from client import DEADLINE_S                                   # noqa: E402

# pylint: disable=unused-import: they register their tests
import damage                                                   # noqa: E402,F401
import failing                                                  # noqa: E402,F401
import folder                                                   # noqa: E402,F401
import full                                                     # noqa: E402,F401
import order                                                    # noqa: E402,F401
import restart                                                  # noqa: E402,F401

DEFAULT_BROKER = harness.HERE.parents[1] / 'build/release/chappe'


class Run:
    def __init__(self, options):
        self.command, self.deadline_s, self.workers = options.broker, options.deadline, options.workers
        self.keep = options.keep

    def with_workers(self, lines):
        return f'{lines}\nworkers {self.workers}'


def own_mounts(arguments):
    """Begins again where mounts are nobody else's, and go when we do."""
    if os.geteuid() != 0 or 'CHAPPE_DISK_TESTS' in os.environ:
        return
    if subprocess.run(['unshare', '-m', 'true'], capture_output=True, check=False).returncode == 0:
        os.environ['CHAPPE_DISK_TESTS'] = '1'
        os.execvp('unshare', ['unshare', '-m', sys.executable, str(Path(__file__).resolve()), *arguments])


def report(outcome, seconds):
    case = outcome.case
    word = 'FAILED' if outcome.error else 'skipped' if outcome.skipped else 'passed'
    print(f'{word:<8} {case.id:<6} {case.sentence} [v{case.version}]  {seconds:.1f} s', flush=True)
    for figure in outcome.figures:
        print(f'           {figure}')
    if outcome.skipped:
        print(f'           {outcome.skipped}')
    if outcome.error:
        print(f'  {case.place}: ' + outcome.error.replace('\n', '\n  '))
        print(outcome.diagram, flush=True)


def timed(case, run):
    began = time.monotonic()
    return harness.perform(case, run), time.monotonic() - began


def parse(arguments):
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--broker', metavar='CMD', default=f'{DEFAULT_BROKER} broker -c {{conf}}',
                   help='command with {conf} (default: build/release/chappe)')
    p.add_argument('--workers', type=int, default=2, help='of each broker (default %(default)s)')
    p.add_argument('-k', action='append', metavar='TEXT', help='only tests whose id, name or file contains TEXT')
    p.add_argument('-j', '--jobs', type=int, default=6, help='tests at the same time (default %(default)s)')
    p.add_argument('--deadline', type=float, default=2 * DEADLINE_S, help='safety net of each wait in seconds')
    p.add_argument('--keep', metavar='FOLDER', help='where to copy log and store of a test that fails')
    p.add_argument('--list', action='store_true', help='print the tests and stop')
    return p.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    cases = [c for c in harness.CASES if any(k in f'{c.title} {c.place}' for k in options.k or [''])]
    if options.list:
        for c in cases:
            print(f'{c.title:<78} {c.place}')
        return 0
    own_mounts(arguments)
    run, passed, failed, skipped, began = Run(options), 0, 0, 0, time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(timed, c, run) for c in sorted(cases, key=lambda c: -c.weight)]
        for future in as_completed(futures):
            outcome, seconds = future.result()
            report(outcome, seconds)
            failed += bool(outcome.error)
            skipped += bool(outcome.skipped and not outcome.error)
            passed += not (outcome.error or outcome.skipped)
    print(f'{len(cases)} tests in {time.monotonic() - began:.1f} s' + (f', {skipped} skipped' if skipped else ''))
    print(f'{passed} passed, {failed} failed')
    return 0 if passed and not failed else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
