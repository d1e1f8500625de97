"""Images of a folder, as a network is given them."""

import random
from pathlib import Path

import cv2
import numpy as np
import torch

from ...errors import UserError
from ...image_files import IMAGE_ENDINGS

# ImageNet's, by which backbones are trained
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def find_images(folder: str, num: int, seed: int = 0) -> list[Path]:
    """Choose images of a folder at random, those of folders inside it too.

    Args:
        folder (str): The folder; hidden files and folders in it are passed over.
        num (int): Greatest number of images.
        seed (int): Seed of the choice. Default: 0.

    Returns:
        list[Path]: The images, sorted by name.

    Raises:
        UserError: If there are none.
    """
    if not Path(folder).is_dir():
        raise UserError(f'--images {folder} is no folder')
    paths = sorted(
        path
        for path in Path(folder).rglob('*')
        if path.suffix.lower() in IMAGE_ENDINGS
        and path.is_file()
        and not any(part.startswith('.') for part in path.relative_to(folder).parts)
    )
    if not paths:
        raise UserError(
            f'--images {folder} has no images: their names end in {", ".join(IMAGE_ENDINGS)}'
        )
    return sorted(random.Random(seed).sample(paths, min(num, len(paths))))


def read_images(paths: list[Path], size: int) -> torch.Tensor:
    """Read the middles of images, scaled so that their shorter side fits.

    Args:
        paths (list[Path]): Files.
        size (int): Side of the square, in pixels.

    Returns:
        Tensor: RGB images of shape (N, 3, size, size), uint8.

    Raises:
        UserError: If a file is no image.
    """
    images = []
    for path in paths:
        # read here, because OpenCV prints a line of its own and names no reason
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            raise UserError(f'{path} cannot be read as an image: remove or replace it')
        scale = size / min(image.shape[:2])
        sides = [max(round(side * scale), size) for side in image.shape[1::-1]]
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, sides, interpolation=method)
        top, left = ((side - size) // 2 for side in image.shape[:2])
        image = image[top : top + size, left : left + size, ::-1]
        # (H, W, 3) -> (3, H, W)
        images.append(torch.from_numpy(image.transpose(2, 0, 1).copy()))
    return torch.stack(images)


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Normalize RGB images of 0 to 255 by ImageNet's mean and deviation.

    Args:
        images (Tensor): Images of shape (N, 3, H, W).

    Returns:
        Tensor: The same, float32.
    """
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, STD))
    return (images.float() - mean) / std
