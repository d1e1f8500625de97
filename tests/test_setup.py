"""What `make setup` checks and decides, without installing anything."""

import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The modules of scripts/ find one another as they do for its script."""
    monkeypatch.syspath_prepend(ROOT / 'scripts')


def program(folder, name, prints=''):
    """Write a program that prints something."""
    path = folder / name
    path.write_text(f'#!/bin/sh\ncat <<EOF\n{prints}\nEOF\n')
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A folder that is all of the PATH, with a g++."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    program(folder, 'g++')
    (folder / 'cat').symlink_to(shutil.which('cat'))
    monkeypatch.setenv('PATH', str(folder))
    # nor a compiler in /usr/local/cuda
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    for name in ('CUDA_PATH', 'PYTHON'):
        monkeypatch.delenv(name, raising=False)
    return folder


def check(code=''):
    """Run the script's --check, after some code."""
    script = ROOT / 'scripts' / 'make_env.py'
    start = (
        f'import runpy, sys; sys.argv = [{str(script)!r}, "--check"]\n'
        f'{code}\nrunpy.run_path(sys.argv[0], run_name="__main__")'
    )
    return subprocess.run(
        [sys.executable, '-c', start],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(script.parent)},
    )


def only_line(done):
    """The one line of an error."""
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith('setup: error: ')
    return line


def test_nothing_missing(machine):
    done = check()
    assert done.returncode == 0, done.stderr
    assert 'for the CPU: there is no GPU' in done.stdout


def test_missing_compiler(machine):
    (machine / 'g++').unlink()
    line = only_line(check())
    assert 'not found: g++;' in line
    assert '"apt install g++"' in line and '"dnf install gcc-c++"' in line


def test_all_that_is_missing_is_in_one_line(machine):
    (machine / 'g++').unlink()
    line = only_line(
        check(
            'import sysconfig, importlib.util\n'
            'sysconfig.get_path = lambda name: "/nowhere"\n'
            'importlib.util.find_spec = lambda name: None'
        )
    )
    version = '{}.{}'.format(*sys.version_info)
    assert 'not found: g++ Python.h ensurepip;' in line
    assert f'"apt install g++ python{version}-dev python{version}-venv"' in line


@pytest.mark.parametrize('version', [(3, 9, 18), (3, 13, 0)])
def test_wrong_python(version, machine, monkeypatch):
    code = (
        f'sys.version_info = {version}; import platform\nplatform.python_version = lambda: "x.y.z"'
    )
    assert 'no other is on the PATH' in only_line(check(code))
    monkeypatch.setenv('PYTHON', 'python3')
    assert 'PYTHON must be one of 3.10, 3.11 and 3.12' in only_line(check(code))


def test_a_python_that_fits_is_taken(machine):
    # as pyenv's, which exist and fail
    (machine / 'python3.12').write_text('#!/bin/sh\nexit 127\n')
    (machine / 'python3.12').chmod(0o755)
    program(machine, 'python3.10', 'taken')
    done = check('sys.version_info = (3, 13, 0)')
    assert (done.returncode, done.stdout) == (0, 'taken\n')


GPU = 'GPU 0: NVIDIA H200 (UUID: GPU-0)'
NVCC = 'Cuda compilation tools, release 13.0, V13.0.88'


def test_gpu_without_nvcc(machine):
    program(machine, 'nvidia-smi', GPU)
    assert 'there is a GPU, but no nvcc; to use it, install' in check().stdout


def test_gpu_with_nvcc(machine, monkeypatch):
    program(machine, 'nvidia-smi', GPU)
    program(machine, 'nvcc', NVCC)
    monkeypatch.delenv('CUDA_HOME')
    assert 'for the GPU (CUDA 13.0)' in check().stdout


def test_one_gpu_is_as_good_as_another(machine):
    from machine import find_gpus

    program(machine, 'nvidia-smi', GPU)
    assert find_gpus() == ['NVIDIA H200']
    program(machine, 'nvidia-smi', 'GPU 0: NVIDIA H200 (UUID: GPU-1)\nGPU 1: NVIDIA H200')
    assert find_gpus() == ['NVIDIA H200']


def test_driver_without_gpu(machine):
    program(machine, 'nvidia-smi', 'No devices were found')
    assert 'there is no GPU' in check().stdout


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
    from machine import why_on_cpu

    found = why_on_cpu(gpus, nvcc, cuda)
    assert reason in found and bool(reason) == bool(found)


def test_a_gpu_that_mmcv_cannot_use_is_hidden_and_that_is_said():
    from make_env import run_env

    assert run_env('') == ''
    script = run_env('there is a GPU, but it\'s "$HOME"')
    done = subprocess.run(
        ['sh', '-c', f'{script}echo "<${{CUDA_VISIBLE_DEVICES-unset}}>"'],
        capture_output=True,
        text=True,
    )
    assert done.stdout == ('on the CPU: there is a GPU, but it\'s "$HOME"\n<>\n')


