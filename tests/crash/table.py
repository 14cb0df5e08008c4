"""The figures of a run: as a report, as JSON, and beside others as a Markdown table."""

from dataclasses import asdict

from ledger import WRONGS


def result(world, options, seconds, stopped):
    counts = asdict(world.counts)
    return {
        'name': options.name or options.broker.split()[0].rpartition('/')[2],
        'command': options.broker, 'set': options.set, 'kill': options.kill, 'seed': options.seed,
        'only': options.only, 'rounds': world.round, 'rounds_wanted': options.rounds,
        'crashes': world.crashes, 'seconds': round(seconds, 1), **counts, 'stopped': stopped,
        'passed': stopped is None and not any(counts['wrong'].values()),
    }


def report(r):
    lines = ['']
    for what, examples in r['examples'].items():
        if examples:
            lines += [f'the first {what}:', *(f'    {text}' for text in examples), '']
    lines += [f'    {r["wrong"][what]:>8} {what:<13} {meaning}' for what, meaning in WRONGS.items()]
    lines += [f'    {r["repeated"]:>8} {"repeated":<13} delivered again at QoS 1, with a reason: allowed',
              '',
              f'{r["name"]}: {r["rounds"]} rounds, {r["crashes"]} crashes in {r["seconds"]:.0f} s, '
              f'{r["acknowledged"]} messages acknowledged, {r["delivered"]} copies delivered, seed {r["seed"]}']
    if r['stopped']:
        lines += [f'stopped in round {r["rounds"]}: {r["stopped"]}']
    return '\n'.join([*lines, 'passed' if r['passed'] else 'FAILED'])


def markdown(results):
    heads = ['broker', 'crashes', 'acknowledged', 'copies delivered', *WRONGS, 'repeated (allowed)']
    rows = [heads, ['---'] + ['--:'] * (len(heads) - 1)]
    for r in results:
        figures = [r['crashes'], r['acknowledged'], r['delivered'], *(r['wrong'][w] for w in WRONGS), r['repeated']]
        stopped = f' (stopped in round {r["rounds"]} of {r["rounds_wanted"]})' if r['stopped'] else ''
        rows.append([r['name'] + stopped, *(f'{n:,}' for n in figures)])
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)
