"""mmcv's wheel is compiled once, and never taken when it is not whole."""

import os
import sys
import threading
from pathlib import Path

import make_env
import mmcv_wheel
import pytest

WHEEL = ('mmcv==2', '2.13.0+cpu')
MMCV = 'mmcv==2.1.0'


def test_the_key_tells_what_operators_depend_on():
    keys = [
        mmcv_wheel.wheel_key(*arguments)
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
    assert keys[0] == f'onedl-mmcv2.3.6-torch2.13.0+cpu-{python}-{os.uname().machine}-cpu'
    assert keys[-1].endswith('-cuda8.0+9.0')


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Stand in for the ten minutes; return the cache, the calls and what ends them."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    calls, ends = [], []

    def compile_mmcv(python, mmcv, archs, folder, log):
        calls.append(folder)
        Path(folder).mkdir()
        (Path(folder) / 'mmcv.whl').write_text('whole')
        for end in ends:
            end()

    monkeypatch.setattr(mmcv_wheel, 'compile_mmcv', compile_mmcv)
    return tmp_path / 'sparx_mm/wheels', calls, ends


def get_wheel():
    return Path(mmcv_wheel.mmcv_wheel('python', *WHEEL))


def test_two_set_ups_compile_it_once(compiler):
    _, calls, ends = compiler
    started, go_on = threading.Event(), threading.Event()
    ends += [started.set, lambda: go_on.wait(60)]
    threads = [threading.Thread(target=get_wheel) for _ in range(2)]
    threads[0].start()
    assert started.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert get_wheel().read_text() == 'whole' and len(calls) == 1


def test_a_stopped_compilation_leaves_no_wheel(compiler):
    cache, calls, ends = compiler

    def interrupt():
        raise KeyboardInterrupt

    ends.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        get_wheel()
    assert not list(cache.rglob('*.whl'))
    # a process that is killed cannot tidy up
    killed = cache / f'{mmcv_wheel.wheel_key(*WHEEL)}.1.tmp'
    (killed / 'wheel').mkdir(parents=True)
    (killed / 'wheel/mmcv.whl').write_text('half')
    ends.clear()
    assert get_wheel().read_text() == 'whole'
    assert len(calls) == 2 and not killed.exists()


def test_compilation_shows_progress_and_where_the_log_is(program, tmp_path, capsys):
    python = program('python', '\n'.join(f'  [{n}/78] c++' for n in (1, 39)))
    with open(tmp_path / 'log', 'w') as log:
        mmcv_wheel.compile_mmcv(str(python), MMCV, '', str(tmp_path / 'wheel'), log)
        program('python', status=1)
        with pytest.raises(SystemExit, match=f'did not .* in {log.name}'):
            mmcv_wheel.compile_mmcv(str(python), MMCV, '', str(tmp_path / 'wheel'), log)
    output = capsys.readouterr().out
    assert str(tmp_path / 'log') in output and 'mmcv  50 %' in output
    assert '[39/78]' in (tmp_path / 'log').read_text()


def test_a_source_without_a_hash_is_not_compiled(tmp_path):
    with pytest.raises(SystemExit, match='no SHA-256 of the source of mmcv==2.1.1'):
        mmcv_wheel.compile_mmcv('python', 'mmcv==2.1.1', '', str(tmp_path / 'wheel'), None)


@pytest.mark.parametrize('stack', make_env.FOLDERS)
def test_each_source_that_setup_compiles_has_a_hash(stack):
    assert make_env.Environment(stack).mmcv in mmcv_wheel.SOURCES


def test_the_compiler_gets_the_hash(program, tmp_path):
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$@"\nfor last; do :; done\ncat "$last"\n')
    python.chmod(0o755)
    with open(tmp_path / 'log', 'w') as log:
        mmcv_wheel.compile_mmcv(str(python), MMCV, '', str(tmp_path / 'wheel'), log)
    log = (tmp_path / 'log').read_text()
    assert '--require-hashes' in log
    assert f'{MMCV} --hash=sha256:{mmcv_wheel.SOURCES[MMCV]}\n' in log


def test_the_compiler_sees_the_gpu_only_for_cuda_operators(monkeypatch):
    monkeypatch.setenv('MAX_JOBS', '1')
    monkeypatch.setenv('FORCE_CUDA', '1')
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    env = mmcv_wheel.compiler_env('/venv/bin/python', '')
    assert (env['FORCE_CUDA'], env['CUDA_VISIBLE_DEVICES']) == ('0', '')
    env = mmcv_wheel.compiler_env('/venv/bin/python', '9.0')
    assert (env['FORCE_CUDA'], env['TORCH_CUDA_ARCH_LIST']) == ('1', '9.0')
    assert env['PATH'].startswith('/venv/bin:')
    assert 'CUDA_VISIBLE_DEVICES' not in env and env['MAX_JOBS'] == '1'