def test_wheel_key_tells_what_operators_depend_on():
    from mmcv_wheel import wheel_key

    keys = [
        wheel_key(*arguments)
        for arguments in [
            ('onedl-mmcv==2.3.6', '2.13.0+cpu'),
            ('onedl-mmcv==2.3.7', '2.13.0+cpu'),
            ('mmcv==2.3.6', '2.13.0+cpu'),
            ('onedl-mmcv==2.3.6', '2.13.0+cu130'),
            ('onedl-mmcv==2.3.6', '2.13.0+cu130', '9.0'),
            ('onedl-mmcv==2.3.6', '2.13.0+cu130', '8.0;9.0'),
        ]
    ]
    assert len(set(keys)) == len(keys)
    python = 'cp{}{}'.format(*sys.version_info)
    assert keys[0] == (f'onedl-mmcv2.3.6-torch2.13.0+cpu-{python}-{os.uname().machine}-cpu')
    assert keys[-1].endswith('-cuda8.0+9.0')


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'sparx_mm' / 'wheels'


def get_wheel():
    from mmcv_wheel import mmcv_wheel

    return Path(mmcv_wheel('python', 'mmcv==2', '2.13.0+cpu'))


def compiler(calls, ends=lambda: None):
    """A stand-in for the ten minutes."""

    def compile_mmcv(python, mmcv, archs, folder, log):
        calls.append(folder)
        Path(folder).mkdir()
        (Path(folder) / 'mmcv.whl').write_text('whole')
        ends()

    return compile_mmcv


def test_wheel_is_compiled_once_by_two_set_ups(cache, monkeypatch):
    import mmcv_wheel

    calls = []
    started, go_on = threading.Event(), threading.Event()

    def ends():
        started.set()
        assert go_on.wait(60)

    monkeypatch.setattr(mmcv_wheel, 'compile_mmcv', compiler(calls, ends))
    threads = [threading.Thread(target=get_wheel) for _ in range(2)]
    threads[0].start()
    assert started.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and get_wheel().read_text() == 'whole'
    assert len(calls) == 1


def test_nothing_of_a_stopped_compilation_is_taken_for_a_wheel(cache, monkeypatch):
    import mmcv_wheel

    calls = []

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(mmcv_wheel, 'compile_mmcv', compiler(calls, interrupt))
    with pytest.raises(KeyboardInterrupt):
        get_wheel()
    assert not list(cache.rglob('*.whl'))

    # a kill cannot tidy up
    killed = cache / f'{mmcv_wheel.wheel_key("mmcv==2", "2.13.0+cpu")}.1.tmp'
    (killed / 'wheel').mkdir(parents=True)
    (killed / 'wheel' / 'mmcv.whl').write_text('half')
    monkeypatch.setattr(mmcv_wheel, 'compile_mmcv', compiler(calls))
    assert get_wheel().read_text() == 'whole'
    assert len(calls) == 2 and not killed.exists()


def test_compilation_shows_progress_and_where_the_log_is(cache, tmp_path, capsys):
    program(tmp_path, 'python', '\n'.join(f'  [{n}/78] c++' for n in (1, 39)))
    from mmcv_wheel import compile_mmcv

    with open(tmp_path / 'log', 'w') as log:
        compile_mmcv(str(tmp_path / 'python'), 'mmcv==2', '', 'folder', log)
        (tmp_path / 'python').write_text('#!/bin/sh\nexit 1\n')
        with pytest.raises(SystemExit, match=f'did not .* in {log.name}'):
            compile_mmcv(str(tmp_path / 'python'), 'mmcv==2', '', 'folder', log)
    output = capsys.readouterr().out
    assert str(tmp_path / 'log') in output and 'mmcv  50 %' in output
    assert '[39/78]' in (tmp_path / 'log').read_text()


def test_compiler_sees_the_gpu_only_for_cuda_operators(monkeypatch):
    from mmcv_wheel import compiler_env

    monkeypatch.setenv('MAX_JOBS', '1')
    monkeypatch.setenv('FORCE_CUDA', '1')
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    env = compiler_env('/venv/bin/python', '')
    assert (env['FORCE_CUDA'], env['CUDA_VISIBLE_DEVICES']) == ('0', '')
    env = compiler_env('/venv/bin/python', '9.0')
    assert (env['FORCE_CUDA'], env['TORCH_CUDA_ARCH_LIST']) == ('1', '9.0')
    assert env['PATH'].startswith('/venv/bin:')
    assert 'CUDA_VISIBLE_DEVICES' not in env and env['MAX_JOBS'] == '1'


STACKS = ('onedl', 'openmmlab')


