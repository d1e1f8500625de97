"""Train, resume, test, augment and paint a segmentor from command lines."""

import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from detection import ROOT
from mmseg.datasets import ADE20KDataset
from segmentation import IDS, tiny_config
from tool_process import run_tool

pytestmark = pytest.mark.stack
CONFIG = ROOT / 'configs/mmseg/upernet_sparx_t.py'
METRIC = re.compile(r'(aAcc|mIoU|mAcc): ([\d.]+)')


@pytest.fixture(scope='module')
def config(ade, tmp_path_factory):
    """The UperNet config, for images of 64 px and 4 iterations."""
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    tiny_config(
        CONFIG,
        ade,
        train_cfg__max_iters=4,
        train_cfg__val_interval=2,
        default_hooks__checkpoint__interval=2,
        default_hooks__logger__interval=1,
    ).dump(path)
    return path


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """A folder in which a segmentor was trained for 4 iterations."""
    folder = tmp_path_factory.mktemp('run')
    log = run_tool('train', config, '--work-dir', 'out', folder=folder)
    assert 'Iter(train) [4/4]' in log
    assert {name for name, _ in METRIC.findall(log)} == {'aAcc', 'mIoU', 'mAcc'}
    return folder


def test_train_saves_and_keeps_the_best(trained):
    names = {path.name for path in (trained / 'out').glob('*.pth')}
    assert {'iter_2.pth', 'iter_4.pth'} <= names
    assert len([name for name in names if name.startswith('best_mIoU')]) == 1
    pointer = (trained / 'out/last_checkpoint').read_text()
    assert pointer == str(trained / 'out/iter_4.pth')


def test_resume_continues(trained, config, tmp_path):
    shutil.copytree(trained / 'out', tmp_path / 'out')
    (tmp_path / 'out/last_checkpoint').write_text(str(tmp_path / 'out/iter_2.pth'))
    log = run_tool('train', config, '--work-dir', 'out', '--resume', folder=tmp_path)
    assert 'Iter(train) [3/4]' in log and 'Iter(train) [2/4]' not in log


@pytest.mark.parametrize('tta', [(), ('--tta',)], ids=['plain', 'tta'])
def test_test_evaluates_writes_maps_and_paints(trained, config, ade, tmp_path, tta):
    log = run_tool(
        'test',
        config,
        trained / 'out/iter_4.pth',
        '--out',
        'maps',
        '--show-dir',
        'painted',
        *tta,
        folder=tmp_path,
    )
    metrics = {name: float(value) for name, value in METRIC.findall(log)}
    assert metrics.keys() == {'aAcc', 'mIoU', 'mAcc'}
    files = sorted((ade / 'annotations/validation').iterdir())
    maps = sorted((tmp_path / 'maps').iterdir())
    assert [path.name for path in maps] == [path.name for path in files]
    hits = pixels = 0
    for path, file in zip(maps, files):
        found, truth = (cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in (path, file))
        assert found.dtype == np.uint8 and found.shape == truth.shape
        # the ids of the data set's own files
        assert found.min() >= 1 and found.max() <= max(IDS)
        hits += (found == truth)[truth > 0].sum()
        pixels += (truth > 0).sum()
    assert metrics['aAcc'] == pytest.approx(100 * hits / pixels, abs=0.01)
    _check_paint(tmp_path, ade, maps)


def _check_paint(folder, ade, maps):
    """Hold overlays to ADE20K's palette, where no class name is written."""
    palette = np.array(ADE20KDataset.METAINFO['palette'])
    for path in maps:
        (painted,) = (folder / 'painted').glob(f'**/*{path.stem}*.png')
        image = cv2.imread(str(ade / f'images/validation/{path.stem}.jpg'))
        painted = cv2.imread(str(painted))[..., ::-1].astype(int)
        height, width, _ = image.shape
        # ground truth beside prediction, as mmseg paints
        assert painted.shape == (height, 2 * width, 3)
        classes = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) - 1
        wanted = image[..., ::-1] * 0.2 + palette[classes] * 0.8
        error = np.abs(painted[:, width:] - wanted).max(-1)
        # names of many small areas may cover half of so small an image
        assert (error <= 1).mean() > 0.25


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_the_shipped_config_without_data(tool, tmp_path):
    torch.save({}, tmp_path / 'a.pth')
    checkpoint = ['a.pth'] if tool == 'test' else []
    log = run_tool(tool, CONFIG, *checkpoint, folder=tmp_path, status=1)
    (error,) = log.splitlines()
    split = 'validation' if tool == 'test' else 'training'
    place = f'data/ade/ADEChallengeData2016/images/{split}'
    assert f'data set not found: {tmp_path}/{place}' in error
