"""`python -m sparx_mm.info` reports whatever is or is not there."""

import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import mmcv
import pytest
import torch
from without import run_without

import sparx_mm
from sparx_mm import info
from sparx_mm.kernels import dispatch

CODE = 'import runpy; runpy.run_module("sparx_mm.info", run_name="__main__")'


def rows(done):
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stdout
    return dict(line.split('  ', 1) for line in done.stdout.splitlines())


@pytest.fixture(scope='module')
def full():
    done = subprocess.run([sys.executable, '-m', 'sparx_mm.info'], capture_output=True, text=True)
    # runpy's, if the package has imported the module
    assert 'sys.modules' not in done.stderr
    return rows(done)


def test_versions(full):
    assert full['sparx_mm'].strip().startswith(f'{sparx_mm.__version__}, ')
    assert full['torch'].strip().startswith(f'{torch.__version__}, ')
    assert mmcv.__version__ in full['mmcv']
    assert metadata.version('numpy') in full['numpy']
    for name in info.DISTRIBUTIONS:
        assert name in full


def test_how_threads_wait(full, monkeypatch):
    for name in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'):
        monkeypatch.delenv(name, raising=False)
    # as tools/openmp.py sets it
    assert ' 2000 turns' in info.describe_openmp()
    monkeypatch.setenv('OMP_WAIT_POLICY', 'passive')
    assert info.describe_openmp() == 'OMP_WAIT_POLICY=passive, set in the environment'
    assert 'openmp' in full


@pytest.mark.parametrize(
    'engine, wanted',
    [
        ('onedl-mmengine', 'onedl-mmdetection=='),
        ('mmengine', 'mmdet=='),
        ('neither', 'onedl-mmdetection=='),
    ],
)
def test_what_is_missing_is_of_the_stack_in_use(engine, wanted, monkeypatch):

    def version(distribution):
        if distribution != engine:
            raise metadata.PackageNotFoundError(distribution)
        return '0.10'

    monkeypatch.setattr(info.metadata, 'version', version)
    assert f'pip install "{wanted}' in info.describe_package('mmdet')


def test_operators_backbones_and_scan(full):
    assert 'for the CPU' in full['mmcv._ext']
    assert 'SparXMamba' in full['backbones']
    assert any(name.startswith('scan') for name in full)


@pytest.mark.parametrize(
    'absent',
    [
        ['mmcv', 'mmdet', 'mmseg', 'mmpretrain', 'numba', 'cv2', 'pycocotools'],
        ['mmengine'],
        ['torch', 'numpy'],
    ],
)
def test_without(absent, tmp_path):
    found = rows(run_without(absent, CODE, tmp_path))
    for name in absent:
        assert found[name].strip().startswith('not installed: pip install ')
    if 'mmengine' in absent:
        assert 'pip install torch onedl-mmengine' in found['backbones']
        assert 'scan torch' in found


def test_without_anything(tmp_path):
    (tmp_path / 'sparx_mm').symlink_to(sparx_mm.__path__[0])
    done = subprocess.run(
        [
            sys.executable,
            '-I',
            '-S',
            '-c',
            f'import sys; sys.path.insert(0, {str(tmp_path)!r}); {CODE}',
        ],
        capture_output=True,
        text=True,
    )
    for name, text in rows(done).items():
        if name in info.DISTRIBUTIONS and name != 'torchvision':
            assert text.strip().startswith('not installed: pip install ')


def test_unknown_kernel_backend_is_said(monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'cuda')
    ((_, text),) = [row for row in info.report() if row[0].startswith('scan')]
    assert "'cuda'" in text and 'reference' in text


def test_two_distributions_of_one_package(monkeypatch):
    monkeypatch.setattr(info.metadata, 'version', lambda name: '1')
    assert info.describe_package('mmcv').endswith('all install mmcv, keep one')


def test_requirement_is_pinned_as_in_setup_cfg():
    assert info.requirement('onedl-mmcv') == 'onedl-mmcv==2.3.6'
    assert info.requirement('mmcv') == 'mmcv==2.1.0'
    assert info.requirement('matplotlib') == 'matplotlib'


def selftest(tmp_path, absent):
    return run_without(absent, f'import sys; sys.argv.append("--selftest")\n{CODE}', tmp_path)


def test_selftest_needs_torch_alone(tmp_path):
    done = selftest(tmp_path, ['mmengine', 'mmcv', 'numba', 'triton'])
    assert done.returncode == 0, done.stderr
    where, *checks = done.stdout.splitlines()
    assert where.startswith('on ')
    assert len(checks) > 8 and all(line.endswith('  ok') for line in checks)


@pytest.fixture
def main_with(monkeypatch, capsys):
    """Return a function that runs the program here, with an option that ends it."""

    def run(option):
        monkeypatch.setattr(sys, 'argv', ['info', option])
        with pytest.raises(SystemExit) as stopped:
            info.main()
        return stopped.value.code, *capsys.readouterr()

    return run


def test_selftest_fails_with_a_broken_kernel(main_with, monkeypatch):
    select = dispatch.select

    def broken(*args):
        kernels = select(*args)

        def forward(*inputs):
            y, states = kernels.forward(*inputs)
            return y * 1.01, states

        return SimpleNamespace(**{**vars(kernels), 'forward': forward})

    monkeypatch.delenv('SPARX_MM_KERNELS', raising=False)
    monkeypatch.setattr(dispatch, 'select', broken)
    status, out, err = main_with('--selftest')
    assert status == 1
    failed = [line for line in out.splitlines() if 'FAILED' in line]
    assert failed
    assert err == f'error: {len(failed)} of the checks above failed\n'


def test_selftest_without_torch(tmp_path):
    done = selftest(tmp_path, ['torch'])
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: ') and 'the self-test needs torch' in line


@pytest.mark.parametrize(
    'backend, message',
    [('reference', 'unset it'), ('cpu', 'allowed are auto, triton, numba, torch')],
)
def test_selftest_of_another_backend(backend, message, main_with, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', backend)
    status, _, err = main_with('--selftest')
    assert status == 1
    (line,) = err.splitlines()
    assert line.startswith('error: ') and message in line


def test_bad_option(main_with):
    status, _, err = main_with('--test')
    assert status == 2
    (line,) = err.splitlines()
    assert line.startswith('error: ') and '--help' in line
