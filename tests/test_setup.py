"""What `make setup` checks and decides, without installing anything."""
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The modules of setup/ find one another as they do for its script."""
    monkeypatch.syspath_prepend(ROOT / 'setup')


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
    script = ROOT / 'setup' / 'make_env.py'
    start = (f'import runpy, sys; sys.argv = [{str(script)!r}, "--check"]\n'
             f'{code}\nrunpy.run_path(sys.argv[0], run_name="__main__")')
    return subprocess.run([sys.executable, '-c', start],
                          capture_output=True,
                          text=True,
                          env={
                              **os.environ, 'PYTHONPATH': str(script.parent)
                          })


def only_line(done):
    """The one line of an error."""
    assert done.returncode == 1 and not done.stdout
    line, = done.stderr.splitlines()
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
        check('import sysconfig, importlib.util\n'
              'sysconfig.get_path = lambda name: "/nowhere"\n'
              'importlib.util.find_spec = lambda name: None'))
    version = '{}.{}'.format(*sys.version_info)
    assert 'not found: g++ Python.h ensurepip;' in line
    assert (f'"apt install g++ python{version}-dev python{version}-venv"'
            in line)


@pytest.mark.parametrize('version', [(3, 9, 18), (3, 13, 0)])
def test_wrong_python(version, machine, monkeypatch):
    code = (f'sys.version_info = {version}; import platform\n'
            'platform.python_version = lambda: "x.y.z"')
    assert 'no other is on the PATH' in only_line(check(code))
    monkeypatch.setenv('PYTHON', 'python3')
    assert 'PYTHON must be one of 3.10, 3.11 and 3.12' in only_line(
        check(code))


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
    program(machine, 'nvidia-smi',
            'GPU 0: NVIDIA H200 (UUID: GPU-1)\nGPU 1: NVIDIA H200')
    assert find_gpus() == ['NVIDIA H200']


def test_driver_without_gpu(machine):
    program(machine, 'nvidia-smi', 'No devices were found')
    assert 'there is no GPU' in check().stdout


@pytest.mark.parametrize('gpus, nvcc, cuda, reason', [
    ([], '13.0', '13.0', 'there is no GPU'),
    ([GPU], '13.0', '', 'torch cannot use it'),
    ([GPU], '', '13.0', 'no nvcc; to use it, install the CUDA toolkit 13.0'),
    ([GPU], '12.4', '13.0', 'nvcc is of CUDA 12.4'),
    ([GPU], '13.1', '13.0', ''),
])
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
        text=True)
    assert done.stdout == ('on the CPU: there is a GPU, but it\'s "$HOME"\n'
                           '<>\n')


def test_wheel_key_tells_what_operators_depend_on():
    from mmcv_wheel import wheel_key
    keys = [
        wheel_key(*arguments) for arguments in
        [('onedl-mmcv==2.3.6',
          '2.13.0+cpu'), ('onedl-mmcv==2.3.7',
                          '2.13.0+cpu'), ('mmcv==2.3.6', '2.13.0+cpu'),
         ('onedl-mmcv==2.3.6',
          '2.13.0+cu130'), (
              'onedl-mmcv==2.3.6', '2.13.0+cu130',
              '9.0'), ('onedl-mmcv==2.3.6', '2.13.0+cu130', '8.0;9.0')]
    ]
    assert len(set(keys)) == len(keys)
    python = 'cp{}{}'.format(*sys.version_info)
    assert keys[0] == (f'onedl-mmcv2.3.6-torch2.13.0+cpu-{python}-'
                       f'{os.uname().machine}-cpu')
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


def test_nothing_of_a_stopped_compilation_is_taken_for_a_wheel(
        cache, monkeypatch):
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


def test_compilation_shows_progress_and_where_the_log_is(
        cache, tmp_path, capsys):
    program(tmp_path, 'python', '\n'.join(f'  [{n}/78] c++' for n in (1, 39)))
    from mmcv_wheel import compile_mmcv
    with open(tmp_path / 'log', 'w') as log:
        compile_mmcv(str(tmp_path / 'python'), 'mmcv==2', '', 'folder', log)
        (tmp_path / 'python').write_text('#!/bin/sh\nexit 1\n')
        with pytest.raises(SystemExit, match=f'did not .* in {log.name}'):
            compile_mmcv(
                str(tmp_path / 'python'), 'mmcv==2', '', 'folder', log)
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


def test_stamp_follows_requirements_and_compiler(monkeypatch):
    import make_env
    before = make_env.stamp([], '')
    assert before == make_env.stamp([], '')
    assert before != make_env.stamp([GPU], '') != make_env.stamp([GPU], '13.0')
    monkeypatch.setattr(make_env, 'requirements', lambda extra: [extra])
    assert before != make_env.stamp([], '')


def test_an_unfinished_venv_is_not_taken(tmp_path, monkeypatch):
    import make_env
    stamp = tmp_path / 'stamp'
    monkeypatch.setattr(make_env, 'STAMP', stamp)
    monkeypatch.setattr(make_env, 'PYTHON', sys.executable)
    monkeypatch.delenv('PYTHON', raising=False)
    assert not make_env.is_finished('wanted')
    stamp.write_text('wanted')
    assert make_env.is_finished('wanted')
    assert not make_env.is_finished('other')
    monkeypatch.setattr(make_env.platform, 'python_version', lambda: '3.10.99')
    assert make_env.is_finished('wanted')
    monkeypatch.setenv('PYTHON', 'python3.10')
    assert not make_env.is_finished('wanted')
    monkeypatch.setattr(make_env, 'PYTHON', str(tmp_path / 'gone'))
    monkeypatch.delenv('PYTHON')
    assert not make_env.is_finished('wanted')


def test_pins_are_in_setup_cfg():
    from make_env import requirements
    assert any(
        re.fullmatch(r'torch==\d+\.\d+\.\d+', line)
        for line in requirements('build'))
    assert sum('mmcv==' in line for line in requirements('onedl')) == 1
    everything = ' '.join(map(' '.join, map(requirements, ('onedl', 'dev'))))
    assert 'torchvision' not in everything


def test_make_help_lists_the_targets():
    done = subprocess.run(['make', '--no-print-directory', 'help'],
                          cwd=ROOT,
                          capture_output=True,
                          text=True,
                          check=True)
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    phony = re.search(r'\.PHONY: (.*)', (ROOT / 'Makefile').read_text())
    assert listed == phony[1].split()
    assert {'setup', 'demo', 'test', 'lint'} < set(listed)


def test_ci_calls_make():
    lines = (ROOT / '.ci' / 'run').read_text().splitlines()
    assert lines[-1] == 'make lint test'


def test_wheel_holds_the_plugin_and_its_kernels(tmp_path):
    for name in ('sparx_mm', 'kernels'):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run([
        sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps',
        '--no-build-isolation', '--wheel-dir', 'dist', '.'
    ], cwd=tmp_path, check=True)  # yapf: disable
    wheel, = (tmp_path / 'dist').glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
    for file in ROOT.glob('kernels/**/*.py'):
        assert f'sparx_mm/{file.relative_to(ROOT)}' in files
    assert 'sparx_mm/backbones/sparx.py' in files
    # nothing else goes to site-packages
    tops = {name.split('/')[0] for name in files}
    assert tops == {'sparx_mm', f'{wheel.name.split("-py3")[0]}.dist-info'}
