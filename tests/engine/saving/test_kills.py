"""A run that is killed at any moment continues from its last save, and ends alike."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.device import get_device
from noisy_run import make_noisy
from tool_process import run_program

PROGRAM = Path(__file__).resolve().parents[2] / 'helpers/noisy_program.py'
OPTIONS = dict(validate=True, checkpoint=dict(max_keep_ckpts=1))
TORCHRUN = ('-m', 'sparx_mm.run.torchrun', '--standalone', '--local-addr=127.0.0.1')
IN_A_STEP = [pytest.mark.faults, pytest.mark.tries('SIGKILL in a forward or backward pass')]
ON_CPUS = pytest.mark.skipif(get_device() != 'cpu', reason='the program runs on gloo')


def start(folder, fault, processes=1, options=OPTIONS, length=2):
    """Start a run with a fault, and return its process."""
    launcher = () if processes == 1 else (*TORCHRUN, f'--nproc-per-node={processes}')
    arguments = map(str, (PROGRAM, folder, length, json.dumps(options), json.dumps(fault)))
    variables = dict(PYTHONPATH=str(PROGRAM.parent), OMP_NUM_THREADS='1')
    return subprocess.Popen(
        [sys.executable, *launcher, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )


def last(folder):
    """Return the checkpoint that a run continues from."""
    return torch.load((folder / 'last_checkpoint').read_text(), weights_only=False)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Train without a fault; return the weights."""
    runner = make_noisy(tmp_path_factory.mktemp('whole'), 2, **OPTIONS)
    runner.train()
    return runner.model.state_dict()


# four iterations an epoch, and a checkpoint and an evaluation after each
@pytest.mark.parametrize(
    'place,iteration,saved',
    [
        pytest.param(
            'write', 5, 4, marks=pytest.mark.tries('SIGKILL while a checkpoint is written')
        ),
        pytest.param('pointer', 5, 4, marks=pytest.mark.tries('SIGKILL between a checkpoint')),
        pytest.param('forward', 5, 4, marks=IN_A_STEP),
        pytest.param('backward', 6, 4, marks=IN_A_STEP),
        pytest.param('step', 7, 4, marks=IN_A_STEP),
        pytest.param(
            'remove',
            5,
            8,
            marks=[pytest.mark.faults, pytest.mark.tries('SIGKILL before the older checkpoint')],
        ),
        pytest.param(
            'evaluation',
            1,
            4,
            marks=[pytest.mark.faults, pytest.mark.tries('SIGKILL in an evaluation')],
        ),
    ],
)
def test_a_kill_costs_the_work_since_the_last_save(tmp_path, whole, place, iteration, saved):
    arguments = (2, json.dumps(OPTIONS), json.dumps(dict(place=place, iteration=iteration)))
    run_program(PROGRAM, tmp_path, *arguments, folder=tmp_path, status=-9)
    assert last(tmp_path)['meta']['iter'] == saved
    # locks and unfinished files of the dead run are no hindrance
    runner = make_noisy(tmp_path, 2, **OPTIONS, resume=True)
    runner.train()
    assert last(tmp_path)['meta']['iter'] == 8
    assert all(value.equal(whole[name]) for name, value in runner.model.state_dict().items())
    assert [path for path in tmp_path.iterdir() if path.suffix == '.partial'] == []
    assert (tmp_path / 'epoch_2.pth').is_file() and not (tmp_path / 'epoch_1.pth').exists()