def test_each_stack_has_its_own_environment():
    from make_env import FOLDERS, Environment

    assert sorted(FOLDERS) == sorted(STACKS)
    ours, original = map(Environment, STACKS)
    assert ours.folder == ROOT / '.venv'
    assert original.folder == ROOT / '.venv-openmmlab'
    for one in (ours, original):
        files = {Path(f) for f in (one.python, one.stamp, one.run_env)}
        assert len(files) == 3
        assert all(file.is_relative_to(one.folder) for file in files)
    assert ours.mmcv.startswith('onedl-mmcv==')
    assert original.mmcv.startswith('mmcv==')
    # all else is the same
    assert set(ours.extras) ^ set(original.extras) == {*STACKS, 'pretrain', 'rotate'}
    assert 'pretrain' in ours.extras
    ignored = (ROOT / '.gitignore').read_text().splitlines()
    makefile = (ROOT / 'Makefile').read_text()
    (clean,) = re.findall(r'rm -rf (.* build .*)', makefile)
    for folder in FOLDERS.values():
        assert f'/{folder}/' in ignored
        assert folder in clean.split()
        assert f'. {folder}/run.env &&' in makefile


@pytest.mark.parametrize('stack', STACKS)
def test_stamp_follows_requirements_and_compiler(stack, monkeypatch):
    import make_env

    def stamp(*machine):
        return make_env.Environment(stack).wanted_stamp(*machine)

    before = stamp([], '')
    assert before == stamp([], '')
    assert before != stamp([GPU], '') != stamp([GPU], '13.0')
    requirements = make_env.requirements
    for changed in ('install_requires', 'build', stack, *make_env.MORE[stack], 'dev'):
        monkeypatch.setattr(
            make_env,
            'requirements',
            lambda extra: requirements(extra) + ['more'] * (extra == changed),
        )
        assert before != stamp([], '')
    (other,) = set(STACKS) - {stack}
    monkeypatch.setattr(
        make_env, 'requirements', lambda extra: requirements(extra) + ['more'] * (extra == other)
    )
    assert before == stamp([], '')


def test_an_unfinished_venv_is_not_taken(tmp_path, monkeypatch):
    import make_env

    environment = make_env.Environment('openmmlab')
    environment.stamp = tmp_path / 'stamp'
    environment.python = sys.executable
    monkeypatch.delenv('PYTHON', raising=False)
    assert not environment.is_finished('wanted')
    environment.stamp.write_text('wanted')
    assert environment.is_finished('wanted')
    assert not environment.is_finished('other')
    monkeypatch.setattr(make_env.platform, 'python_version', lambda: '3.10.99')
    assert environment.is_finished('wanted')
    monkeypatch.setenv('PYTHON', 'python3.10')
    assert not environment.is_finished('wanted')
    environment.python = str(tmp_path / 'gone')
    monkeypatch.delenv('PYTHON')
    assert not environment.is_finished('wanted')


def set_up(make_env, monkeypatch, folder, stack, fails=None):
    """Run the script in a folder; its environment and what that ran."""
    (folder / 'setup.cfg').write_text((ROOT / 'setup.cfg').read_text())
    environments, commands = [], []

    class Environment(make_env.Environment):
        def __init__(self, stack):
            super().__init__(stack)
            environments.append(self)

        def run(self, *arguments):
            commands.append(arguments)
            if fails in arguments:
                make_env.fail(f'{fails} failed')

        def describe_torch(self):
            return '2.13.0+cpu', '', ''

    def wheel(python, mmcv, torch, archs):
        return f'{mmcv} for {torch}{archs}'

    monkeypatch.setattr(make_env, 'ROOT', folder)
    monkeypatch.setattr(make_env, 'Environment', Environment)
    monkeypatch.setattr(make_env, 'mmcv_wheel', wheel)
    # venv itself, which takes long and is Python's
    monkeypatch.setattr(make_env.subprocess, 'call', lambda command: Path(command[-1]).mkdir())
    monkeypatch.setattr(sys, 'argv', ['make_env.py', *stack])
    make_env.main()
    return environments[-1], commands


@pytest.mark.parametrize('stack', STACKS)
def test_set_up_installs_one_stack_and_signs_last(stack, machine, tmp_path, monkeypatch):
    import make_env

    made, commands = set_up(make_env, monkeypatch, tmp_path, [stack])
    installed = [arguments for arguments in commands if 'install' in arguments]
    assert {'torch==2.13.0'} < set(installed[0])
    (mmcv,) = [r for r in make_env.requirements(stack) if 'mmcv=' in r]
    extras = ','.join(['build', stack, *make_env.MORE[stack], 'dev'])
    assert installed[1][-3:] == (f'{mmcv} for 2.13.0+cpu', '--editable', f'{tmp_path}[{extras}]')
    assert installed[2][-1].startswith('opencv-python-headless')
    assert made.run_env.read_text() == ''
    assert made.stamp.read_text() == made.wanted_stamp([], '')

    # not a second time
    monkeypatch.setattr(made.__class__, 'is_finished', lambda *_: True)
    assert set_up(make_env, monkeypatch, tmp_path, [stack])[1] == []


