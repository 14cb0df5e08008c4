#!/usr/bin/python3
"""docs/conformance.md: which test shows which statement of the standard.

`table.py` writes it; run.py checks with problems() that it is up to date, that each statement has a
test or a reason for having none, and that no test names a statement that does not exist.

statements_5_0.txt and statements_3_1_1.txt list the statements, one number a line; text after the
number is the reason why a server's behaviour cannot show it from outside.
"""

import sys

sys.dont_write_bytecode = True

import suite                                                    # noqa: E402

OUTPUT = suite.HERE.parents[1] / 'docs/conformance.md'
LISTS = (('MQTT 5.0', 'statements_5_0.txt'), ('MQTT 3.1.1', 'statements_3_1_1.txt'))

INTRODUCTION = '''# Conformance

Which test shows which normative statement of MQTT. Written by `tests/conformance/table.py` from the tests
themselves; do not edit. Statements of 3.1.1 are called `MQTT3-…`, because its numbers differ from those of 5.0.
How to run the tests: `tests/conformance/README.md`.
'''


def statements(name):
    """{number: reason, '' for one that a test must show}"""
    found = {}
    for line in (suite.HERE / name).read_text(encoding='utf-8').splitlines():
        if line.strip() and not line.startswith('#'):
            number, _, reason = line.partition(' ')
            if number in found:
                raise ValueError(f'{name}: {number} twice')
            found[number] = reason.strip()
    return found


def tests_of(number):
    """Names of the tests of a number, each once, whatever the versions."""
    seen = {}
    for case in suite.load():
        if number in case.numbers:
            seen.setdefault(case.name, case)
    return list(seen.values())


def cell(number, reason):
    tests = tests_of(number)
    if tests:
        return '; '.join(f'{c.sentence} (`{c.place.split(":")[0]}`'
                         + (f', waits for {c.waits_for})' if c.waits_for else ')') for c in tests)
    return f'*not observable: {reason}*' if reason else '**missing**'


def text():
    parts = [INTRODUCTION]
    for title, name in LISTS:
        numbers = statements(name)
        tested = sum(1 for n in numbers if tests_of(n))
        waiting = sum(1 for n in numbers if tests_of(n) and all(c.waits_for for c in tests_of(n)))
        missing = sum(1 for n, reason in numbers.items() if not reason and not tests_of(n))
        parts.append(f'\n## {title}\n\n{len(numbers)} statements: {tested - waiting} shown by tests, '
                     + (f'{waiting} with tests that wait for a feature, ' if waiting else '')
                     + (f'{missing} missing, ' if missing else '')
                     + f'{len(numbers) - tested - missing} that a server cannot show.\n'
                     + '\n| Statement | Test |\n|---|---|\n')
        parts += [f'| {n} | {cell(n, reason)} |\n' for n, reason in numbers.items()]
    others = sorted({n for c in suite.load() for n in c.numbers if not n.startswith('MQTT')}, key=suite.number_key)
    if others:
        parts.append('\n## Bad input and faults\n\nTests that go beyond the standard: hostile packets (A), access (C), '
                     'greedy peers (E), machine and operator (F).\n\n| Id | Test |\n|---|---|\n')
        parts += [f'| {n} | {cell(n, "")} |\n' for n in others]
    return ''.join(parts)


def problems():
    wrong, known = [], set()
    for title, name in LISTS:
        numbers = statements(name)
        known |= set(numbers)
        for number, reason in numbers.items():
            if not reason and not tests_of(number):
                wrong.append(f'{title}: {number} has neither a test nor a reason in {name}')
            if reason and tests_of(number):
                wrong.append(f'{title}: {number} has a test and a reason for having none in {name}')
    for case in suite.load():
        wrong += [f'{case.title}: there is no statement {n}' for n in case.numbers
                  if n.startswith('MQTT') and n not in known]
    if not OUTPUT.exists() or OUTPUT.read_text(encoding='utf-8') != text():
        wrong.append('docs/conformance.md is not up to date: run tests/conformance/table.py')
    return wrong


if __name__ == '__main__':
    OUTPUT.write_text(text(), encoding='utf-8')
    remaining = problems()
    print('\n'.join(remaining) or f'{OUTPUT.name}: every statement is accounted for')
    sys.exit(1 if remaining else 0)
