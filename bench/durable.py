"""What it costs to keep messages: on disk, before they are acknowledged, beside memory.

The part "durable" of docs/benchmarks.md, as `bench/compare --durable` makes it; see costs.py.

    in memory   persistence false     the same scenarios, the same persistent sessions
    on disk     persistence true      a fresh folder for every run, on a disk that is one
"""

import dataclasses
import statistics
import sys

import disk
from document import NOTHING, machine_lines, median, spread, table
from figures import (ANSWER_PERCENTILES, CPU, RATE, by_broker, goal_cells, label, notes,
                     percentiles, scenario_lines, settings)
from peers.brokers import DISK_FOLDER, durable_brokers

SECTION = 'durable'
brokers = durable_brokers
MEMORY, DISK, MOSQUITTO = 'chappe-1', 'chappe-1-disk', 'mosquitto-disk'

RATE_GOAL = 150_000     # messages acknowledged per second, or
TIMES_GOAL = 10         # so many times Mosquitto's, whichever is more
CPU_GOAL_US = 1.5       # more than in memory
COMMITS_GOAL = 2        # p99 of PUBACK, in the disk's own p99
CONNECTED_GOAL = 1.2    # times slower than where nothing has to be kept

FULL, DRAINED = 'memory_begin', 'memory_after'


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A row of `chappe bench list`, and what is told of a run while others are to come."""
    name: str
    key: str = CPU


PACED = Scenario('durable-offline-paced', ANSWER_PERCENTILES[1])
OFFLINE = Scenario('durable-offline', RATE)
CONNECTED, CONNECTED_2 = Scenario('durable-connected'), Scenario('durable-qos2')
DRAIN = Scenario('durable-queue-drain', RATE)
P2P, P2P_2 = Scenario('p2p-qos1'), Scenario('p2p-qos2')
# What is compared with the disk's own commits comes first, right after they were measured.
SCENARIOS = [PACED, OFFLINE, P2P, CONNECTED, P2P_2, CONNECTED_2, DRAIN]
ANSWERED = PACED, OFFLINE, CONNECTED, CONNECTED_2


# ----------------------------------------------------------------------------------- the disk -----

def round_begins(raw):
    """The disk may be slower in one round than in another: others use it, too."""
    where = disk.file_system(DISK_FOLDER)
    if where['type'] in ('tmpfs', 'ramfs'):
        sys.exit(f'{DISK_FOLDER} is on {where["type"]}: nothing is durable there')
    raw.setdefault('disk', {**where, 'rounds': []})['rounds'].append(disk.commit_times(DISK_FOLDER))


def disk_values(figures, key):
    return [commits[key] for commits in figures.raw['disk']['rounds']]


def disk_lines(figures):
    def both(kind):
        return ' / '.join(spread(disk_values(figures, f'{kind}_{which}_us'))
                          for which in ('p50', 'p99'))
    where = figures.raw['disk']
    return [f'- disk: {where["type"]} on {where["device"]}; its own commits, {disk.COUNT} of each '
            'kind at the start of each round: a write and its fdatasync, p50 / p99 in '
            f'microseconds: {disk.APPEND} bytes at the end of a file {both("append")}, '
            f'{disk.OVERWRITE} bytes over old ones {both("overwrite")}', '']


# ---------------------------------------------------------------------------------- the goals -----

def goal_tables(figures):
    rows = [row for row in (rate_row(figures), cpu_row(figures), answer_row(figures),
                            connected_row(figures)) if row[1] != NOTHING]
    head = ['Chappe on disk, one worker', '', 'goal']
    return ['### Goals', '', *table(head, rows)] if rows else []


def rate_row(figures):
    theirs = figures.values(OFFLINE.name, MOSQUITTO, RATE)
    goal = max([RATE_GOAL, *([TIMES_GOAL * statistics.median(theirs)] if theirs else [])])
    times = figures.ratios((OFFLINE.name, DISK), (OFFLINE.name, MOSQUITTO), RATE)
    beside = f'; {spread(times)} times Mosquitto on disk' if times else ''
    ours = figures.values(OFFLINE.name, DISK, RATE)
    return [f'{label(OFFLINE)}: messages acknowledged per second',
            *goal_cells(ours, round(goal), False, beside)]


def cpu_row(figures):
    return [f'{label(OFFLINE)}: CPU per message beyond that in memory',
            *goal_cells(figures.differences((OFFLINE.name, DISK), (OFFLINE.name, MEMORY)),
                        CPU_GOAL_US, True, ' us')]


def answer_row(figures):
    """Who comes while a commit is under way waits for that one and for the next."""
    tails = [run.get(ANSWER_PERCENTILES[1]) for run in figures.rounds(PACED.name, DISK)]
    commits = disk_values(figures, 'overwrite_p99_us')
    return [f'{label(PACED)}: p99 of PUBACK : p99 of the disk\'s own overwriting commits',
            *goal_cells([tail / commit for tail, commit in zip(tails, commits) if tail],
                        COMMITS_GOAL, True, '')]


def connected_row(figures):
    return [f'messages per second, {label(P2P)} : {label(CONNECTED)}, both on disk',
            *goal_cells(figures.ratios((P2P.name, DISK), (CONNECTED.name, DISK), RATE),
                        CONNECTED_GOAL, True, '')]


# --------------------------------------------------------------------------------- the tables -----

def rate_tables(figures):
    scenarios = [s for s in figures.scenarios(SCENARIOS) if s != PACED]
    if not scenarios:
        return []
    return ['### Rates of what is kept', '', 'Messages acknowledged per second where nobody is '
            'there to get them, else delivered per second, on a machine that broker and load '
            'share:', '',
            *by_broker(figures, scenarios,
                       lambda s, key: spread(figures.values(s.name, key, RATE))),
            *notes(figures, figures.scenarios(SCENARIOS))]


def cpu_tables(figures):
    scenarios = figures.scenarios(SCENARIOS)
    return ['### CPU time of what is kept', '', 'Microseconds of the broker per message:', '',
            *by_broker(figures, scenarios, lambda s, key: spread(figures.values(s.name, key, CPU)))]


def answer_tables(figures):
    scenarios = figures.scenarios(ANSWERED)
    if not scenarios:
        return []
    return ['### Time until the broker answers', '', 'Microseconds from PUBLISH, or from when it '
            'was due, to PUBACK (at QoS 2: PUBREC), p50 / p99 / p99.9:', '',
            *by_broker(figures, scenarios,
                       lambda s, key: percentiles(figures, s.name, key, ANSWER_PERCENTILES))]


def memory_tables(figures):
    if DRAIN.name not in figures.results:
        return []
    return [f'Private memory of the broker in {label(DRAIN)}, with all queues full / after they '
            'were taken, in MiB:', '',
            *by_broker(figures, [DRAIN], lambda s, key: memory_cell(figures, key))]


def memory_cell(figures, broker):
    texts = [median([size / 2 ** 20 for size in figures.values(DRAIN.name, broker, key)])
             for key in (FULL, DRAINED)]
    return NOTHING if NOTHING in texts else ' / '.join(texts)


def report(figures):
    return [*machine_lines(figures.raw)[:-1], *disk_lines(figures),
            *scenario_lines(figures, SCENARIOS), *goal_tables(figures), *rate_tables(figures),
            *cpu_tables(figures), *answer_tables(figures), *memory_tables(figures),
            *settings(figures)]
