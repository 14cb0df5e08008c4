"""Clients in other languages: programs that name their tests and run one of them.

    PROGRAM list            one name a line
    PROGRAM PORT NAME       runs that test; exit status 0, or a line that says what was wrong
"""

import os
import shlex
import subprocess
from pathlib import Path

from harness import Failure, run

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / 'build/interop'


def cases(command, port):
    for name in run([*command, 'list']):
        yield name, lambda name=name: run([*command, port, name])


def compile_paho_c(api, library):
    """The tests are written once, against client.h; each API of the library implements that."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / f'paho_{api}'
    sources = [HERE / 'paho_c' / name for name in ('tests.c', f'client_{api}.c')]
    command = [os.environ.get('CC', 'gcc'), '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-g', '-O1', *sources,
               '-o', program, f'-l{library}', '-lpthread']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Failure(f'{shlex.join(map(str, command))}\n{result.stderr}')
    return program


def paho_c_cases(port):
    for api, library in (('sync', 'paho-mqtt3c'), ('async', 'paho-mqtt3a')):
        for name, test in cases([compile_paho_c(api, library)], port):
            yield f'{api} {name}', test


def mqttjs_cases(port):
    modules = BUILD / 'node_modules'
    return cases(['env', f'NODE_PATH={modules}', 'node', HERE / 'mqttjs.js'], port)
