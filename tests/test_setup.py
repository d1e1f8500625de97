"""setup.cfg and the Makefile agree with what they name."""

import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from make_env import FOLDERS, requirements
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PINNED = dict(
    onedl='onedl-mmcv onedl-mmdetection onedl-mmengine onedl-mmsegmentation',
    openmmlab='mmcv mmdet mmengine mmsegmentation',
)


def make(*arguments):
    command = ['make', '--no-print-directory', *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def needs(distribution, name):
    """Return the installed distribution's requirements of a name, without markers."""
    found = map(Requirement, metadata.requires(distribution))
    return [f'{name}{need.specifier}' for need in found if need.name == name]


@pytest.mark.parametrize('stack', FOLDERS)
def test_a_stack_pins_its_packages(stack):
    names = [line.split('==')[0] for line in requirements(stack) if '==' in line]
    assert names == PINNED[stack].split()
    # because its wheels ask for one torch
    assert 'torchvision' not in ' '.join(requirements(stack) + requirements('dev'))


def test_pins_are_those_of_torch():
    (torch,) = [line for line in requirements('build') if line.startswith('torch')]
    (triton,) = [line for line in requirements('dev') if line.startswith('triton')]
    for pin in (torch, triton, *requirements('pretrain'), *requirements('rotate')):
        name, version = pin.split('==')
        assert metadata.version(name).split('+')[0] == version
    assert needs('torchvision', 'torch') == [torch]
    # torch for the CPU asks for none
    assert needs('torch', 'triton') in ([], [triton])
    # and is new enough for users
    (floor,) = map(Requirement, requirements('triton'))
    assert metadata.version('triton') in floor.specifier


def test_make_help_lists_the_targets():
    listed = [line.split()[0] for line in make('help').splitlines()]
    phony = re.search(r'\.PHONY: (.*)', (ROOT / 'Makefile').read_text())
    assert listed == phony[1].split()
    assert {'setup', 'demo', 'test', 'test-fast', 'lint'} < set(listed)


def test_slow_folders_and_files_are_there():
    table = re.search(r'^SLOW = (.*?)^}', (ROOT / 'tests/conftest.py').read_text(), re.M | re.S)
    names = re.findall("'(.*)'", table[1])
    assert 'end_to_end' in names
    assert all((ROOT / 'tests' / name).exists() for name in names)


@pytest.mark.slow
def test_fast_tests_are_those_not_marked_slow():
    options = re.search(r"bin/pytest -n 2 (-m '.*') tests", make('-n', 'test-fast'))[1]
    command = f'{sys.executable} -m pytest -q --collect-only {options}'
    files = ('tests/test_readme.py', 'tests/end_to_end/test_demo.py')
    done = subprocess.run([*shlex.split(command), *files], cwd=ROOT, capture_output=True, text=True)
    collected = {line.split('::')[0] for line in done.stdout.splitlines() if '::' in line}
    assert collected == {files[0]}, done.stdout


def test_lint_reads_the_docstrings_of_all_but_configs_and_tests():
    (folders,) = re.findall('check_docstrings.py (.*)', make('-n', 'lint'))
    assert folders == 'sparx_mm kernels tools benchmarks scripts setup.py'


def test_the_original_stack_has_a_suite():
    commands = make('-n', 'test-openmmlab')
    assert 'scripts/make_env.py openmmlab' in commands
    assert '.venv-openmmlab/bin/pytest -n 2 -m stack' in commands
    assert '.venv/' not in commands