def test_a_failed_set_up_is_not_signed(machine, tmp_path, monkeypatch):
    import make_env

    with pytest.raises(SystemExit, match='uninstall failed'):
        set_up(make_env, monkeypatch, tmp_path, [], fails='uninstall')
    assert list((tmp_path / '.venv').iterdir()) == []


def test_the_maintained_stack_is_the_default(machine, tmp_path, monkeypatch):
    import make_env

    made, _ = set_up(make_env, monkeypatch, tmp_path, [])
    assert made.folder == tmp_path / '.venv'


def test_a_stack_that_is_not_there(machine, tmp_path, monkeypatch, capsys):
    import make_env

    with pytest.raises(SystemExit) as stopped:
        set_up(make_env, monkeypatch, tmp_path, ['mmlab'])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ') and "'onedl', 'openmmlab'" in line


@pytest.mark.parametrize('stack', STACKS)
def test_pins_are_in_setup_cfg(stack):
    from make_env import requirements

    assert any(re.fullmatch(r'torch==\d+\.\d+\.\d+', line) for line in requirements('build'))
    for package in ('mmcv', 'mmdet', 'mmengine', 'mmseg'):
        assert (
            sum(
                re.fullmatch(rf'(onedl-)?{package}\w*==[\d.]+', line) is not None
                for line in requirements(stack)
            )
            == 1
        )
    everything = ' '.join(map(' '.join, map(requirements, (stack, 'dev'))))
    assert 'torchvision' not in everything


def test_mmpretrain_changes_no_torch():
    from make_env import requirements

    pins = requirements('pretrain')
    assert [pin.split('==')[0] for pin in pins] == ['onedl-mmpretrain', 'torchvision']
    for pin in pins + requirements('rotate'):
        name, version = pin.split('==')
        assert metadata.version(name) == version
    (torch,) = [pin for pin in requirements('build') if 'torch=' in pin]
    needs = map(Requirement, metadata.requires('torchvision'))
    (wanted,) = [need.specifier for need in needs if need.name == 'torch']
    assert str(wanted) == torch.removeprefix('torch')


def test_triton_is_that_of_torch():
    """The pin for the tests: a torch with CUDA names the same."""
    from make_env import requirements

    (pin,) = [line for line in requirements('dev') if 'triton' in line]
    assert re.fullmatch(r'triton==\d+\.\d+\.\d+', pin)
    assert metadata.version('triton') == pin.split('==')[1]
    own = [
        line.split(';')[0].strip()
        for line in metadata.requires('torch')
        if line.startswith('triton')
    ]
    assert own in ([], [pin])
    # and is new enough for users
    (floor,) = requirements('triton')
    assert floor.startswith('triton>=')
    assert Version(pin.split('==')[1]) >= Version(floor.split('>=')[1])


def test_make_help_lists_the_targets():
    done = subprocess.run(
        ['make', '--no-print-directory', 'help'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    phony = re.search(r'\.PHONY: (.*)', (ROOT / 'Makefile').read_text())
    assert listed == phony[1].split()
    assert {'setup', 'demo', 'test', 'lint'} < set(listed)


def test_the_original_stack_has_a_suite():
    done = subprocess.run(
        ['make', '--no-print-directory', '-n', 'test-openmmlab'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'scripts/make_env.py openmmlab' in done.stdout
    assert '.venv-openmmlab/bin/pytest -n 2 -m stack' in done.stdout
    assert '.venv/' not in done.stdout


def test_ci_calls_make():
    lines = (ROOT / '.ci' / 'run').read_text().splitlines()
    assert lines[-1] == 'make lint test'


def test_wheel_holds_the_plugin_and_its_kernels(tmp_path):
    for name in ('sparx_mm', 'kernels'):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(
        [
            sys.executable,
            '-m',
            'pip',
            'wheel',
            '--quiet',
            '--no-deps',
            '--no-build-isolation',
            '--wheel-dir',
            'dist',
            '.',
        ],
        cwd=tmp_path,
        check=True,
    )
    (wheel,) = (tmp_path / 'dist').glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
    for file in ROOT.glob('kernels/**/*.py'):
        assert f'sparx_mm/{file.relative_to(ROOT)}' in files
    assert 'sparx_mm/backbones/sparx.py' in files
    # nothing else goes to site-packages
    tops = {name.split('/')[0] for name in files}
    assert tops == {'sparx_mm', f'{wheel.name.split("-py3")[0]}.dist-info'}
