#!/usr/bin/python3
"""Runs a suite of a Meson build and counts tests as cmocka does, not programs.

usage: meson_tests.py BUILD SUITE [ARGUMENTS OF meson test...]

The output of a program that failed is shown whole.  The last line is "N passed, N failed".
"""

import json
import re
import subprocess
import sys
from pathlib import Path

PASSED = re.compile(r'^\[  PASSED  \] (\d+) test', re.MULTILINE)
FAILED = re.compile(r'^\[  FAILED  \] .*?(\d+) test', re.MULTILINE)


def results_of(build):
    """One object per program; those of an earlier run are gone, for meson begins the file anew."""
    log = Path(build, 'meson-logs', 'testlog.json')
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]


def count(result):
    """(passed, failed).  A program without cmocka's totals is one test; one that stopped early has
    one more failure than it could tell."""
    output = result.get('stdout', '') + '\n' + result.get('stderr', '')
    passed = sum(int(n) for n in PASSED.findall(output))
    failed = sum(int(n) for n in FAILED.findall(output))
    if result['result'] in ('OK', 'EXPECTEDFAIL'):
        return passed or 1, 0
    return passed, failed or 1


def main(build, suite, *arguments):
    Path(build, 'meson-logs', 'testlog.json').unlink(missing_ok=True)
    command = ['meson', 'test', '-C', build, '--no-rebuild', '--suite', suite, *arguments]
    status = subprocess.run(command, check=False).returncode
    passed = failed = 0
    for result in results_of(build):
        good, bad = count(result)
        passed, failed = passed + good, failed + bad
        if bad:
            print(f'\nFAILED {result["name"]}: {result["result"]}')
            print(result.get('stdout', ''))
            print(result.get('stderr', ''))
    if passed + failed == 0:
        print(f'no test of suite {suite} ran, meson ended with {status}')
        failed = 1
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or status else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
