"""A detector and a segmentor meet numbers that no training survives."""

import logging
import math
from pathlib import Path

import detection
import numpy as np
import pytest
import segmentation
import torch
from detection import ROOT
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from sparx_mm.checkpoint_io import read_checkpoint
from sparx_mm.errors import UserError
from sparx_mm.run.runner import build_runner

pytestmark = pytest.mark.stack


@TRANSFORMS.register_module()
class SetPixel(BaseTransform):
    """Set a pixel of one image of floating point.

    Args:
        value (float): The pixel.
        name (str): Part of the image's name.
    """

    def __init__(self, value, name):
        self.value, self.name = value, name

    def transform(self, results):
        results['img'] = results['img'].astype(np.float32)
        if self.name in results['img_path']:
            results['img'][5, 5, 0] = self.value
        return results


@pytest.fixture(params=['detector', 'segmentor'])
def make(request, shapes, ade, tmp_path):
    """Make a runner of a detector or a segmentor that saves every iteration."""

    def make(pixel=None, **options):
        options |= dict(default_hooks__logger__interval=1, default_hooks__checkpoint__interval=1)
        options |= dict(default_hooks__checkpoint__by_epoch=False)
        if request.param == 'detector':
            path = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'
            options |= dict(train_cfg__max_epochs=2)
            cfg = detection.tiny_config(path, shapes, str(tmp_path / 'run'), **options)
        else:
            path = ROOT / 'configs/mmseg/semantic_fpn_sparx_t.py'
            options |= dict(train_cfg__max_iters=4)
            cfg = segmentation.tiny_config(path, ade, str(tmp_path / 'run'), **options)
        # an epoch's order of images, so that each comes
        cfg.randomness = dict(seed=0)
        names = dict(detector='000002', segmentor='00000002')
        for loop in ('train', 'test'):
            pipeline = cfg[f'{loop}_dataloader'].dataset.pipeline
            if pixel is not None:
                step = dict(type='SetPixel', value=pixel, name=names[request.param])
                pipeline.insert(len(pipeline) - 1, step)
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.save_best = None
        return build_runner(cfg, ('train',)), names[request.param]

    return make


def end_of(runner) -> str:
    """Train, and return the error; weights are finite, and so are saved ones."""
    message = ''
    try:
        runner.train()
    except UserError as error:
        message = str(error)
    assert '\n' not in message
    assert all(p.isfinite().all() for p in runner.model.parameters())
    saved = Path(runner.work_dir) / f'iter_{runner.iter}.pth'
    if runner.iter:
        weights = read_checkpoint(str(saved))['state_dict'].values()
        assert all(w.isfinite().all() for w in weights)
    if message:
        known = str(saved) if runner.iter else 'there is no checkpoint yet'
        assert 'the optimizer has not stepped, ' in message and known in message
    return message


@pytest.mark.tries('NaN, infinite or 1e30')
@pytest.mark.parametrize(
    'pixel', [math.nan, *(pytest.param(p, marks=pytest.mark.faults) for p in (math.inf, 1e30))]
)
def test_a_pixel(make, pixel):
    runner, name = make(pixel)
    message = end_of(runner)
    assert f'{name}.' in message and 'has pixels ' in message
    assert message.startswith(f'iteration {runner.iter + 1}: ')


@pytest.mark.tries('a loss or gradient norm')
def test_a_rate_of_a_million(make):
    runner, _ = make(
        optim_wrapper__optimizer=dict(_delete_=True, type='SGD', lr=1e6, weight_decay=0.0),
        optim_wrapper__clip_grad=None,
        param_scheduler=None,
    )
    message = end_of(runner)
    assert ' is nan' in message or ' is inf' in message


@pytest.mark.tries('a loss or gradient norm')
def test_weights_ten_thousand_times_as_large(make):
    runner, _ = make()
    with torch.no_grad():
        for parameter in runner.model.parameters():
            parameter.mul_(1e4)
    # or training would begin with other weights
    runner.model._is_init = True
    message = end_of(runner)
    assert message.startswith('iteration 1: ') and 'loss' in message and ' is nan' in message


@pytest.mark.tries('NaN in an evaluation')
@pytest.mark.parametrize('where', ['pixel', 'weight'])
def test_evaluation_names_images(make, caplog, where):
    runner, name = make(math.nan if where == 'pixel' else None)
    runner.load_or_resume()
    if where == 'weight':
        next(runner.model.backbone.parameters()).data.fill_(math.nan)
    said = []
    runner.logger.warning = said.append
    runner.test()
    lines = [line for line in said if 'means nothing' in line]
    if where == 'pixel':
        assert len(lines) == 1
        assert f'{name}.' in lines[0] and 'has pixels that are NaN' in lines[0]
    else:
        assert len(lines) == 3
        assert all('NaN in the output of backbone for ' in line for line in lines)


def test_evaluation_says_nothing_of_a_sound_model(make, caplog):
    runner, _ = make()
    with caplog.at_level(logging.WARNING):
        runner.test()
    assert 'NaN' not in caplog.text
