"""Write a drawn aerial set in the layout of mmseg's Potsdam."""

import os
import os.path as osp
from collections.abc import Callable

import numpy as np

from .aerial import AERIAL_CLASSES, draw_aerial
from .drawn_set import SetKind, write_set
from .predictions import write_picture

_FOLDERS = ('img_dir', 'ann_dir')


def make_aerial(
    root: str,
    num_train: int = 400,
    num_val: int = 100,
    size: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Write a training and a validation set of towns from above.

    ``root`` gets ``img_dir/{train,val}`` and ``ann_dir/{train,val}`` of PNG files, as mmseg's
    converter writes Potsdam, and a manifest; see `write_set`. The same arguments draw the
    same pixels.

    Args:
        root, num_train, num_val, size, seed, progress: As for `make_shapes`.

    Returns:
        bool: True if the set was drawn, False if ``root`` already held it.

    Raises:
        ValueError: If a number is not positive.
        FileExistsError: If ``root`` holds files that are not part of a drawn set.
    """
    return write_set(root, _AERIAL, num_train, num_val, size, seed, progress)


def _list_split(split, count):
    return {f'{folder}/{split}/{i:06d}.png' for folder in _FOLDERS for i in range(count)}


def _write_split(root, split, count, size, seed):
    places = [osp.join(root, folder, split) for folder in _FOLDERS]
    for place in places:
        os.makedirs(place)
    for index in range(count):
        # a seed for each image, so that a larger set begins with the smaller one
        sample = draw_aerial(np.random.default_rng((*seed, index)), size)
        for place, pixels in zip(places, sample):
            write_picture(osp.join(place, f'{index:06d}.png'), pixels)
        yield


_AERIAL = SetKind(
    manifest='aerial.json',
    what='aerial images drawn by sparx_mm',
    version=1,
    classes=AERIAL_CLASSES,
    list_split=_list_split,
    write_split=_write_split,
)
