"""Boxes of instances, of models without boxes too."""

import torch
from mmengine.structures import InstanceData


def find_boxes(found: InstanceData) -> torch.Tensor:
    """Return the boxes of instances; where a model gives none, such as SOLO, those of the masks.

    Args:
        found (InstanceData): Boxes, and perhaps masks (N, H, W).

    Returns:
        Tensor: A copy of the boxes (N, 4), or (N, 5) rotated.
    """
    # mmrotate's boxes are objects around a tensor
    boxes = getattr(found.bboxes, 'tensor', found.bboxes).clone()
    empty = ~boxes.any(1)
    if 'masks' in found and empty.any():
        # imported lazily: a segmentor needs no mmdet
        from mmdet.structures.mask import mask2bbox

        boxes[empty] = mask2bbox(torch.as_tensor(found.masks)[empty]).to(boxes)
    return boxes