def processes_of(folder):
    """List the processes that have a folder on their command line."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if str(folder) in path.read_text():
                found.append(path.parent.name)
        except OSError:
            pass
    return found


@pytest.mark.tries('one of several processes is killed')
@ON_CPUS
@pytest.mark.faults
@pytest.mark.parametrize('rank', [0, 1])
@pytest.mark.parametrize('place', ['backward', 'evaluation'])
def test_a_lost_process_ends_the_others(tmp_path, rank, place):
    # two iterations an epoch
    fault = dict(place=place, iteration=2, rank=rank)
    begin = time.monotonic()
    with start(tmp_path, fault, processes=2) as run:
        _, error = run.communicate(timeout=120)
    # torchrun waits for the others for 30 seconds at most
    assert time.monotonic() - begin < 90
    assert run.returncode == 137, error
    assert [line for line in error.splitlines() if line.startswith('error')] == [
        f'error: process {rank} was ended by SIGKILL'
    ]
    assert 'Traceback' not in error
    assert processes_of(tmp_path) == []
    assert last(tmp_path)['meta']['iter'] == 2


@pytest.mark.tries('one of several processes meets an error')
@ON_CPUS
@pytest.mark.faults
@pytest.mark.parametrize('rank', [0, 1])
@pytest.mark.parametrize(
    'place,error',
    [('data', 'mistake'), ('evaluation', 'mistake'), ('forward', 'bug'), ('evaluation', 'bug')],
)
def test_an_error_of_one_process_ends_the_others(tmp_path, place, error, rank):
    fault = dict(place=place, iteration=0 if place == 'data' else 2, rank=rank, error=error)
    begin = time.monotonic()
    # with a worker, which meets an error of the data and has to end with the rest
    with start(tmp_path, fault, 2, dict(OPTIONS, workers=1)) as run:
        _, said = run.communicate(timeout=120)
    assert time.monotonic() - begin < 90
    assert run.returncode == 1, said
    assert 'gloo' not in said and 'has ended' not in said
    if error == 'mistake':
        process = f'process {rank}: ' if rank else ''
        assert said.splitlines()[-1] == f'error: {process}only here'
        assert 'Traceback' not in said
    else:
        assert said.count('Traceback') == 1
        assert f'[rank{rank}]: ValueError: only here' in said
    assert processes_of(tmp_path) == []


@pytest.mark.tries('a signal to one process')
@ON_CPUS
@pytest.mark.faults
def test_a_signal_to_one_process_stops_all_at_one_step(tmp_path):
    nothing = dict(place='none', iteration=0)
    fault = dict(place='after', iteration=0, rank=1, number=10)
    for folder, what, status in (
        ('whole', nothing, 0),
        ('stopped', fault, 138),
        ('stopped', nothing, 0),
    ):
        options = dict(OPTIONS, resume=(tmp_path / folder).exists())
        with start(tmp_path / folder, what, 2, options) as run:
            output, error = run.communicate()
        assert run.returncode == status, error
        assert 'Traceback' not in error and 'Grad strides' not in error
        assert output.count('stopped by SIGUSR1') == bool(status)
        if status:
            saved = last(tmp_path / folder)
            # of each process its own
            assert saved['meta']['iter'] == 1 and len(saved['run_state']['random']) == 2
    assert 'resumed exactly' in output
    first, second = (last(tmp_path / name)['state_dict'] for name in ('whole', 'stopped'))
    assert all(first[name].equal(second[name]) for name in first)


@pytest.mark.tries('resumed with another batch size or number of processes')
@ON_CPUS
@pytest.mark.faults
def test_one_process_continues_what_two_began(tmp_path):
    fault = dict(place='after', iteration=0, number=10)
    with start(tmp_path, fault, 2) as run:
        _, error = run.communicate()
    assert run.returncode == 138, error
    runner = make_noisy(tmp_path, 1, **OPTIONS, resume=True)
    runner.train()
    log = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    reasons = 'the number of processes was 2 and is 1; the number of batches was 2 and is 4'
    assert f'resumed, but not exactly: {reasons}\n' in log
    # half of the epoch was done, and half of it is left
    assert 'Epoch(train) [1][3/4]' in log and 'Epoch(train) [1][2/4]' not in log
    assert last(tmp_path)['meta']['epoch'] == 1


@pytest.mark.tries('a signal to one process')
@ON_CPUS
@pytest.mark.faults
def test_a_signal_to_torchrun_stops_all(tmp_path):
    # long enough to be reached, and with workers, which are in the same process group
    options = dict(workers=1, checkpoint=dict(interval=99))
    with start(tmp_path, dict(place='none', iteration=0), 2, options, length=99) as run:
        for line in run.stdout:
            if 'Epoch(train)' in line:
                run.send_signal(10)
                break
        output, error = run.communicate(timeout=120)
    assert run.returncode == 138, error
    assert 'stopped by SIGUSR1' in output and 'Traceback' not in error
    assert (tmp_path / 'stopped.pth').is_file()
