"""What the scripts have in common when they write Markdown."""

import datetime
import os
import pathlib
import platform
import re
import statistics

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / 'docs' / 'benchmarks.md'
NOTHING = '-'


def number(value):
    """Three digits are all that such measurements are good for."""
    if value >= 100:
        return f'{value:,.0f}'
    return f'{value:.3f}' if value < 1 else f'{value:.2f}' if value < 10 else f'{value:.1f}'


def median(values):
    return number(statistics.median(values)) if values else NOTHING


def spread(values):
    """The median, and from where to where the values go."""
    if len(values) < 2:
        return median(values)
    return f'{median(values)} ({number(min(values))} to {number(max(values))})'


def table(head, rows):
    """Lines of Markdown.  Numbers stand right, the first column left."""
    lines = [head, ['---', *['---:'] * (len(head) - 1)], *rows]
    return ['| ' + ' | '.join(line) + ' |' for line in lines] + ['']


def first_match(pattern, path):
    match = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    return match.group(1) if match else 'unknown'


def machine():
    gib = int(first_match(r'^MemTotal: +(\d+)', '/proc/meminfo')) / 2 ** 20
    model = first_match(r'^model name.*: (.*)$', '/proc/cpuinfo')
    system = first_match(r'^PRETTY_NAME=.(.*).$', '/etc/os-release')
    return {'machine': f'{os.cpu_count()} CPUs ({model}), {gib:.0f} GiB, loopback only',
            'system': f'Linux {platform.release()}, {system}',
            'date': datetime.date.today().isoformat()}


def machine_lines(raw):
    """The head of a report on what is in raw: machine, versions, rounds."""
    rounds = f'{raw["rounds"]} interleaved round{"s" if raw["rounds"] > 1 else ""}'
    return [f'- machine: {raw["machine"]["machine"]}', f'- system: {raw["machine"]["system"]}',
            f'- brokers: {"; ".join(raw["versions"])}',
            f'- {raw["machine"]["date"]}, {rounds} of {raw["seconds"]:g} s per run; median (lowest '
            'to highest)', '']


def write_section(name, lines):
    """Replaces what stands in the document between the two marks of that name."""
    begin, end = f'<!-- {name}: begin -->', f'<!-- {name}: end -->'
    head, rest = DOCUMENT.read_text().split(begin)
    text = head + begin + '\n' + '\n'.join(lines).rstrip() + '\n' + end + rest.split(end)[1]
    DOCUMENT.write_text(text)
