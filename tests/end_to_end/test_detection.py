"""Train, save, resume and test a detector through the command lines."""

import json
import pickle

import cv2
import pytest
import torch
from detection import ROOT, tiny_config
from hostile import touch
from tool_process import run_tool

pytestmark = pytest.mark.stack
CONFIG = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_3x.py'


@pytest.fixture(scope='module')
def config(shapes, tmp_path_factory):
    """The 3x config, on a drawn set and for images of 64 px."""
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    cfg = tiny_config(CONFIG, shapes, train_cfg__max_epochs=1, default_hooks__logger__interval=1)
    cfg.dump(path)
    return path


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """A folder in which a detector was trained for one epoch."""
    folder = tmp_path_factory.mktemp('run')
    # 4 images in batches of 2: two iterations
    log = run_tool('train', config, '--work-dir', 'out', folder=folder)
    assert 'Epoch(train) [1][2/2]' in log
    # what was found about the data before there was a log
    assert 'instances_train.json: 4 images, ' in log
    # text that a careless reader would evaluate when the run is resumed
    file = folder / 'out/epoch_1.pth'
    checkpoint = torch.load(file, weights_only=False)
    checkpoint['meta']['config'] = touch(folder / 'trace')
    torch.save(checkpoint, file)
    yield folder
    assert not (folder / 'trace').exists()


def test_train_saves_and_evaluates(trained):
    checkpoint = torch.load(trained / 'out/epoch_1.pth', weights_only=False, map_location='cpu')
    assert checkpoint['meta']['iter'] == 2
    assert any('A_log' in key for key in checkpoint['state_dict'])
    pointer = (trained / 'out/last_checkpoint').read_text()
    assert pointer == str(trained / 'out/epoch_1.pth')
    lines = next((trained / 'out').rglob('scalars.json')).read_text()
    scalars = [json.loads(line) for line in lines.splitlines()]
    assert any('coco/segm_mAP_50' in line for line in scalars)


def test_resume_continues(trained, config):
    log = run_tool(
        'train',
        config,
        '--work-dir',
        'out',
        '--resume',
        '--cfg-options',
        'train_cfg.max_epochs=2',
        folder=trained,
    )
    assert 'Epoch(train) [2][1/2]' in log
    assert 'Epoch(train) [1]' not in log
    checkpoint = torch.load(trained / 'out/epoch_2.pth', weights_only=False, map_location='cpu')
    assert checkpoint['meta']['iter'] == 4


def test_test_evaluates_dumps_and_paints(trained, config, shapes):
    log = run_tool(
        'test',
        config,
        'out/epoch_1.pth',
        '--work-dir',
        'test',
        '--out',
        'found.pkl',
        '--show-dir',
        'painted',
        folder=trained,
    )
    assert 'coco/bbox_mAP:' in log and 'coco/segm_mAP:' in log
    with open(trained / 'found.pkl', 'rb') as file:
        found = pickle.load(file)
    assert [f['img_id'] for f in found] == [1, 2, 3]
    assert all('masks' in f['pred_instances'] for f in found)
    painted = sorted((trained / 'test').glob('*/painted/*.png'))
    assert [p.name for p in painted] == sorted(p.name for p in (shapes / 'val').iterdir())
    # ground truth beside prediction, as mmdet paints
    assert cv2.imread(str(painted[0])).shape == (64, 128, 3)
