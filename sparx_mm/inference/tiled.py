"""Predictions of large images, tile by tile."""

from collections.abc import Callable, Iterable, Iterator

import torch
from mmengine.structures import BaseDataElement
from torch import nn

from ..errors import UserError
from .merging import LabelCanvas, merge_instances
from .panoptic import is_panoptic
from .tiles import Tile

# runs tiles, and yields what is predicted of each
Run = Callable[[Iterable[Tile]], Iterator[BaseDataElement]]


def check_model(model: nn.Module, task: str) -> None:
    """Check that a model can predict tiles.

    Args:
        model (nn.Module): The model, perhaps in one for test-time augmentation.
        task (str): See `Predictor`.

    Raises:
        UserError: If it is a classifier, a panoptic model, or a segmentor under test-time
            augmentation.
    """
    if task == 'classification':
        raise UserError('tiles are for detectors and segmentors: a classifier takes an image')
    if is_panoptic(model):
        raise UserError(
            'tiles are for instances or label maps: a panoptic model takes an image; leave --tile out'
        )
    if task == 'segmentation' and hasattr(model, 'module'):
        raise UserError(
            "tiles and test-time augmentation do not go together for a segmentor: mmseg's "
            'model for it keeps no logits; leave one of them out'
        )


def detect(shape: tuple[int, int], rows: list[list[Tile]], run: Run) -> BaseDataElement:
    """Predict the tiles and the whole image, in which large objects are not cut.

    Args:
        shape (tuple[int, int]): Height and width of the image.
        rows (list[list[Tile]]): See `tile_rows`.
        run (Callable): See `Run`.

    Returns:
        BaseDataElement: The data sample of the whole image, with all instances.
    """
    tiles, whole = [tile for row in rows for tile in row], Tile(0, 0, *shape)
    tiles = tiles if tiles == [whole] else [whole, *tiles]
    found = list(run(tiles))
    if len(tiles) == 1:
        return found[0]
    found[0].pred_instances = merge_instances([one.pred_instances for one in found], tiles, shape)
    return found[0]


def segment(
    shape: tuple[int, int], rows: list[list[Tile]], run: Run, threshold: float | None
) -> BaseDataElement:
    """Predict the tiles of a label map.

    Args:
        shape (tuple[int, int]): Height and width of the image.
        rows (list[list[Tile]]): See `tile_rows`.
        run (Callable): See `Run`; data samples have ``seg_logits``.
        threshold (float, optional): Probability from which a model of one channel sees its class.

    Returns:
        BaseDataElement: A data sample with ``pred_sem_seg``.
    """

    def decide(logits: torch.Tensor) -> torch.Tensor:
        if len(logits) > 1:
            return logits.argmax(0, keepdim=True)
        # mmseg gives the sigmoid of a single channel
        return (logits > threshold).long()

    canvas, first = LabelCanvas(shape, decide), None
    for row in rows:
        for tile, one in zip(row, run(row)):
            canvas.add(tile, one.seg_logits.data)
            first = first or one
    merged = type(first)(metainfo={**first.metainfo, 'ori_shape': shape})
    merged.pred_sem_seg = type(first.pred_sem_seg)(data=canvas.finish())
    return merged
