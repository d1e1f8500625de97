"""Boxes, masks and label maps stay where they are in the image."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from sparx_mm.demo.samples import enlarge_sample

# (h, w) of the image, and a rectangle in it: left, top, right, bottom
SHAPE, BOX = (40, 20), (6, 10, 14, 30)
POLYGON = np.array([6.0, 10, 14, 10, 14, 30, 6, 30])


def rectangle(shape, box):
    left, top, right, bottom = box
    mask = np.zeros(shape, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize('masks', ['bitmap', 'polygon', None])
def test_instances(masks):
    bitmap = rectangle(SHAPE, BOX)[None]
    sample = DetDataSample(metainfo=dict(ori_shape=SHAPE))
    boxes, labels = torch.tensor([BOX], dtype=torch.float), torch.tensor([3])
    sample.gt_instances = InstanceData(bboxes=HorizontalBoxes(boxes), labels=labels)
    sample.pred_instances = InstanceData(bboxes=boxes, labels=labels, scores=torch.tensor([0.25]))
    if masks:
        sample.gt_instances.masks = dict(
            bitmap=BitmapMasks(bitmap, *SHAPE), polygon=PolygonMasks([[POLYGON]], *SHAPE)
        )[masks]
        sample.pred_instances.masks = torch.from_numpy(bitmap > 0)
    large = enlarge_sample(sample, (120, 60))
    expected = rectangle((120, 60), [3 * side for side in BOX])
    for instances in (large.gt_instances, large.pred_instances):
        assert instances.bboxes.tolist() == [[3 * side for side in BOX]]
        assert instances.labels.tolist() == [3]
        assert ('masks' in instances) == (masks is not None)
        if masks:
            (mask,) = instances.masks.to_ndarray()
            assert mask.shape == (120, 60) and abs(mask - expected.astype(int)).mean() < 0.02
    assert large.pred_instances.scores.tolist() == [0.25]
    # the sample itself is as it was
    assert sample.gt_instances.bboxes.tensor.tolist() == [list(BOX)]


def test_no_instance():
    sample = DetDataSample(metainfo=dict(ori_shape=SHAPE))
    empty = dict(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    sample.gt_instances = InstanceData(**empty, masks=BitmapMasks(np.zeros((0, *SHAPE)), *SHAPE))
    sample.pred_instances = InstanceData(**empty, masks=torch.zeros(0, *SHAPE, dtype=torch.bool))
    large = enlarge_sample(sample, (120, 60))
    for instances in (large.gt_instances, large.pred_instances):
        assert len(instances) == 0 and instances.masks.to_ndarray().shape == (0, 120, 60)


def test_boxes_of_a_long_image():
    # 7x900 is shown as 2x288: boxes scale apart in x and y, and stay within
    sample = DetDataSample(metainfo=dict(ori_shape=(7, 900)))
    boxes = torch.tensor([[450.0, 0.0, 899.0, 6.0], [-5.0, 3.5, 950.0, 9.0]])
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))
    sample.pred_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))
    large = enlarge_sample(sample, (2, 288)).gt_instances.bboxes
    assert large[0].tolist() == pytest.approx([144, 0, 287, 1], abs=0.75)
    assert large[1].tolist() == [0, 1, 287, 1]


def test_label_maps():
    labels = rectangle(SHAPE, BOX).astype(np.int64) * 149
    labels[:4] = 255
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(labels)[None])
    # the prediction may have another size
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(labels[::2, ::2].copy())[None])
    large = enlarge_sample(sample, (120, 60))
    expected = labels.repeat(3, axis=0).repeat(3, axis=1)
    for label_map in (large.gt_sem_seg, large.pred_sem_seg):
        assert label_map.data.shape == (1, 120, 60) and label_map.data.dtype == torch.int64
        assert (label_map.data[0].numpy() == expected).all()


def test_without_ground_truth():
    assert not enlarge_sample(SegDataSample(), (120, 60)).keys()
