"""The test pipeline of a config runs on images without labels, from files and from arrays."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from sparx_mm.errors import UserError
from sparx_mm.inference.pipeline import (
    Preparation,
    Unreadable,
    find_pipeline,
    settle_tta,
    without_labels,
)

LOAD, RESIZE = dict(type='LoadImageFromFile'), dict(type='mmdet.Resize', scale=(32, 32))
PACK = dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'ori_shape'))
LABELS = dict(type='mmdet.LoadAnnotations', with_bbox=True)


@pytest.fixture
def preparation():
    init_default_scope('mmdet')
    return Preparation([LOAD, RESIZE, LABELS, PACK])


def test_label_steps_go_from_within_others():
    inner = [[RESIZE], [LABELS], [dict(type='LoadPanopticAnnotations')], [PACK]]
    steps = [LOAD, dict(type='TestTimeAug', transforms=inner)]
    assert without_labels(steps)[1]['transforms'] == [[RESIZE], [PACK]]
    assert without_labels([LOAD, LABELS, PACK]) == [LOAD, PACK]


def test_a_file_and_its_array_are_the_same(preparation, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 40, 3), np.uint8)
    path = str(tmp_path / 'a.png')
    cv2.imwrite(path, pixels)
    by_file, by_array = (
        preparation.prepare(preparation.load(one), 7)['inputs'] for one in (path, pixels)
    )
    assert by_file.equal(by_array) and by_file.shape == (3, 32, 32)


@pytest.mark.parametrize('color_type', ['color', 'color_ignore_orientation'])
def test_gray_and_transparent_arrays(color_type):
    init_default_scope('mmdet')
    preparation = Preparation([dict(LOAD, color_type=color_type), RESIZE, PACK])
    gray = np.random.default_rng(0).integers(0, 255, (20, 40), np.uint8)
    wanted = preparation.load(np.stack([gray] * 3, -1))['img']
    alpha = np.stack([gray] * 3 + [np.zeros_like(gray)], -1)
    for array in (gray, gray[..., None], alpha):
        loaded = preparation.load(array)['img']
        assert loaded.dtype == np.uint8 and (loaded == wanted).all()


@pytest.mark.parametrize(
    'array',
    [
        np.zeros((4, 4), np.uint16),
        np.zeros(5, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
    ],
)
def test_arrays_that_are_no_image(preparation, array):
    with pytest.raises(Unreadable, match='is no image'):
        preparation.load(array)


def test_broken_files(preparation, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'')
    with pytest.raises(Unreadable, match=r'a\.png is empty \(0 bytes\)'):
        preparation.load(str(tmp_path / 'a.png'))


def test_a_side_that_is_rounded_to_0():
    init_default_scope('mmdet')
    preparation = Preparation([LOAD, dict(RESIZE, scale=(32, 32), keep_ratio=True), PACK])
    with pytest.raises(Unreadable, match=r'an array of shape \(1, 5000, 3\) cannot be prepared'):
        preparation.prepare(preparation.load(np.zeros((1, 5000, 3), np.uint8)))


@pytest.mark.parametrize('steps', [[], [RESIZE, PACK]])
def test_pipelines_that_load_no_image(steps):
    with pytest.raises(UserError, match='begins with no'):
        Preparation(steps)


def test_a_config_without_a_pipeline():
    with pytest.raises(UserError, match='no test pipeline'):
        find_pipeline(Config(dict(test_dataloader=None)))


def config(scope, model, **kwargs):
    sets = dict(type='CocoDataset', pipeline=[LOAD, RESIZE, LABELS, PACK])
    return Config(
        dict(default_scope=scope, model=model, test_dataloader=dict(dataset=sets), **kwargs)
    )


def test_augmentation_that_the_config_does_not_define():
    model, steps = settle_tta(config('mmdet', dict(type='RetinaNet')))
    assert model['type'] == 'DetTTAModel'
    init_default_scope('mmdet')
    preparation = Preparation(steps)
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 200
    prepared = preparation.prepare(preparation.load(pixels))
    plain, flipped = prepared['inputs']
    assert flipped.flip(2).equal(plain) and not flipped.equal(plain)
    assert [sample.flip for sample in prepared['data_samples']] == [False, True]
    assert torch.is_tensor(plain) and plain.shape == (3, 32, 32)


def test_flips_come_before_padding():
    """mmdet mirrors boxes within the image without its padding, such as a portrait's."""
    cfg = config('mmdet', dict(type='RTMDet'))
    resize, pad = dict(RESIZE, keep_ratio=True), dict(type='mmdet.Pad', size=(32, 32))
    cfg.test_dataloader.dataset.pipeline[1:2] = [resize, pad]
    init_default_scope('mmdet')
    preparation = Preparation(settle_tta(cfg)[1])
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[:, :10] = 200
    plain, flipped = preparation.prepare(preparation.load(pixels))['inputs']
    assert plain.shape == flipped.shape == (3, 32, 32)
    assert flipped[..., :16].flip(2).equal(plain[..., :16])
    # of a segmentor's label map the padding is flipped back with the rest
    cfg.default_scope = 'mmseg'
    transforms = settle_tta(cfg)[1][1]['transforms']
    assert [step['type'] for step, *_ in transforms[1:3]] == ['mmdet.Pad', 'RandomFlip']


@pytest.mark.parametrize(
    'cfg,message',
    [
        (config('mmrotate', dict(type='X')), 'mmrotate has no model for it'),
        (config('mmdet', dict(roi_head=dict(mask_head=dict(type='X')))), 'this model has masks'),
    ],
)
def test_augmentation_that_cannot_be(cfg, message):
    with pytest.raises(UserError, match=message):
        settle_tta(cfg)
