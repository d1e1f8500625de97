"""The Dockerfile takes the steps of the set-up, and docs/install.md describes it."""

import re
import shlex
from pathlib import Path

import machine
import pytest
from make_env import requirements

ROOT = Path(__file__).resolve().parents[1]
INSTALL = (ROOT / 'docs/install.md').read_text()


@pytest.fixture(scope='module')
def steps():
    """Return the instructions of the Dockerfile, as pairs of a word and the rest."""
    text = re.sub(r'^#.*\n', '', (ROOT / 'Dockerfile').read_text(), flags=re.M)
    lines = text.replace('\\\n', ' ').splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


@pytest.fixture
def runs(steps):
    """Return the commands of all RUN instructions, as lists of words."""
    text = ' && '.join(rest for word, rest in steps if word == 'RUN')
    return [
        [word for word in shlex.split(command) if not word.startswith('--mount')]
        for command in text.split('&&')
    ]


@pytest.fixture
def packages(runs):
    (install,) = (run for run in runs if run[:2] == ['apt-get', 'install'])
    return {word for word in install[2:] if not word.startswith('-')}


@pytest.fixture
def wanted(monkeypatch, tmp_path):
    """Return the packages that set-up asks for where none is there, with Python 3.12."""
    with monkeypatch.context() as patch:
        patch.setattr(machine.sys, 'version_info', (3, 12))
        patch.setattr(machine.shutil, 'which', lambda name: None)
        patch.setattr(machine.sysconfig, 'get_path', lambda name: str(tmp_path))
        patch.setattr(machine.importlib.util, 'find_spec', lambda name: None)
        with pytest.raises(SystemExit) as stopped:
            machine.check_build_tools()
    return set(re.search('apt install (.*?)"', str(stopped.value))[1].split())


def test_packages_are_those_that_set_up_asks_for(packages, wanted):
    assert packages == wanted | {'ca-certificates', 'git', 'make', 'python3.12'}


def test_the_page_names_the_same_packages(packages):
    named = set(re.search(r'^sudo apt install (.*)', INSTALL, re.M)[1].split())
    assert packages == named | {'ca-certificates', 'python3.12'}


def test_the_image_is_made_by_make_setup(runs, steps):
    makes = [run for run in runs if run[0] == 'make']
    assert makes == [['make', 'setup']] and runs[-1] == makes[0]
    # nothing else installs
    assert not [run for run in runs if 'pip' in run]
    words = [word for word, _ in steps]
    assert words.index('COPY') < len(words) - words[::-1].index('RUN')


def test_python_is_supported(steps):
    variables = dict(rest.split('=', 1) for word, rest in steps if word == 'ENV')
    (version,) = re.findall(r'^python(\d+)\.(\d+)$', variables['PYTHON'])
    assert tuple(map(int, version)) in machine.SUPPORTED
    folder = next(rest for word, rest in steps if word == 'WORKDIR')
    assert variables['PATH'].startswith(f'{folder}/.venv/bin:')


def test_variants(steps):
    """Those of the page, each with the GPU architectures of set-up's variable."""
    stages = [rest.partition(' AS ') for word, rest in steps if word == 'FROM']
    *variants, (final, _, _) = stages
    assert final == 'base-${VARIANT}'
    named = {'cpu', *re.findall(r'VARIANT=(\w+)', INSTALL)}
    assert {name for _, _, name in variants} == {f'base-{variant}' for variant in named}
    given = [rest for word, rest in steps if word == 'ENV' and rest.startswith(machine.ARCHS)]
    assert given == [f'{machine.ARCHS}=', f'{machine.ARCHS}=${{CUDA_ARCHS}}']
    (default,) = (rest for word, rest in steps if rest.startswith('CUDA_ARCHS='))
    assert f'`{shlex.split(default)[0].partition("=")[2]}`' in INSTALL


def test_the_torch_that_nvcc_was_chosen_for():
    """Another torch may be made with another CUDA: look which, then change both."""
    (torch,) = (line for line in requirements('build') if line.startswith('torch'))
    assert f'that {torch.replace("==", " ")} is made with' in (ROOT / 'Dockerfile').read_text()


def test_the_number_of_compilers_can_be_given(steps):
    """As a build's argument, which the instructions below it see as a variable."""
    given = steps.index(('ARG', 'MAX_JOBS'))
    assert 'make setup' in ' '.join(rest for word, rest in steps[given:] if word == 'RUN')
    assert '`--build-arg MAX_JOBS=' in INSTALL


def test_nothing_that_git_ignores_is_copied():
    ignored = (ROOT / '.dockerignore').read_text().splitlines()
    for line in (ROOT / '.gitignore').read_text().splitlines():
        if line and not line.startswith('#'):
            name = line.strip('/')
            assert name in ignored or f'**/{name}' in ignored, line
