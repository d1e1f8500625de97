"""Samples of mmdet and mmseg at the size of an enlarged image."""

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData


def enlarge_sample(sample: BaseDataElement, shape: tuple[int, int]) -> BaseDataElement:
    """Scale what a sample holds of its ground truth and its prediction.

    Args:
        sample (DetDataSample or SegDataSample): Sample with ``gt_instances``
            and perhaps ``pred_instances`` at the scale of its ``ori_shape``, or
            with ``gt_sem_seg`` and perhaps ``pred_sem_seg`` of any size.
        shape (tuple[int, int]): Height and width of the enlarged image.

    Returns:
        DetDataSample or SegDataSample: Sample with these fields only. If it
        has boxes, label maps are left out.
    """
    large = type(sample)()
    if 'bboxes' in sample.get('gt_instances', ()):
        for name in {'gt_instances', 'pred_instances'} & set(sample.keys()):
            large.set_data({name: _enlarge_instances(sample.get(name), sample.ori_shape, shape)})
    elif 'gt_sem_seg' in sample:
        for name in {'gt_sem_seg', 'pred_sem_seg'} & set(sample.keys()):
            large.set_data({name: _enlarge_label_map(sample.get(name), shape)})
    return large


def _enlarge_instances(instances, shape, new_shape):
    # imported lazily: a segmentor is drawn without mmdet
    from mmdet.structures.mask import BitmapMasks

    (height, width), (new_height, new_width) = shape, new_shape
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    # x and y apart, because the short side of a long image is rounded
    scale = boxes.new_tensor([new_width / width, new_height / height] * 2)
    # clipped, because matplotlib shrinks an image that a box leaves
    last = boxes.new_tensor([new_width - 1, new_height - 1] * 2)
    large = InstanceData(labels=instances.labels, bboxes=(boxes * scale).clamp(min=0).minimum(last))
    if 'scores' in instances:
        large.scores = instances.scores
    if 'masks' in instances:
        masks = instances.masks
        if isinstance(masks, torch.Tensor):
            masks = BitmapMasks(masks.numpy().astype(np.uint8), height, width)
        large.masks = masks.resize(new_shape, 'bilinear')
    return large


def _enlarge_label_map(label_map, shape):
    # (1, h, w) -> (h, w), in a type that cv2 can resize
    labels = label_map.data.numpy()[0].astype(np.uint16)
    labels = cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return PixelData(data=torch.from_numpy(labels.astype(np.int64))[None])
