"""Train, test and count a rotated detector of mmrotate through the command lines."""

import json
import pickle
import shutil

import cv2
import pytest
import torch
from rotated import COLOURS, CONFIG, tiny_config
from tool_process import run_tool

from sparx_mm.errors import UserError
from sparx_mm.run import train

# mmrotate starts four processes for each evaluation; one test has one
NO_VALIDATION = dict.fromkeys(('val_cfg', 'val_dataloader', 'val_evaluator'))


@pytest.fixture(scope='module')
def config(dota, tmp_path_factory):
    """Write the smallest config, for the drawn set and without validation."""
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    cfg = tiny_config(CONFIG, dota, train_cfg__max_epochs=1, default_hooks__logger__interval=1)
    cfg.update(NO_VALIDATION)
    cfg.default_hooks.checkpoint.save_best = None
    cfg.dump(path)
    return path


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
    """Train a detector for one epoch; return the folder."""
    folder = tmp_path_factory.mktemp('run')
    # 4 images in batches of 2: two iterations
    log = run_tool('train', config, '--work-dir', 'out', folder=folder)
    assert 'Epoch(train) [1][2/2]' in log
    return folder


def test_train_saves(trained):
    checkpoint = torch.load(trained / 'out/epoch_1.pth', weights_only=False, map_location='cpu')
    assert checkpoint['meta']['iter'] == 2
    assert any('A_log' in key for key in checkpoint['state_dict'])
    assert all(value.isfinite().all() for value in checkpoint['state_dict'].values())


def test_test_evaluates_dumps_and_paints(trained, config, dota):
    run_tool(
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
    (file,) = (trained / 'test').glob('*/*.json')
    metrics = json.loads(file.read_text())
    assert 0 <= metrics['dota/mAP'] <= 1
    names = sorted(path.stem for path in (dota / 'trainval/images').iterdir())
    with open(trained / 'found.pkl', 'rb') as file:
        found = pickle.load(file)
    assert sorted(f['img_id'] for f in found) == names
    for instances in (f['pred_instances'] for f in found):
        # centre, size and angle
        assert instances['bboxes'].shape[1:] == (5,)
        assert set(instances['labels'].tolist()) <= set(range(len(COLOURS)))
    painted = sorted((trained / 'test').glob('*/painted/*.png'))
    assert [p.stem for p in painted] == names
    # ground truth beside prediction, as mmdet paints
    assert cv2.imread(str(painted[0])).shape == (64, 128, 3)


@pytest.mark.parametrize('missing', ['images', 'annfiles'])
def test_missing_data_is_one_line(config, dota, tmp_path, missing):
    root = shutil.copytree(dota, tmp_path / 'dota')
    shutil.rmtree(root / 'trainval' / missing)
    with pytest.raises(UserError) as error:
        train(str(config), cfg_options={'train_dataloader.dataset.data_root': str(root)})
    line = str(error.value)
    assert line.startswith(f'data set not found: {root}/trainval/{missing}')
    assert '(https://captain-whu.github.io/DOTA)' in line
    assert line.endswith('--cfg-options train_dataloader.dataset.data_root=DIR')


def test_annotations_that_are_missing_end_in_one_line(config, dota, tmp_path):
    root = shutil.copytree(dota, tmp_path / 'dota')
    for file in (root / 'trainval/annfiles').iterdir():
        file.unlink()
    with pytest.raises(UserError, match=f'{root}/trainval/annfiles/ has no .txt file'):
        train(
            str(config),
            cfg_options={'train_dataloader.dataset.data_root': str(root)},
            work_dir=str(tmp_path),
        )


def test_a_loss_without_an_operator_for_the_cpu(config, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cpu')
    options = {'model.roi_head.bbox_head.loss_bbox': dict(_delete_=True, type='RotatedIoULoss')}
    with pytest.raises(UserError, match='bbox_head.loss_bbox is RotatedIoULoss, .* needs a GPU'):
        train(str(config), cfg_options=options, work_dir=str(tmp_path))


def test_flops_of_a_shipped_config(tmp_path):
    """Count at the size of DOTA's patches, with as many boxes as the RPN proposes."""
    log = run_tool('get_flops', CONFIG, folder=tmp_path)
    assert '1024x1024' in log
    assert 'backbone' in log and 'roi_head' in log
