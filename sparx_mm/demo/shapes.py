"""Write a drawn data set for instance and semantic segmentation.

The same images have two kinds of annotations: masks in COCO's format, and
label maps. Nothing is downloaded, and a few hundred images are enough to train
and measure a model in minutes.
"""

import os
import os.path as osp
from collections.abc import Callable

import numpy as np

from ..errors import UserError
from .drawing import CLASSES, draw_sample
from .drawn_set import SetKind, write_json, write_set
from .predictions import write_picture


def make_shapes(
    root: str,
    num_train: int = 400,
    num_val: int = 100,
    size: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Write a training and a validation set.

    ``root`` gets ``annotations/instances_{train,val}.json``, the folders
    ``train`` and ``val`` of PNG files, ``labels/train`` and ``labels/val`` of
    label maps of the same names (see `Sample.label_map`), and a manifest; see
    `write_set`. The same arguments draw the same pixels; the two splits are
    drawn from different seeds.

    Args:
        root (str): Folder of the set.
        num_train (int): Number of training images. Default: 400.
        num_val (int): Number of validation images. Default: 100.
        size (int): Height and width in pixels. Default: 128.
        seed (int): Seed of the set. Default: 0.
        progress (callable, optional): Function of the number of images drawn
            and of all images, called after each. Default: None.

    Returns:
        bool: True if the set was drawn, False if ``root`` already held it.

    Raises:
        ValueError: If a number is not positive.
        FileExistsError: If ``root`` holds files that are not part of a drawn set.
        UserError: If pycocotools, which encodes the masks, is missing.
    """
    return write_set(root, _SHAPES, num_train, num_val, size, seed, progress)


def _list_split(split, count):
    images = {
        f'{folder}/{i:06d}.png' for folder in (split, f'labels/{split}') for i in range(count)
    }
    return {f'annotations/instances_{split}.json', *images}


def _write_split(root, split, count, size, seed):
    """Write images and annotations of a split; yield after each image."""
    mask_utils = _import_mask_utils()
    os.makedirs(osp.join(root, split))
    os.makedirs(osp.join(root, 'labels', split))
    os.makedirs(osp.join(root, 'annotations'), exist_ok=True)
    images, annotations = [], []
    for index in range(count):
        # a seed for each image, so that a larger set begins with the smaller one
        sample = draw_sample(np.random.default_rng((*seed, index)), size)
        name = f'{index:06d}.png'
        write_picture(osp.join(root, split, name), sample.image)
        write_picture(osp.join(root, 'labels', split, name), sample.label_map)
        images.append(dict(id=index + 1, file_name=name, height=size, width=size))
        for label, mask in zip(sample.labels, sample.masks):
            rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index + 1,
                    category_id=label + 1,
                    segmentation=dict(size=rle['size'], counts=rle['counts'].decode()),
                    area=float(mask_utils.area(rle)),
                    bbox=mask_utils.toBbox(rle).tolist(),
                    iscrowd=0,
                )
            )
        yield
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)]
    write_json(
        osp.join(root, 'annotations', f'instances_{split}.json'),
        dict(
            info=dict(description='shapes drawn by sparx_mm'),
            licenses=[],
            categories=categories,
            images=images,
            annotations=annotations,
        ),
    )


def _import_mask_utils():
    # imported lazily: mmseg does not install it, and reads a set without it
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UserError(
            'a set cannot be drawn without pycocotools, which encodes its '
            'masks: pip install pycocotools'
        ) from error
    return mask


_SHAPES = SetKind(
    manifest='shapes.json',
    what='shapes drawn by sparx_mm',
    version=2,
    classes=CLASSES,
    list_split=_list_split,
    write_split=_write_split,
)
