"""`python -m sparx_mm.info` reports whatever is or is not there."""

import subprocess
import sys
from importlib import metadata

import mmcv
import pytest
import torch
from without import run_without

import sparx_mm
from sparx_mm import info

CODE = 'import runpy; runpy.run_module("sparx_mm.info", run_name="__main__")'


def rows(done):
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stdout
    return dict(line.split('  ', 1) for line in done.stdout.splitlines())


@pytest.fixture(scope='module')
def full():
    return rows(
        subprocess.run([sys.executable, '-m', 'sparx_mm.info'], capture_output=True, text=True)
    )


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


def selftest(tmp_path, code='', absent=(), **environment):
    """Run the self-test after some code."""
    start = 'import os, sys; sys.argv.append("--selftest")\n'
    start += f'os.environ.update({environment!r})\n'
    return run_without(absent, f'{start}{code}\n{CODE}', tmp_path)


def test_selftest_needs_torch_alone(tmp_path):
    done = selftest(tmp_path, absent=['mmengine', 'mmcv', 'numba', 'triton'])
    assert done.returncode == 0, done.stderr
    where, *checks = done.stdout.splitlines()
    assert where.startswith('on ')
    assert len(checks) > 8 and all(line.endswith('  ok') for line in checks)


def test_selftest_fails_with_a_broken_kernel(tmp_path):
    done = selftest(
        tmp_path,
        """
import types
from sparx_mm.kernels import dispatch
select = dispatch.select
def broken(*args):
    kernels = select(*args)
    broken = types.ModuleType(kernels.__name__)
    broken.__dict__.update(vars(kernels))
    def forward(*inputs):
        y, states = kernels.forward(*inputs)
        return y * 1.01, states
    broken.forward = forward
    return broken
dispatch.select = broken
""",
    )
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if 'FAILED' in line]
    assert failed
    assert done.stderr == f'error: {len(failed)} of the checks above failed\n'


@pytest.mark.parametrize(
    'absent, environment, message',
    [
        (['torch'], {}, 'the self-test needs torch'),
        ([], dict(SPARX_MM_KERNELS='reference'), 'unset it'),
        ([], dict(SPARX_MM_KERNELS='cpu'), 'allowed are auto, triton, numba, torch'),
    ],
)
def test_selftest_that_cannot_be(absent, environment, message, tmp_path):
    done = selftest(tmp_path, absent=absent, **environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: ') and message in line


def test_bad_option():
    done = subprocess.run(
        [sys.executable, '-m', 'sparx_mm.info', '--test'], capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith('error: ') and '--help' in line
