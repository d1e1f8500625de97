"""Write a drawn aerial set in the layout of mmseg's Potsdam."""

import os
import os.path as osp
from collections.abc import Callable

import cv2
import numpy as np

from .aerial import AERIAL_CLASSES, draw_aerial
from .drawn_set import SPLITS, check_numbers, write_set

MANIFEST = 'aerial.json'
FOLDERS = ('img_dir', 'ann_dir')


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
    """
    check_numbers(num_train, num_val, size, seed)
    manifest = dict(
        what='aerial images drawn by sparx_mm',
        version=1,
        classes=list(AERIAL_CLASSES),
        num_train=num_train,
        num_val=num_val,
        size=size,
        seed=seed,
    )

    def write(root):
        for number, split in enumerate(SPLITS):
            places = [osp.join(root, folder, split) for folder in FOLDERS]
            for place in places:
                os.makedirs(place)
            for index in range(manifest[f'num_{split}']):
                # a seed for each image, so that a larger set begins with the smaller one
                sample = draw_aerial(np.random.default_rng((seed, number, index)), size)
                for place, pixels in zip(places, sample):
                    cv2.imwrite(osp.join(place, f'{index:06d}.png'), pixels)
                yield

    return write_set(root, MANIFEST, manifest, _list_files, write, progress)


def _list_files(manifest):
    return {
        f'{folder}/{split}/{index:06d}.png'
        for folder in FOLDERS
        for split in SPLITS
        for index in range(manifest[f'num_{split}'])
    }
