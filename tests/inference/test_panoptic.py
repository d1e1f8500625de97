"""Panoptic predictions as COCO's JSON and PNGs."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData

from sparx_mm.inference.panoptic import PanopticWriter, is_panoptic

METAINFO = dict(classes=('person', 'car', 'sky'), thing_classes=('person', 'car'))


def sample():
    """Two cars, sky, and pixels of no class, as mmdet numbers them."""
    labels = torch.full((1, 6, 8), 3)
    labels[0, :2] = 2
    labels[0, 3:5, 1:4], labels[0, 3:, 5:] = 1001, 2001
    return DetDataSample(pred_panoptic_seg=PixelData(sem_seg=labels)), labels[0].numpy()


def test_segments_are_written(tmp_path):
    writer = PanopticWriter(str(tmp_path), METAINFO)
    predicted, labels = sample()
    writer.add('deep/a.jpg', (6, 8), predicted)
    writer.close()
    content = json.loads((tmp_path / 'predictions.json').read_text())
    assert [(c['name'], c['isthing']) for c in content['categories']] == [
        ('person', 1),
        ('car', 1),
        ('sky', 0),
    ]
    assert content['images'] == [dict(id=1, file_name='deep/a.jpg', height=6, width=8)]
    (annotation,) = content['annotations']
    blue, green, red = np.moveaxis(
        cv2.imread(str(tmp_path / 'panoptic' / annotation['file_name'])).astype(int), 2, 0
    )
    ids = red + 256 * green + 65536 * blue
    assert (ids == 0).tolist() == (labels == 3).tolist()
    found = {
        (one['category_id'], one['area'], tuple(one['bbox'])) for one in annotation['segments_info']
    }
    assert found == {(3, 16, (0, 0, 8, 2)), (2, 6, (1, 3, 3, 2)), (2, 9, (5, 3, 3, 3))}
    for one in annotation['segments_info']:
        assert (ids == one['id']).sum() == one['area']


@pytest.mark.parametrize(
    'model, expected',
    [
        (dict(), False),
        (dict(panoptic_fusion_head=1, test_cfg=None), True),
        (dict(panoptic_fusion_head=1, test_cfg=dict(panoptic_on=True)), True),
        (dict(panoptic_fusion_head=1, test_cfg=dict(panoptic_on=False)), False),
    ],
)
def test_models_that_give_segments(model, expected):
    assert bool(is_panoptic(SimpleNamespace(**model))) == expected
