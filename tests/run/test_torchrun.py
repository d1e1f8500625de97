"""What is read below a distributed run that failed."""

import socket

import pytest
from tool_process import ROOT, run_program

PRELUDE = """
import os, sys, time
from types import ModuleType
rank = int(os.environ['RANK'])
# errors.py alone, because the package imports torch
sys.modules['sparx_mm'] = package = ModuleType('sparx_mm')
package.__path__ = [{package!r}]
"""


def _run(folder, lines, *options, status):
    """Start two processes of a program and return its stderr."""
    (folder / 'program.py').write_text(PRELUDE.format(package=str(ROOT / 'sparx_mm')) + lines)
    _, errors = run_program(
        ROOT / 'sparx_mm/run/torchrun.py',
        *(options or ('--standalone', '--local-addr=127.0.0.1')),
        '--nproc-per-node=2',
        'program.py',
        folder=folder,
        status=status,
    )
    return [
        # said before anything runs, unless the variable is set
        line
        for line in errors.splitlines()
        if 'OMP_NUM_THREADS' not in line and set(line) != {'*'}
    ]


def test_nothing_where_nothing_failed(tmp_path):
    assert _run(tmp_path, 'print(rank)', status=0) == []


def test_the_status_of_the_process_that_failed(tmp_path):
    lines = 'sys.exit(3 if rank else time.sleep(60))'
    assert _run(tmp_path, lines, status=3) == []


def test_a_mistake_of_all_is_told_once(tmp_path):
    lines = """
from sparx_mm import errors
with errors.user_errors():
    raise errors.UserError('no such file')
"""
    assert _run(tmp_path, lines, status=1) == ['error: no such file']


def test_a_mistake_of_another_process_is_heard(tmp_path):
    lines = """
from sparx_mm import errors
errors.LATER_RANK_DELAY_S = 0
with errors.user_errors():
    if rank:
        raise errors.UserError('only here')
    time.sleep(60)
"""
    assert _run(tmp_path, lines, status=1) == ['error: process 1: only here']


@pytest.mark.tries('one of several processes is killed')
def test_a_killed_process_is_named(tmp_path):
    lines = 'os.kill(os.getpid(), 9) if rank else time.sleep(60)'
    assert _run(tmp_path, lines, status=137) == ['error: process 1 was ended by SIGKILL']


def test_a_port_in_use(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as server:
        (line,) = _run(
            tmp_path,
            '',
            '--master-addr=127.0.0.1',
            f'--master-port={server.getsockname()[1]}',
            status=1,
        )
    assert line.startswith('error: the processes do not find each other (')
