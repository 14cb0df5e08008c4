"""What was measured, the questions that tables ask, and what all tables have in common."""

import statistics

from document import NOTHING, median, spread, table

OURS, OURS_2, FLOOR, MOSQUITTO = 'chappe-1', 'chappe-2', 'floor', 'mosquitto'

# What `chappe bench --json` calls them.
CPU, MEMORY, RATE = 'cpu_us_per_message', 'memory_per_connection', 'delivered_per_s'
PERCENTILES = 'latency_p50_us', 'latency_p99_us', 'latency_p99_9_us'
ANSWER_PERCENTILES = 'answer_p50_us', 'answer_p99_us', 'answer_p99_9_us'    # PUBACK, PUBREC


class Figures:
    """What was measured: raw, as --json keeps it, and the questions that the tables ask."""

    def __init__(self, raw):
        self.raw = raw
        self.brokers = raw['brokers']       # key: title, version, conf
        self.results = raw['results']       # scenario: broker: one result per round

    def rounds(self, scenario, broker):
        return self.results.get(scenario, {}).get(broker, [])

    def values(self, scenario, broker, key):
        return [run[key] for run in self.rounds(scenario, broker) if run.get(key) is not None]

    def ratios(self, over, under, key=CPU):
        """over and under: scenario and broker.  Round by round, where both are known."""
        return [a / b for a, b in self.pairs(over, under, key) if b]

    def differences(self, more, less, key=CPU):
        return [a - b for a, b in self.pairs(more, less, key)]

    def pairs(self, one, other, key):
        both = zip(self.rounds(*one), self.rounds(*other))
        return [(a[key], b[key]) for a, b in both
                if a.get(key) is not None and b.get(key) is not None]

    def scenarios(self, among):
        return [s for s in among if s.name in self.results]


def by_broker(figures, scenarios, cell):
    """A row per scenario, a column per broker; cell(scenario, broker key) is the text."""
    head = ['', *(broker['title'] for broker in figures.brokers.values())]
    rows = [[label(s), *(cell(s, key) for key in figures.brokers)] for s in scenarios]
    return table(head, rows)


def label(scenario):
    return f'`{scenario.name}`'


def percentiles(figures, scenario, broker, keys):
    """p50 / p99 / p99.9, the median of each."""
    texts = [median(figures.values(scenario, broker, key)) for key in keys]
    return NOTHING if NOTHING in texts else ' / '.join(texts)


# ---------------------------------------------------------------------------------- the goals -----

def verdict(is_met):
    return 'met' if is_met else '**missed**'


def goal_cells(values, goal, is_upper_bound, unit):
    """The figure and the goal with its verdict.  The median decides, the spread is shown."""
    if not values:
        return [NOTHING, '']
    if goal is None:
        return [spread(values), '']
    middle = statistics.median(values)
    met = middle <= goal if is_upper_bound else middle >= goal
    bound = 'at most' if is_upper_bound else 'at least'
    return [spread(values) + unit, f'{bound} {goal:,g}: {verdict(met)}']


# --------------------------------------------------------------------------- around the tables ----

def notes(figures, scenarios):
    """Why there is no figure, or one of fewer rounds, or one of fewer messages."""
    lines = [f'- {label(s)}, {broker["title"]}: {why}' for s in scenarios
             for key, broker in figures.brokers.items() for why in reasons(figures, s.name, key)]
    return [*lines, ''] if lines else []


def reasons(figures, scenario, broker):
    runs = figures.rounds(scenario, broker)
    failed = [run['failed'] for run in runs if 'failed' in run]
    lost = sum(run.get('lost') or 0 for run in runs)
    if failed:
        often = '' if len(failed) == len(runs) else f' in {len(failed)} of {len(runs)} rounds'
        yield f'failed{often}: {failed[-1]}'
    if lost:
        expected = lost + sum(run.get('delivered') or 0 for run in runs)
        yield f'lost {lost / expected:.1%} of the messages'
    if len(failed) < len(runs):
        yield from filter(None, [figures.brokers[broker].get('less', {}).get(scenario)])
    if broker != FLOOR:     # that a relay is no broker needs no note
        yield from {run['cannot'] for run in runs if 'cannot' in run}


def scenario_lines(figures, scenarios):
    """What the names mean, as `chappe bench list` tells it."""
    lines = [f'- {label(s)}: {figures.raw["about"][s.name]}' for s in figures.scenarios(scenarios)
             if s.name in figures.raw['about']]
    return [*lines, ''] if lines else []


def settings(figures):
    """The files that the brokers were started with, word for word."""
    lines = ['### Settings', '']
    for key, broker in figures.brokers.items():
        if broker['conf'] and not (key == OURS_2 and OURS in figures.brokers):
            lines += [f'{broker["title"]}:', '']
            lines += ['    ' + line for line in broker['conf'].splitlines()] + ['']
    return lines
