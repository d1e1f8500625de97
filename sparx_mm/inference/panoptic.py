"""Panoptic predictions as files: COCO's JSON, and a PNG of segment numbers for each image."""

import json
import os.path as osp

import cv2
import numpy as np
from mmengine.structures import BaseDataElement, PixelData
from torch import nn

from ..checkpoint_io import write_text
from ..demo.predictions import write_picture
from .places import find_place

# by which mmdet numbers the instances of a class: label + number * 1000
_OFFSET = 1000


def is_panoptic(model: nn.Module) -> bool:
    """Tell if a detector predicts a segment for each pixel.

    Args:
        model (nn.Module or ConfigDict): The detector, or its config.

    Returns:
        bool: True if it fuses things and stuff, and is not told to give instances alone.
    """
    options = getattr(model, 'test_cfg', None) or {}
    fuses = getattr(model, 'panoptic_fusion_head', None) is not None
    return fuses and options.get('panoptic_on', True)


def find_segments(found: PixelData, num_classes: int) -> dict[int, int]:
    """List the segments of an image.

    Args:
        found (PixelData): What a model predicted, ``pred_panoptic_seg`` of its data sample.
        num_classes (int): Number of classes, which is also the label of pixels of none.

    Returns:
        dict[int, int]: The class by the value of a segment's pixels.
    """
    nothing = {num_classes, found.get('ignore_index', num_classes)}
    values = np.unique(found.sem_seg.numpy()).tolist()
    return {value: value % _OFFSET for value in values if value % _OFFSET not in nothing}


class PanopticWriter:
    """One file in COCO's panoptic format, and a PNG for each image.

    A pixel of a PNG is R + 256 G + 65536 B, the id of a segment of its image, or 0. panopticapi
    and mmdet's panoptic metric read both.

    Args:
        folder (str): Folder of ``predictions.json``, whose subfolder ``panoptic`` gets the PNGs.
        metainfo (dict): ``classes``, and perhaps ``thing_classes``.
    """

    def __init__(self, folder: str, metainfo: dict) -> None:
        self.path = osp.join(folder, 'predictions.json')
        self._folder, self._used = osp.join(folder, 'panoptic'), {}
        classes = metainfo['classes']
        things = metainfo.get('thing_classes', classes)
        self._categories = [
            dict(id=i, name=name, isthing=int(name in things)) for i, name in enumerate(classes, 1)
        ]
        self._images, self._annotations = [], []

    def add(self, name: str, shape: tuple[int, int], sample: BaseDataElement) -> None:
        """Write the PNG of an image; see `CocoWriter.add`.

        Args:
            name (str): Its relative path.
            shape (tuple[int, int]): Its height and width.
            sample (BaseDataElement): Its data sample, with ``pred_panoptic_seg``.

        Raises:
            UserError: If it cannot be written.
        """
        found = sample.pred_panoptic_seg
        labels = found.sem_seg.numpy().reshape(shape)
        ids, segments = np.zeros(shape, np.uint32), []
        for value, label in find_segments(found, len(self._categories)).items():
            mask = labels == value
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            segments.append(
                dict(
                    id=len(segments) + 1,
                    category_id=label + 1,
                    area=int(mask.sum()),
                    bbox=[x, y, width, height],
                    iscrowd=0,
                )
            )
            ids[mask] = len(segments)
        path = find_place(self._folder, name, '.png', self._used)
        # (H, W) -> (H, W, 3): blue, green, red, as OpenCV writes
        write_picture(path, np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8))
        file, number = osp.relpath(path, self._folder), len(self._images) + 1
        self._images.append(dict(id=number, file_name=name, height=shape[0], width=shape[1]))
        self._annotations.append(dict(image_id=number, file_name=file, segments_info=segments))

    def close(self) -> None:
        """Write the file."""
        content = dict(
            images=self._images, annotations=self._annotations, categories=self._categories
        )
        write_text(self.path, json.dumps(content))
