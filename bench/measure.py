"""One measurement: a fresh broker, `chappe bench` against it, and what both say."""

import json
import resource
import subprocess
import sys
import time

from peers.brokers import Failure, Running

PATIENCE_S = 240        # beyond the time of publishing, for a broker that is slow to fill


def may_open_many():
    """Lets this process and its children have as many sockets as the machine allows."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run_load(load, running, scenario, extra):
    """What `chappe bench` found, as a dict."""
    command = [load, 'bench', scenario, '--host', '127.0.0.1', '--port', str(running.port),
               '--pid', str(running.process.pid), '--json', '--quiet', *extra]
    if running.broker.is_relay:
        command.append('--relay')
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise Failure(f'not done within {PATIENCE_S} s') from None
    running.check_is_alive()
    if ran.returncode != 0:
        said = ran.stderr.strip().splitlines() or [f'status {ran.returncode}']
        raise Failure(said[-1].replace('bench: ', '', 1))
    return json.loads(ran.stdout)


def measure(load, broker, scenario, extra=()):
    """A result, or {'cannot': why}, or {'failed': why}."""
    if scenario in broker.cannot:
        return {'cannot': broker.cannot[scenario]}
    try:
        options, _ = broker.less.get(scenario, ((), ''))
        with Running(broker) as running:
            return run_load(load, running, scenario, (*extra, *options))
    except Failure as failure:
        return {'failed': str(failure)}


class Progress:
    """Says on stderr what has been measured, and how long the rest will take."""

    def __init__(self, total):
        self.total, self.done = total, 0
        self.started = time.monotonic()

    def say(self, *words):
        self.done += 1
        left = (time.monotonic() - self.started) / self.done * (self.total - self.done)
        print(f'{self.done:4}/{self.total}', *words, f' {left / 60:.0f} min left', file=sys.stderr,
              flush=True)
