"""Pictures of what a training is given: images after augmentation, with their ground truth."""

import os.path as osp
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.runner.utils import set_random_seed
from mmengine.structures import BaseDataElement

from ..demo.predictions import write_picture
from ..demo.sheet import BLACK, FONT, GAP, WHITE, as_color, enlarge
from ..errors import UserError
from .samples import Painter

# of the contact sheet, in pixels: height of an image, width of the sheet, height of a name
TILE, SHEET, NAME = 256, 1600, 22


def browse(
    dataset: BaseDataset,
    folder: str,
    indices: Sequence[int],
    repeat: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Draw samples of a data set, each into a file, and all on a contact sheet.

    Args:
        dataset (BaseDataset): The data set, with its pipeline.
        folder (str): Folder of the files.
        indices (Sequence[int]): Numbers of the images.
        repeat (int): How often each image is augmented. Default: 1.
        seed (int): Seed of the augmentations. Default: 0.
        progress (callable, optional): Function of the number of pictures done and of all,
            called after each. Default: None.

    Returns:
        str: File of the contact sheet.

    Raises:
        UserError: If a sample cannot be drawn or a file cannot be written.
    """
    set_random_seed(seed)
    painter = Painter(dataset.metainfo)
    tiles = []
    for index in indices:
        for turn in range(repeat):
            image, sample = split_sample(dataset[index])
            picture = painter.draw(image, sample, truth=True)
            legend = painter.legend([sample], 2 * picture.shape[1])
            if legend is not None:
                # label maps are drawn on grey: the colors of the image are beside it
                size = picture.shape[1::-1]
                beside = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
                pair = np.concatenate([beside, picture], axis=1)
                picture = np.concatenate([pair, legend])
            stem = osp.splitext(osp.basename(sample.get('img_path') or ''))[0]
            name = f'{index:06d}_{stem}' + (f'_{turn}' if repeat > 1 else '')
            write_picture(osp.join(folder, f'{name}.jpg'), picture)
            tiles.append(_name_tile(enlarge(picture, TILE), stem))
            if progress is not None:
                progress(len(tiles), len(indices) * repeat)
    path = osp.join(folder, 'contact_sheet.jpg')
    write_picture(path, np.concatenate(list(_rows(tiles))))
    return path


def split_sample(packed: dict) -> tuple[np.ndarray, BaseDataElement]:
    """Split what a pipeline returns into an image and its data sample.

    Args:
        packed (dict): Sample with ``inputs`` of shape (C, H, W) and ``data_samples``.

    Returns:
        tuple: The image (H, W, 3), BGR, uint8, and the data sample, whose ``ori_shape`` is
        that of the image.

    Raises:
        UserError: If it is of another form.
    """
    inputs = packed.get('inputs') if isinstance(packed, dict) else None
    if not isinstance(inputs, torch.Tensor) or inputs.ndim != 3 or 'data_samples' not in packed:
        raise UserError(
            'the pipeline of the data set returns no single image with a data sample: it must end '
            'in PackDetInputs, PackSegInputs or PackInputs, and make one view of an image'
        )
    # (C, H, W) -> (H, W, C)
    image = inputs.permute(1, 2, 0).numpy()
    if image.dtype != np.uint8 and (image.min() < 0 or image.max() <= 1):
        # normalized in the pipeline
        image = (image - image.min()) / max(np.ptp(image), 1e-6) * 255
    image = image.clip(0, 255).astype(np.uint8)
    image = as_color(image)
    sample = packed['data_samples']
    # boxes and masks are at the scale of the augmented image
    sample.set_metainfo(dict(ori_shape=image.shape[:2]))
    return np.ascontiguousarray(image), sample


def _name_tile(tile, name):
    """Write a name under an image, as much of it as there is room for."""
    line = np.full((NAME, tile.shape[1], 3), WHITE, np.uint8)
    # a letter of this size is 9 pixels wide
    shown = name[-(tile.shape[1] // 9) :]
    cv2.putText(line, shown, (2, NAME - 7), FONT, 0.45, BLACK, 1, cv2.LINE_AA)
    tile = np.concatenate([tile, line])
    below = TILE + NAME - len(tile)
    return np.pad(tile, ((0, below + GAP), (0, GAP), (0, 0)), constant_values=255)


def _rows(tiles) -> Iterator[np.ndarray]:
    """Yield rows of tiles, all as wide as the sheet."""
    rows, row, used = [], [], 0
    for tile in tiles:
        if row and used + tile.shape[1] > SHEET:
            rows.append(row)
            row, used = [], 0
        row.append(tile)
        used += tile.shape[1]
    rows.append(row)
    width = max(sum(tile.shape[1] for tile in row) for row in rows)
    for row in rows:
        whole = np.concatenate(row, axis=1)
        yield np.pad(whole, ((0, 0), (0, width - whole.shape[1]), (0, 0)), constant_values=255)
