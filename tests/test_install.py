"""What is installed suffices: with the line that `sparx_mm` prints, and from a wheel."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from archs import PICO
from detection import tiny_config
from without import run_after_install

import sparx_mm

ROOT = Path(__file__).resolve().parents[1]
LOAD = f"""
import torch
from sparx_mm import SparXMamba
source = SparXMamba({PICO})
torch.save(source.state_dict(), 'file.pth')
model = SparXMamba({PICO}, init_cfg=dict(type='Pretrained', checkpoint='file.pth'))
model.init_weights()
own = model.state_dict()
print(all(own[name].equal(value) for name, value in source.state_dict().items()))
"""


def test_the_printed_line_gives_a_pretrained_backbone(tmp_path):
    for folder in ('before', 'after'):
        (tmp_path / folder).mkdir()
    # as after `pip install .`, without an extra
    done = run_after_install(
        ['sparx_mm'], 'import sparx_mm; sparx_mm.SparXMamba', tmp_path / 'before'
    )
    _, _, line = done.stderr.strip().rpartition('; type: pip install ')
    assert line, done.stderr
    done = run_after_install(['sparx_mm', *line.split()], LOAD, tmp_path / 'after')
    assert done.stdout.endswith('True\n'), done.stderr


BUILD = 'from setuptools import build_meta; build_meta.build_{}("dist")'
PIP = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
OFFLINE = ['--no-deps', '--no-index', '-q']
# what a clone has in the wheel's folder .mim
MIM = ('configs', 'tools', 'model-index.yml')


def copy_clone(clone):
    """Copy the files of this clone that a build needs."""
    for name in ('sparx_mm', 'kernels', 'configs', 'tools'):
        # links stay links, as git has them
        shutil.copytree(
            ROOT / name, clone / name, symlinks=True, ignore=shutil.ignore_patterns('__pycache__')
        )
    for name in ('configs', 'tools'):
        # as after use
        (clone / name / '__pycache__').mkdir()
        (clone / name / '__pycache__/a.cpython-311.pyc').write_bytes(b'')
    settings = ('setup.cfg', 'setup.py', 'pyproject.toml')
    for name in (*settings, 'README.md', 'LICENSE', 'model-index.yml'):
        shutil.copy(ROOT / name, clone)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Build a source distribution of a clone, and a wheel of that."""
    clone = tmp_path_factory.mktemp('clone')
    copy_clone(clone)
    code = BUILD.format('sdist')
    subprocess.run([sys.executable, '-c', code], cwd=clone, check=True, capture_output=True)
    (sdist,) = (clone / 'dist').glob('*.tar.gz')
    command = [*PIP, 'wheel', *OFFLINE, '--no-build-isolation', '-w', 'dist', str(sdist)]
    subprocess.run(command, cwd=clone, check=True)
    with tarfile.open(sdist) as archive:
        assert not [member.name for member in archive if member.issym() or member.islnk()]
    return next((clone / 'dist').glob('*.whl'))


@pytest.fixture(scope='module')
def site(wheel, tmp_path_factory):
    """Install the wheel into an empty folder."""
    site = tmp_path_factory.mktemp('site')
    subprocess.run([*PIP, 'install', *OFFLINE, '--target', str(site), str(wheel)], check=True)
    return site


