"""`make setup` finds what the machine has, or says in one line what it lacks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from console import output
from machine import base_python, find_gpus, usable_cores, usable_memory, why_on_cpu
from make_env import Environment

SCRIPT = Path(__file__).resolve().parents[2] / 'scripts/make_env.py'
GPU = 'GPU 0: NVIDIA H200 (UUID: GPU-0)'
NVCC = 'Cuda compilation tools, release 13.0, V13.0.88'


def check(code=''):
    """Run the script's --check, after some code."""
    start = (
        f'import runpy, sys; sys.argv = [{str(SCRIPT)!r}, "--check"]\n'
        f'{code}\nrunpy.run_path(sys.argv[0], run_name="__main__")'
    )
    environment = {**os.environ, 'PYTHONPATH': str(SCRIPT.parent)}
    return subprocess.run(
        [sys.executable, '-c', start], capture_output=True, text=True, env=environment
    )


def error_of(done):
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith('setup: error: ')
    return line


@pytest.mark.parametrize(
    'driver, nvcc, message',
    [
        (None, None, 'for the CPU: there is no GPU'),
        ('No devices were found', NVCC, 'for the CPU: there is no GPU'),
        (GPU, None, 'for the CPU: there is a GPU, but no nvcc; to use it, install'),
        (GPU, NVCC, 'for the GPU (CUDA 13.0)'),
    ],
)
def test_what_the_operators_are_made_for(machine, monkeypatch, driver, nvcc, message):
    if driver:
        machine('nvidia-smi', driver)
    if nvcc:
        machine('nvcc', nvcc)
        monkeypatch.delenv('CUDA_HOME')
    done = check()
    assert done.returncode == 0, done.stderr
    assert message in done.stdout


@pytest.mark.parametrize(
    'gpus, nvcc, cuda, reason',
    [
        ([], '13.0', '13.0', 'there is no GPU'),
        ([GPU], '13.0', '', 'torch cannot use it'),
        ([GPU], '', '13.0', 'no nvcc; to use it, install the CUDA toolkit 13.0'),
        ([GPU], '12.4', '13.0', 'nvcc is of CUDA 12.4'),
        ([GPU], '13.1', '13.0', ''),
    ],
)
def test_why_on_cpu(gpus, nvcc, cuda, reason):
    found = why_on_cpu(gpus, nvcc, cuda)
    assert reason in found and bool(reason) == bool(found)


def test_architectures_that_the_user_names(machine, monkeypatch, capsys):
    """An image is built without a GPU, for the GPUs that will run it."""
    monkeypatch.setenv('SPARX_MM_CUDA_ARCHS', '8.0, 9.0')
    assert 'SPARX_MM_CUDA_ARCHS asks for operators for a GPU, but no nvcc' in error_of(check())
    machine('nvcc', NVCC)
    monkeypatch.delenv('CUDA_HOME')
    assert 'for the GPU (CUDA 13.0)' in check().stdout
    assert find_gpus() == ['architectures 8.0;9.0']
    # the code that the environment's Python runs
    monkeypatch.setattr('make_env.output', lambda *command: exec(command[-1]) or 'a\nb\nc')
    Environment('onedl').describe_torch()
    assert capsys.readouterr().out.split('\n')[2] == '8.0;9.0'


def test_one_gpu_is_as_good_as_another(machine):
    machine('nvidia-smi', GPU)
    assert find_gpus() == ['NVIDIA H200']
    machine('nvidia-smi', 'GPU 0: NVIDIA H200 (UUID: GPU-1)\nGPU 1: NVIDIA H200')
    assert find_gpus() == ['NVIDIA H200']


def test_all_that_is_missing_is_in_one_line(machine):
    machine('g++').unlink()
    line = error_of(
        check(
            'import sysconfig, importlib.util\n'
            'sysconfig.get_path = lambda name: "/nowhere"\n'
            'importlib.util.find_spec = lambda name: None'
        )
    )
    python = 'python{}.{}'.format(*sys.version_info)
    assert 'not found: g++ Python.h ensurepip;' in line
    assert f'"apt install g++ {python}-dev {python}-venv"' in line
    assert f'"dnf install gcc-c++ {python}-devel {python}-libs"' in line


def test_another_system(machine):
    line = error_of(check('sys.platform = "darwin"'))
    assert 'this machine runs darwin, and set-up needs Linux' in line


@pytest.mark.parametrize('version', [(3, 9, 18), (3, 13, 0)])
def test_wrong_python(version, machine, monkeypatch):
    code = f'sys.version_info = {version}'
    assert 'no other is on the PATH' in error_of(check(code))
    monkeypatch.setenv('PYTHON', 'python3')
    assert 'PYTHON must be one of 3.10, 3.11 and 3.12' in error_of(check(code))


def test_a_python_that_fits_is_taken(machine):
    # as pyenv's, which exist and fail
    machine('python3.12', status=127)
    machine('python3.10', 'taken')
    done = check('sys.version_info = (3, 13, 0)')
    assert (done.returncode, done.stdout) == (0, 'taken\n')


def test_the_environment_that_set_up_runs_in_can_be_made_anew(monkeypatch):
    """By the Python that it was made with, which stays where it is."""
    monkeypatch.setattr(sys, 'executable', '/clone/.venv/bin/python')
    monkeypatch.setattr(sys, 'prefix', '/clone/.venv')
    version = output(base_python(), '-c', 'import sys; print(sys.version, sys.prefix)')
    assert version.strip() == f'{sys.version} {sys.base_prefix}'
    # outside of an environment it is the one that was started
    monkeypatch.setattr(sys, 'prefix', sys.base_prefix)
    assert base_python() == sys.executable


@pytest.mark.parametrize(
    'files, cores, gibibytes',
    [
        ({}, 16, 64),
        ({'cpu.max': 'max 100000', 'memory.max': 'max'}, 16, 64),
        ({'cpu.max': '250000 100000', 'memory.max': str(8 << 30)}, 2, 8),
        ({'cpu.max': '50000 100000'}, 1, 64),
        ({'cpu.max': '6400000 100000', 'memory.max': str(128 << 30)}, 16, 64),
        ({'memory/memory.limit_in_bytes': str(4 << 30)}, 16, 4),
        # the first version's word for no limit
        ({'memory/memory.limit_in_bytes': '9223372036854771712'}, 16, 64),
    ],
)
def test_a_container_limits_cores_and_memory(tmp_path, monkeypatch, files, cores, gibibytes):
    (tmp_path / 'memory').mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(f'{text}\n')
    monkeypatch.setattr('machine.CGROUP', tmp_path)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda process: range(16))
    sizes = {'SC_PAGE_SIZE': 4096, 'SC_PHYS_PAGES': (64 << 30) // 4096}
    monkeypatch.setattr(os, 'sysconf', sizes.get)
    assert usable_cores() == cores
    assert usable_memory() == gibibytes << 30
