"""Compiling mmcv says what it is, how far it is and where its log is, and checks the source."""

import console
import make_env
import mmcv_compile
import pytest

MMCV = 'mmcv==2.1.0'
COMPILER = """#!/bin/sh
echo "  [1/78] c++ a"
sleep 0.3
echo "  [39/78] c++ b"
sleep 0.3
"""


@pytest.mark.parametrize('in_terminal', [False, True])
def test_compilation_shows_progress(tmp_path, monkeypatch, capsys, in_terminal):
    class Quick(console.Progress):
        def __init__(self, name):
            super().__init__(name)
            self.interval, self.in_terminal = 0.1, in_terminal

    monkeypatch.setattr(mmcv_compile, 'Progress', Quick)
    python = tmp_path / 'python'
    python.write_text(COMPILER)
    python.chmod(0o755)
    with open(tmp_path / 'log', 'w') as log:
        mmcv_compile.compile_mmcv(str(python), MMCV, '', str(tmp_path / 'wheel'), log)
    said = capsys.readouterr().out
    # before the long step: what, how long, and where to look
    before = said.partition('so far')[0]
    assert 'RoIAlign' in before and '5 to 15 minutes' in before and str(log.name) in before
    assert '1 of 78 files (1 %)' in said and '39 of 78 files (50 %), about 1 min left' in said
    assert ('\r' in said) == in_terminal
    # a terminal has one line, a log several
    assert (len([line for line in said.split('\n') if 'so far' in line]) == 1) == in_terminal


def test_time_left(capsys):
    progress = console.Progress('mmcv')
    assert progress.interval == 30
    progress.start -= 60
    progress.show(0, 0)
    progress.show(20, 80)
    progress.last = (20, progress.start)
    progress.start -= 240
    progress.show(20, 80)
    progress.show(80, 80)
    assert capsys.readouterr().out.splitlines() == [
        'setup: mmcv: 1:00 so far',
        'setup: mmcv: 1:00 so far, 20 of 80 files (25 %), about 3 min left',
        # a minute has passed since the last file
        'setup: mmcv: 5:00 so far, 20 of 80 files (25 %), about 11 min left',
        'setup: mmcv: 5:00 so far, 80 of 80 files (100 %), linking them',
    ]


def test_a_failed_compilation_names_its_log(program, tmp_path):
    python = program('python', 'error', status=1)
    with open(tmp_path / 'log', 'w') as log:
        with pytest.raises(SystemExit, match=f'did not .* in {log.name}'):
            mmcv_compile.compile_mmcv(str(python), MMCV, '', str(tmp_path / 'wheel'), log)
    assert 'error' in (tmp_path / 'log').read_text()


def test_a_source_without_a_hash_is_not_compiled(tmp_path):
    with pytest.raises(SystemExit, match='no SHA-256 of the source of mmcv==2.1.1'):
        mmcv_compile.compile_mmcv('python', 'mmcv==2.1.1', '', str(tmp_path / 'wheel'), None)


@pytest.mark.parametrize('stack', make_env.FOLDERS)
def test_each_source_that_setup_compiles_has_a_hash(stack):
    assert make_env.Environment(stack).mmcv in mmcv_compile.SOURCES


def test_the_compiler_gets_the_hash(program, tmp_path):
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$@"\nfor last; do :; done\ncat "$last"\n')
    python.chmod(0o755)
    with open(tmp_path / 'log', 'w') as log:
        mmcv_compile.compile_mmcv(str(python), MMCV, '', str(tmp_path / 'wheel'), log)
    log = (tmp_path / 'log').read_text()
    assert '--require-hashes' in log
    assert f'{MMCV} --hash=sha256:{mmcv_compile.SOURCES[MMCV]}\n' in log


@pytest.mark.parametrize('given, jobs', [('3', '3'), ('', '4'), (None, '4')])
def test_as_many_compilers_as_cores_and_memory_allow(monkeypatch, given, jobs):
    monkeypatch.setattr(mmcv_compile, 'usable_cores', lambda: 16)
    monkeypatch.setattr(mmcv_compile, 'usable_memory', lambda: 9 << 30)
    monkeypatch.delenv('MAX_JOBS', raising=False)
    if given is not None:
        monkeypatch.setenv('MAX_JOBS', given)
    assert mmcv_compile.compiler_env('/venv/bin/python', '')['MAX_JOBS'] == jobs
    monkeypatch.setattr(mmcv_compile, 'usable_memory', lambda: 1 << 30)
    assert mmcv_compile.compiler_env('/venv/bin/python', '')['MAX_JOBS'] == (given or '1')


def test_the_compiler_sees_the_gpu_only_for_cuda_operators(monkeypatch):
    monkeypatch.setenv('MAX_JOBS', '1')
    monkeypatch.setenv('FORCE_CUDA', '1')
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    env = mmcv_compile.compiler_env('/venv/bin/python', '')
    assert (env['FORCE_CUDA'], env['CUDA_VISIBLE_DEVICES']) == ('0', '')
    env = mmcv_compile.compiler_env('/venv/bin/python', '9.0')
    assert (env['FORCE_CUDA'], env['TORCH_CUDA_ARCH_LIST']) == ('1', '9.0')
    assert env['PATH'].startswith('/venv/bin:')
    assert 'CUDA_VISIBLE_DEVICES' not in env and env['MAX_JOBS'] == '1'
