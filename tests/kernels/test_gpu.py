"""`make test-gpu` where something is missing; what it tests is beside it."""

import os
import runpy
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from sparx_mm.kernels import dispatch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def gpu():
    """Return the names in the script."""
    return runpy.run_path(str(ROOT / 'tests' / 'kernels' / 'gpu.py'))


def make(**environment):
    return subprocess.run(
        ['make', '--no-print-directory', 'test-gpu'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


def test_no_gpu_is_no_success():
    done = make(PYTHON=sys.executable, CUDA_VISIBLE_DEVICES='')
    assert done.returncode and not done.stdout
    line, from_make = done.stderr.splitlines()
    assert line.startswith('error: ') and 'finds no GPU' in line
    # a make within make has its depth in its name
    assert from_make.startswith('make')


@pytest.mark.parametrize('name', ['torch', 'triton', 'pytest'])
def test_what_is_missing_is_named(name, gpu, monkeypatch):
    find_spec = gpu['importlib'].util.find_spec
    monkeypatch.setattr(
        gpu['importlib'].util, 'find_spec', lambda n: None if n == name else find_spec(n)
    )
    assert f'{sys.executable} has no {name};' in gpu['what_is_missing']()


def test_gpu_without_kernels_is_no_success(gpu, monkeypatch):
    """Else all tests would be left out."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(dispatch, 'missing_triton', lambda: 'no luck')
    assert gpu['what_is_missing']() == 'no luck'


@pytest.mark.parametrize('status', [0, 1])
def test_tests_and_then_memory(status, gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(dispatch, 'missing_triton', lambda: '')
    # whatever the shell says, neither the interpreter nor another backend
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    monkeypatch.setenv('SPARX_MM_KERNELS', 'torch')
    ran = []

    def call(command, **options):
        ran.append(command[1:3])
        assert 'TRITON_INTERPRET' not in os.environ
        assert os.environ['SPARX_MM_KERNELS'] == 'triton'
        return status

    monkeypatch.setattr(gpu['subprocess'], 'call', call)
    names = gpu['main'].__globals__
    monkeypatch.setitem(names, 'share_out', lambda: ['-n', '4'])
    monkeypatch.setitem(names, 'memcheck', lambda: 86)
    assert gpu['main']() == (status or 86)
    assert ran == [['-m', 'pytest']]


# cores, GiB of the card, workers: as many as both allow
@pytest.mark.parametrize(
    'cores, memory, options',
    [
        (16, 79, ['-n', '9', '--dist', 'loadgroup']),
        (4, 79, ['-n', '4', '--dist', 'loadgroup']),
        (16, 8, []),
    ],
)
def test_workers(cores, memory, options, gpu, monkeypatch):
    card = types.SimpleNamespace(total_memory=memory << 30)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda device: card)
    monkeypatch.setattr(os, 'cpu_count', lambda: cores)
    assert gpu['share_out']() == options
    monkeypatch.setattr(gpu['importlib'].util, 'find_spec', lambda name: None)
    assert gpu['share_out']() == []


def test_the_tests_are_there(gpu):
    assert all((ROOT / test).exists() for test in gpu['TESTS'])


@pytest.fixture
def sanitizer(tmp_path, monkeypatch):
    """Return a function that writes the program compute-sanitizer."""
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')

    def write(*lines):
        path = tmp_path / 'compute-sanitizer'
        path.write_text('\n'.join(['#!/bin/sh', *lines]))
        path.chmod(0o755)

    return write


def test_memcheck_without_the_program(gpu, monkeypatch, capsys):
    monkeypatch.setattr(gpu['shutil'], 'which', lambda name: None)
    assert gpu['memcheck']() == 0
    assert 'there is no compute-sanitizer' in capsys.readouterr().out


def test_memcheck_on_a_machine_that_forbids_it(gpu, sanitizer, capsys):
    sanitizer('echo no', 'echo permission', 'exit 1')
    assert gpu['memcheck']() == 0
    assert 'does not run on this machine; it says: no permission' in (capsys.readouterr().out)


def test_memcheck_of_the_selftest(gpu, sanitizer, capfd):
    sanitizer('case "$*" in *selftest)', 'echo "$PYTORCH_NO_CUDA_MEMORY_CACHING $*"; exit 86; esac')
    assert gpu['memcheck']() == 86
    assert capfd.readouterr().out == (
        f'1 --tool memcheck --error-exitcode 86 {sys.executable} -m sparx_mm.info --selftest\n'
    )
