"""Label maps of one class end in one line before anything is built."""

import cv2
import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

from sparx_mm.data_checks.segmentation.folders import check_seg_folders
from sparx_mm.errors import UserError

pytestmark = pytest.mark.stack


@pytest.fixture
def check(tmp_path):
    """Write images and label maps of the given ids, and check the set."""

    def check(*maps, classes=('ground', 'thing'), key='train_dataloader.dataset', **kwargs):
        for folder in ('images', 'labels'):
            (tmp_path / folder).mkdir()
        for i, ids in enumerate(maps):
            pixels = np.full((4, 6), ids[0], np.uint8)
            pixels.flat[: len(ids)] = ids
            for folder in ('images', 'labels'):
                cv2.imwrite(f'{tmp_path}/{folder}/{i:03d}.png', pixels)
        dataset = dict(
            type='BaseSegDataset',
            data_root=str(tmp_path),
            img_suffix='.png',
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            metainfo=dict(classes=classes),
        )
        check_seg_folders({**dataset, **kwargs}, key, scope='mmseg')

    return check


@pytest.mark.tries('label maps, or labels of a list')
@pytest.mark.parametrize(
    'maps,kwargs,message',
    [
        (
            [(0, 255)] * 3,
            {},
            '^train_dataloader.dataset: the 3 label maps hold 0 and 255 only; 255 is ignored, so '
            "class 1 'thing' never occurs: write 1 in the place of 255$",
        ),
        ([(0,)] * 2, dict(classes=('a', 'b', 'c')), 'hold 0 only, so 2 of 3 classes never occur'),
        (
            [(0, 1), (0, 255)],
            dict(reduce_zero_label=True),
            "hold 0 and 1 and 255 only; 0 and 255 are ignored, so class 1 'thing' never occurs: "
            'write 2 in the place of 255',
        ),
        ([(0, 255)], dict(reduce_zero_label=True), 'are ignored, so 2 of 2 classes never occur'),
        (
            [(0, 1)],
            dict(reduce_zero_label=True),
            'hold 0 and 1 only; 0 is ignored: if 0 is a class, give '
            'train_dataloader.dataset.reduce_zero_label=False',
        ),
    ],
)
def test_one_class_is_all_that_is_learned(check, maps, kwargs, message):
    with pytest.raises(UserError, match=message):
        check(*maps, **kwargs)


@TRANSFORMS.register_module()
class Divide255:
    """A step of the user's own, after which the ids are others."""


@pytest.mark.parametrize('own', [False, True])
def test_steps_of_the_users_own(check, own):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    pipeline.append(dict(type='CheckSegMap', num_classes=2))
    if own:
        check((0, 255), pipeline=[*pipeline, dict(type='Divide255')])
    else:
        with pytest.raises(UserError, match='hold 0 and 255 only'):
            check((0, 255), pipeline=pipeline)


@pytest.mark.parametrize(
    'maps,kwargs',
    [
        ([(0, 1)], {}),
        # a rare class, which is in none of the few that are read at first
        ([*[(0, 255)] * 40, (1,), *[(0, 255)] * 40], {}),
        ([(0, 255)], dict(key='test_dataloader.dataset')),
        ([(0, 255)], dict(classes=('thing',))),
        # another set may have the other class
        ([(0, 255)], dict(key='train_dataloader.dataset.datasets.0')),
    ],
)
def test_sets_that_teach(check, maps, kwargs):
    check(*maps, **kwargs)
