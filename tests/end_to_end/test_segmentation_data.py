"""Data that does not fit ends a run in one line, from workers too."""

import cv2
import pytest
from detection import ROOT
from segmentation import make_ade, tiny_config
from tool_process import run_tool

pytestmark = pytest.mark.stack
CONFIG = ROOT / 'configs/mmseg/semantic_fpn_sparx_t.py'


@pytest.fixture
def root(tmp_path):
    """Where the config expects its set."""
    root = tmp_path / 'data/ade/ADEChallengeData2016'
    make_ade(root)
    return root


@pytest.fixture
def config(root, tmp_path):
    """A config whose images are read by workers."""
    cfg = tiny_config(
        CONFIG,
        root.relative_to(tmp_path),
        train_dataloader__num_workers=1,
        val_dataloader__num_workers=1,
        train_cfg__max_iters=2,
        train_cfg__val_interval=2,
    )
    cfg.dump(tmp_path / 'tiny.py')
    return 'tiny.py'


def last_line(config, tmp_path, *options):
    log = run_tool('train', config, *options, folder=tmp_path, status=1)
    assert 'Traceback' not in log
    return log.splitlines()[-1]


@pytest.mark.tries('a label map of another size')
def test_a_label_map_that_does_not_fit(root, config, tmp_path):
    name = 'annotations/training/ADE_training_00000001.png'
    ids = cv2.imread(str(root / name), cv2.IMREAD_UNCHANGED)
    ids[-1, -1] = 151
    cv2.imwrite(str(root / name), ids)
    assert last_line(config, tmp_path).startswith(
        f'error: label map {root.relative_to(tmp_path)}/{name} has pixels of '
        'id 151: ids are 0 to 150, and 255 for what is ignored; '
    )


@pytest.mark.tries('an image or a label map that is missing')
def test_folders_that_do_not_match(root, config, tmp_path):
    """Told before anything is built, with an option that works as typed."""
    labels = root / 'annotations/training'
    labels.rename(tmp_path / 'moved')
    (tmp_path / 'moved/ADE_training_00000000.png').unlink()
    key = 'train_dataloader.dataset.data_prefix.seg_map_path'
    option = f'{key}={tmp_path}/moved'
    line = last_line(config, tmp_path)
    assert line.startswith(f'error: data set not found: {labels} ({key})')
    assert line.endswith('--cfg-options train_dataloader.dataset.data_root=DIR')
    line = last_line(config, tmp_path, '--cfg-options', option)
    assert line.startswith(
        f'error: {key}: 1 of 4 label maps are missing, the first is '
        f'{tmp_path}/moved/ADE_training_00000000.png; '
    )


def test_a_folder_too_many(root, config, tmp_path):
    """The set is found where the line says that it is."""
    deeper = root / root.name
    make_ade(deeper)
    for name in ('images', 'annotations'):
        (root / name).rename(tmp_path / name)
    line = last_line(config, tmp_path)
    assert f'but there is {deeper}/images/training; put' in line
    _, options = line.split('--cfg-options ')
    options = options.replace('DIR', str(deeper)).split()
    assert len(options) == 2
    log = run_tool('train', config, '--cfg-options', *options, folder=tmp_path)
    assert 'mIoU' in log
