"""Real images, prepared as a network that was exported wants them."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import UserError
from ..image_files import IMAGE_ENDINGS


def find_images(folder: str | os.PathLike, count: int) -> list[Path]:
    """List the first images of a folder.

    Args:
        folder (str): Folder, of which hidden files are passed over, or one image.
        count (int): Most images.

    Returns:
        list[Path]: At least one.

    Raises:
        UserError: If there is none.
    """
    path = Path(folder)
    found = [path] if path.is_file() else sorted(path.glob('[!.]*'))
    found = [file for file in found if file.suffix.lower() in IMAGE_ENDINGS and file.is_file()]
    if not found:
        raise UserError(f'--images {folder} has no image; give one, or a folder of them')
    return found[:count]


def letterbox(
    file: str | os.PathLike, size: tuple[int, int], facts: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Fit an image into a size and normalise it, padded at the right and the bottom.

    Args:
        file (str): Image file.
        size (tuple[int, int]): Height and width.
        facts (dict): ``mean``, ``std`` and ``channels``, ``'RGB'`` or ``'BGR'``.

    Returns:
        tuple[ndarray, ndarray]: (1, 3, H, W) and (1, 2), the height and width of what is no
        padding; float32.

    Raises:
        UserError: If the file is no image.
    """
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f'{file} cannot be read as an image')
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    image = cv2.resize(image, (width, height))
    if facts['channels'] == 'RGB':
        image = image[..., ::-1]
    image = (image - np.float32(facts['mean'])) / np.float32(facts['std'])
    out = np.zeros((1, 3, *size), np.float32)
    # (H, W, 3) -> (3, H, W)
    out[0, :, :height, :width] = image.transpose(2, 0, 1)
    return out, np.float32([[height, width]])


def with_noise(arrays: dict[str, np.ndarray], count: int = 8) -> list[dict[str, np.ndarray]]:
    """Make inputs that differ by little more than rounding, so that ties fall either way.

    Args:
        arrays (dict[str, ndarray]): ``images``, normalised, and other inputs, which stay.
        count (int): How many. Default: 8.

    Returns:
        list[dict]: The inputs; the same each time.
    """
    numbers = np.random.default_rng(0)
    images = arrays['images']
    noise = (numbers.standard_normal(images.shape, np.float32) for _ in range(count))
    return [{**arrays, 'images': images + np.float32(1e-4) * one} for one in noise]
