"""What a delivered message and an idle connection cost, where nothing is on disk.

The part "compare" of docs/benchmarks.md, as bench/compare makes it.  A part has a SECTION there,
SCENARIOS, brokers, what is done when a round begins, and a report.
"""

import dataclasses
import statistics

from document import NOTHING, machine_lines, median, spread, table
from figures import (CPU, FLOOR, MEMORY, MOSQUITTO, OURS, OURS_2, PERCENTILES, RATE, by_broker,
                     goal_cells, label, notes, percentiles, scenario_lines, settings, verdict)
from peers.brokers import all_brokers

SECTION = 'compare'
brokers = all_brokers
WORKERS_GOAL = 1.25     # two workers cost at most this many times what one costs


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A row of `chappe bench list`, and what Chappe with one worker wants to reach."""
    name: str
    at_most: float = None       # times the floor, or times what the scenario `of` costs Chappe
    better: float = None        # times, at least, than Mosquitto
    of: str = None
    key: str = CPU
    bytes_at_most: float = None


MESSAGES = [
    Scenario('p2p-qos0', 2.0, 30),
    Scenario('p2p-qos1', 2.5, 30),
    Scenario('p2p-qos2', 2.5, 40),
    Scenario('device-qos0', 1.10, 1.25),
    Scenario('device-qos1', 1.10, 1.25),
    Scenario('open-p2p', 1.10, 1.2),
    Scenario('open-fan-out', 1.10, 1.3),
    Scenario('fan-in', 2.0, 30),
    Scenario('fan-out-500', 1.2, 18),
    Scenario('fan-out-500-1k', 1.2, 7),
    Scenario('fan-out-1000'),
    Scenario('fan-out-10000'),
    Scenario('p2p-1k', 1.5, 20),
    Scenario('p2p-64k', 1.15, 3),
    Scenario('wildcard', 1.5, 15, of='p2p-qos0'),
    Scenario('shared', 1.3, 15, of='p2p-qos0'),
    Scenario('retained', None, 12),
    Scenario('drain', None, 12),
    Scenario('new-topics'),
    Scenario('churn'),
]
CONNECT = Scenario('connect', None, 1.4)
IDLE = Scenario('idle', None, 1.9, key=MEMORY, bytes_at_most=900)
SCENARIOS = [*MESSAGES, CONNECT, IDLE]
LATENCY = ('device-qos0', 'device-qos1', 'open-p2p', 'open-fan-out')
OPEN_LOOP = ('open-p2p', 'open-fan-out')


def round_begins(raw):
    """Nothing to do."""


# --------------------------------------------------------------------------------- the tables -----

def cpu_tables(figures):
    scenarios = figures.scenarios(MESSAGES)
    if not scenarios:
        return []
    return ['### CPU time per delivered message', '', 'Microseconds of the broker:', '',
            *by_broker(figures, scenarios, lambda s, key: spread(figures.values(s.name, key, CPU))),
            *notes(figures, scenarios)]


def rate_tables(figures):
    scenarios = figures.scenarios(MESSAGES)
    if not scenarios:
        return []
    return ['### Rates', '', 'Messages delivered per second, on a machine that broker and load '
            'share:', '',
            *by_broker(figures, scenarios,
                       lambda s, key: median(figures.values(s.name, key, RATE)))]


def latency_tables(figures):
    scenarios = [s for s in figures.scenarios(MESSAGES) if s.name in LATENCY]
    if not scenarios:
        return []
    return ['### Latency', '', 'Microseconds, p50 / p99 / p99.9:', '',
            *by_broker(figures, scenarios,
                       lambda s, key: percentiles(figures, s.name, key, PERCENTILES)),
            *tail_table(figures, [s for s in scenarios if s.name in OPEN_LOOP])]


def tail_table(figures, scenarios):
    """Is our p99.9 in the open loop no worse than any other broker's?"""
    if not scenarios or OURS not in figures.brokers:
        return []
    rows = []
    for s in scenarios:
        tails = {key: figures.values(s.name, key, PERCENTILES[-1]) for key in figures.brokers
                 if key != FLOOR}
        others = {key: statistics.median(values) for key, values in tails.items()
                  if values and key not in (OURS, OURS_2)}
        if not tails[OURS] or not others:
            continue
        best = min(others, key=others.get)
        met = statistics.median(tails[OURS]) <= others[best]
        rows.append([label(s), spread(tails[OURS]), figures.brokers[best]['title'],
                     spread(tails[best]), verdict(met)])
    return ['Goal: p99.9 of the open loop no worse than any other broker\'s.', '',
            *table(['', figures.brokers[OURS]['title'], 'best of the others', 'its p99.9', ''],
                   rows)] if rows else []


def connection_tables(figures):
    lines = []
    if CONNECT.name in figures.results:
        lines += ['CPU time of a connect and disconnect, in microseconds, and how many a second:',
                  '', *by_broker(figures, [CONNECT], lambda s, key: with_rate(figures, s, key))]
    if IDLE.name in figures.results:
        lines += ['Resident memory per connection, in bytes (without the kernel\'s share):', '',
                  *by_broker(figures, [IDLE],
                             lambda s, key: spread(figures.values(s.name, key, MEMORY)))]
    if lines:
        lines += notes(figures, figures.scenarios([CONNECT, IDLE]))
    return ['### Connections', '', *lines] if lines else []


def with_rate(figures, scenario, broker):
    values = figures.values(scenario.name, broker, CPU)
    if not values:
        return NOTHING
    return f'{spread(values)}; {median(figures.values(scenario.name, broker, RATE))}/s'


# ---------------------------------------------------------------------------------- the goals -----

def goal_tables(figures):
    """One row per scenario: against the floor, against Mosquitto, two workers against one."""
    if OURS not in figures.brokers:
        return []
    rows = []
    for s in figures.scenarios(SCENARIOS):
        row = [*floor_cells(figures, s), *mosquitto_cells(figures, s), *workers_cells(figures, s)]
        if any(cell not in ('', NOTHING) for cell in row):
            rows.append([label(s), *row])
    head = ['', 'times the floor', 'goal', 'times better than Mosquitto', 'goal',
            '2 workers : 1 worker', 'goal']
    return ['### Goals', '', 'Chappe with one worker, ratios of CPU time per message:', '',
            *table(head, rows)] if rows else []


def floor_cells(figures, s):
    if s.bytes_at_most:
        values = figures.values(s.name, OURS, s.key)
        return goal_cells(values, s.bytes_at_most, True, ' bytes')
    under, unit = ((s.of, OURS), f' x `{s.of}`') if s.of else ((s.name, FLOOR), '')
    return goal_cells(figures.ratios((s.name, OURS), under), s.at_most, True, unit)


def mosquitto_cells(figures, s):
    values = figures.ratios((s.name, MOSQUITTO), (s.name, OURS), s.key)
    return goal_cells(values, s.better, False, '')


def workers_cells(figures, s):
    if s.key != CPU:
        return [NOTHING, '']
    return goal_cells(figures.ratios((s.name, OURS_2), (s.name, OURS)), WORKERS_GOAL, True, '')


def report(figures):
    return [*machine_lines(figures.raw), *scenario_lines(figures, SCENARIOS), *goal_tables(figures),
            *cpu_tables(figures), *latency_tables(figures), *rate_tables(figures),
            *connection_tables(figures), *settings(figures)]
