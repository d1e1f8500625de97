"""`make setup` makes one environment for each stack, and signs it last."""

import os
import re
import subprocess
import sys
from pathlib import Path

import make_env
import pytest
from make_env import FOLDERS, MORE, Environment, requirements, run_env

ROOT = Path(__file__).resolve().parents[2]
STACKS = pytest.mark.parametrize('stack', FOLDERS)


def test_each_stack_has_its_own_environment():
    ours, original = map(Environment, FOLDERS)
    assert (ours.folder, original.folder) == (ROOT / '.venv', ROOT / '.venv-openmmlab')
    assert ours.mmcv.startswith('onedl-mmcv==') and original.mmcv.startswith('mmcv==')
    assert set(ours.extras) ^ set(original.extras) == {*FOLDERS, *MORE['onedl']}
    ignored = (ROOT / '.gitignore').read_text().splitlines()
    makefile = (ROOT / 'Makefile').read_text()
    (clean,) = re.findall(r'rm -rf (.* build .*)', makefile)
    for folder in FOLDERS.values():
        for name in (folder, f'{folder}.old'):
            assert f'/{name}/' in ignored and name in clean.split()
        assert f'. {folder}/run.env &&' in makefile


@STACKS
def test_the_stamp_follows_requirements_and_compiler(stack, monkeypatch):
    def stamp(*machine):
        return Environment(stack).wanted_stamp(*machine)

    before = stamp([], '')
    assert before == stamp([], '') != stamp(['H200'], '') != stamp(['H200'], '13.0')
    (other,) = set(FOLDERS) - {stack}
    for changed in ('install_requires', *Environment(stack).extras, other):
        monkeypatch.setattr(
            make_env, 'requirements', lambda name: requirements(name) + ['more'] * (name == changed)
        )
        assert (before == stamp([], '')) == (changed == other)


def test_the_stamp_follows_the_version_and_not_the_code(tmp_path, monkeypatch):
    def stamp(text):
        (tmp_path / '__init__.py').write_text(text)
        return Environment('onedl').wanted_stamp([], '')

    monkeypatch.setattr(make_env, 'PACKAGE', tmp_path / '__init__.py')
    before = stamp("__version__ = '0.1.0'\n")
    assert before == stamp("__version__ = '0.1.0'\nother = 1\n")
    assert before != stamp("__version__ = '0.2.0'\n")


def test_an_unfinished_venv_is_not_taken(tmp_path, monkeypatch):
    environment = Environment('openmmlab')
    environment.stamp = tmp_path / 'stamp'
    environment.python = sys.executable
    monkeypatch.delenv('PYTHON', raising=False)
    assert not environment.is_finished('wanted')
    environment.stamp.write_text('wanted')
    assert environment.is_finished('wanted')
    assert not environment.is_finished('other')
    # another Python matters only if the user asks for it
    monkeypatch.setattr(make_env.platform, 'python_version', lambda: '3.10.99')
    assert environment.is_finished('wanted')
    monkeypatch.setenv('PYTHON', 'python3.10')
    assert not environment.is_finished('wanted')
    monkeypatch.delenv('PYTHON')
    environment.python = str(tmp_path / 'gone')
    assert not environment.is_finished('wanted')


@pytest.fixture
def set_up(machine, tmp_path, monkeypatch):
    """Run the script in a folder; return its environment and what that ran."""
    (tmp_path / 'setup.cfg').write_text((ROOT / 'setup.cfg').read_text())
    made, commands, fails = [], [], []

    class Recorded(Environment):
        def __init__(self, stack):
            super().__init__(stack)
            made.append(self)

        def run(self, *arguments):
            commands.append(arguments)
            if set(fails) & set(arguments):
                make_env.fail(f'{fails} failed')

        def describe_torch(self):
            return '2.13.0+cpu', '', ''

    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(make_env, 'ROOT', tmp_path)
    monkeypatch.setattr(make_env, 'Environment', Recorded)
    monkeypatch.setattr(make_env, 'mmcv_wheel', lambda *arguments: ' '.join(arguments[1:]))
    # venv itself, which takes long and is Python's
    monkeypatch.setattr(make_env.subprocess, 'call', lambda command: Path(command[-1]).mkdir())

    def run(*stack, failing=()):
        fails[:] = failing
        commands.clear()
        monkeypatch.setattr(sys, 'argv', ['make_env.py', *stack])
        make_env.main()
        return made[-1], list(commands)

    return run


@STACKS
def test_set_up_installs_one_stack_and_signs_last(stack, set_up, tmp_path, monkeypatch, capsys):
    made, commands = set_up(stack)
    assert made.folder == tmp_path / FOLDERS[stack]
    build, packages, opencv = [arguments for arguments in commands if 'install' in arguments]
    assert 'torch==2.13.0' in build
    extras = ','.join(made.extras)
    assert packages[-3:] == (f'{made.mmcv} 2.13.0+cpu ', '--editable', f'{tmp_path}[{extras}]')
    assert opencv[-1].startswith('opencv-python-headless')
    assert made.run_env.read_text() == ''
    assert made.stamp.read_text() == made.wanted_stamp([], '')
    said = capsys.readouterr().out
    begun = re.findall(r'^setup: step (\d) of 5: (.*)', said, re.M)
    timed = re.findall(r'^setup: (\d)\. +\d+:\d\d  (.*)', said, re.M)
    assert begun == timed and [int(number) for number, _ in begun] == [1, 2, 3, 4, 5]
    assert said.index('done in') > said.index(timed[-1][1])
    # not a second time
    monkeypatch.setattr(type(made), 'is_finished', lambda *_: True)
    assert set_up(stack)[1] == []