def run_installed(site, *command, folder):
    """Run a program of the wheel, or Python, from another folder, with our dependencies."""
    done = subprocess.run(
        command,
        cwd=folder,
        # not numba, which would compile the kernels anew for these files
        env={**os.environ, 'PYTHONPATH': str(site), 'SPARX_MM_KERNELS': 'torch'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_what_mim_reads(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    expected = {f'sparx_mm/{file.relative_to(ROOT)}' for file in ROOT.glob('kernels/**/*.py')}
    expected |= {str(file.relative_to(ROOT)) for file in ROOT.glob('sparx_mm/**/*.py')}
    paths = [path for name in MIM for path in (ROOT / name, *(ROOT / name).rglob('*'))]
    expected |= {
        f'sparx_mm/.mim/{path.relative_to(ROOT)}'
        for path in paths
        if path.is_file() and '__pycache__' not in path.parts
    }
    start = wheel.name.split('-py3')[0]
    assert start == f'sparx_mm-{sparx_mm.__version__}'
    packed = {name for name in files if not name.startswith(f'{start}.dist-info/')}
    assert packed == expected | {'sparx_mm/py.typed', f'{start}.data/scripts/sparx-mm'}
    assert modes['sparx_mm/.mim/tools/dist_train.sh'] & 0o111


def test_a_file_that_only_the_last_build_had_is_not_packed(tmp_path):
    copy_clone(tmp_path)
    gone = tmp_path / 'build/lib/sparx_mm/gone.py'
    gone.parent.mkdir(parents=True)
    gone.touch()
    command = [sys.executable, 'setup.py', '-q', 'build_py']
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert gone.with_name('__init__.py').exists() and not gone.exists()


FROM_WHEEL = """
import torch, sparx_mm, sparx_mm.kernels
site = {site!r}
assert site in sparx_mm.__file__ and site in sparx_mm.kernels.__file__
maps = sparx_mm.SparXMamba({arch}).eval()(torch.rand(1, 3, 32, 32))
assert [32 // m.shape[-1] for m in maps] == [4, 8, 16, 32]
import sparx_mm.engine
from mmengine.config import Config
from mmdet.apis import DetInferencer
whole = Config.fromfile('sparx_mm::mmdet/mask_rcnn_sparx_t_3x.py')
assert site in whole.filename
assert whole.to_dict() == Config.fromfile('based.py').to_dict()
predictor = sparx_mm.load('config.py', device='cpu')
torch.save(dict(state_dict=predictor.model.state_dict(), meta={{}}), 'a.pth')
found = DetInferencer('config.py', 'a.pth', device='cpu', show_progress=False)('a.png')
(sample,) = predictor.predict('a.png')
print(found['predictions'][0]['scores'] == sample.pred_instances.scores.tolist())
"""


@pytest.fixture(scope='module')
def elsewhere(shapes, tmp_path_factory):
    """Make a folder with a small config, an image, and a config based on a shipped one."""
    folder = tmp_path_factory.mktemp('elsewhere')
    tiny_config(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', shapes).dump(folder / 'config.py')
    (folder / 'based.py').write_text("_base_ = 'sparx_mm::mmdet/mask_rcnn_sparx_t_3x.py'\n")
    cv2.imwrite(str(folder / 'a.png'), np.zeros((48, 64, 3), np.uint8))
    return folder


def test_backbone_configs_and_inference_from_a_wheel(site, elsewhere):
    code = FROM_WHEEL.format(site=str(site), arch=PICO)
    assert run_installed(site, sys.executable, '-c', code, folder=elsewhere).endswith('True\n')


def test_the_command_of_a_wheel_trains(site, elsewhere):
    command = site / 'bin/sparx-mm'
    first = run_installed(site, command, 'info', folder=elsewhere).splitlines()[0]
    assert str(site) in first
    options = ('--work-dir', 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    run_installed(site, command, 'train', 'config.py', *options, folder=elsewhere)
    assert (elsewhere / 'run/last_checkpoint').is_file()


@pytest.fixture(scope='module')
def unlinked(tmp_path_factory):
    """Copy the clone as a ZIP file has it: text in place of the package's links."""
    clone = tmp_path_factory.mktemp('unlinked')
    copy_clone(clone)
    for name in MIM:
        (clone / 'sparx_mm/.mim' / name).unlink()
        (clone / 'sparx_mm/.mim' / name).write_text(f'../../{name}')
    return clone


def test_a_clone_without_links_finds_configs_and_tools(unlinked, tmp_path):
    code = "import sparx_mm; print(sparx_mm.config_path('mask_rcnn_sparx_t_3x'))"
    said = run_installed(unlinked, sys.executable, '-c', code, folder=tmp_path)
    assert said == f'{unlinked}/configs/mmdet/mask_rcnn_sparx_t_3x.py\n'
    command = (sys.executable, unlinked / 'tools/sparx-mm')
    assert '  train ' in run_installed(unlinked, *command, '--help', folder=tmp_path)


@pytest.mark.parametrize('kind', ['wheel', 'sdist', 'editable'])
def test_a_clone_without_links_is_not_packed(unlinked, kind):
    done = subprocess.run(
        [sys.executable, '-c', BUILD.format(kind)], cwd=unlinked, capture_output=True, text=True
    )
    # which reads configs/ of the clone
    if kind == 'editable':
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1].startswith('error: sparx_mm/.mim/configs is no link')
    assert not [*(unlinked / 'dist').glob(f'*.{dict(wheel="whl", sdist="tar.gz")[kind]}')]