def test_a_failed_set_up_of_the_default_stack_is_not_signed(set_up, tmp_path):
    with pytest.raises(SystemExit, match='uninstall.* failed'):
        set_up(failing=['uninstall'])
    assert list((tmp_path / '.venv').iterdir()) == []


@pytest.fixture
def before(tmp_path):
    """Make an environment of before, and return a file in it and that file when it is set aside."""
    (tmp_path / '.venv').mkdir()
    (tmp_path / '.venv/setup.stamp').write_text('of before')
    (tmp_path / '.venv/works').touch()
    return tmp_path / '.venv/works', tmp_path / '.venv.old/works'


def test_a_finished_set_up_deletes_the_environment_of_before(set_up, before):
    made, _ = set_up()
    assert made.stamp.read_text() == made.wanted_stamp([], '')
    assert not any(works.exists() for works in before) and not made.old.exists()


@pytest.mark.parametrize('error', [SystemExit('failed'), KeyboardInterrupt()])
def test_a_set_up_that_ends_early_puts_the_environment_of_before_back(
    set_up, before, monkeypatch, error, capsys
):
    works, aside = before

    def stop(*arguments):
        assert aside.exists() and not works.exists()
        raise error

    monkeypatch.setattr(make_env, 'mmcv_wheel', stop)
    with pytest.raises(type(error)):
        set_up()
    assert works.exists() and not aside.parent.exists()
    assert works.with_name('setup.stamp').read_text() == 'of before'
    assert '.venv is again the one of before' in capsys.readouterr().out


@pytest.mark.parametrize('signed', [False, True])
def test_after_a_killed_set_up_the_finished_environment_counts(set_up, before, monkeypatch, signed):
    """The new one if it was signed, and the other was being deleted, else the one of before."""
    works, aside = before
    works.parent.rename(aside.parent)
    works.parent.mkdir()
    if signed:
        works.with_name('setup.stamp').touch()
    # not the first time, before the lock
    answers = iter([False, True])
    monkeypatch.setattr(Environment, 'is_finished', lambda *_: next(answers))
    assert set_up()[1] == []
    assert works.exists() != signed and not aside.parent.exists()


def test_an_environment_that_cannot_be_renamed_is_cleared(set_up, before, monkeypatch):
    """As by venv, whose option that is: a volume, or a link to another disk."""
    works, aside = before
    cleared = []

    def venv(command):
        cleared.append('--clear' in command and works.exists() and not aside.exists())

    monkeypatch.setattr(make_env.subprocess, 'call', venv)
    with monkeypatch.context() as patch:
        patch.setattr(make_env.os, 'rename', lambda *_: os.stat('/nowhere'))
        set_up()
    works.parent.rename(works.parent.with_name('elsewhere'))
    works.parent.symlink_to('elsewhere')
    works.with_name('setup.stamp').write_text('of before')
    set_up()
    assert cleared == [True, True] and works.parent.is_symlink()


def test_a_clone_that_cannot_be_written(set_up, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr(make_env, 'open', refuse, raising=False)
    with pytest.raises(SystemExit, match='^setup: error: .*: Permission denied; use a clone of'):
        set_up()
    # suffices where the environment is finished
    monkeypatch.setattr(Environment, 'is_finished', lambda *_: True)
    assert set_up()[1] == []


def test_an_environment_that_another_set_up_finished_meanwhile_is_taken(set_up, monkeypatch):
    answers = iter([False, True])
    monkeypatch.setattr(Environment, 'is_finished', lambda *_: next(answers))
    assert set_up()[1] == []


def test_a_cache_that_cannot_be_made_ends_set_up_before_it_installs(set_up, tmp_path):
    (tmp_path / 'cache').touch()
    with pytest.raises(SystemExit, match=f'kept in {tmp_path}/cache/.*: Not a directory; name a'):
        set_up()
    assert not (tmp_path / '.venv').exists()


def test_a_stack_that_is_not_there(set_up, capsys):
    with pytest.raises(SystemExit) as stopped:
        set_up('mmlab')
    (line,) = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert line.startswith('error: ') and "'onedl', 'openmmlab'" in line


def test_a_gpu_that_mmcv_cannot_use_is_hidden_and_that_is_said():
    assert run_env('') == ''
    script = run_env('there is a GPU, but it\'s "$HOME"')
    done = subprocess.run(
        ['sh', '-c', f'{script}echo "<${{CUDA_VISIBLE_DEVICES-unset}}>"'],
        capture_output=True,
        text=True,
    )
    assert done.stdout == ('on the CPU: there is a GPU, but it\'s "$HOME"\n<>\n')
