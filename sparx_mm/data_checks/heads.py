"""Checks that the heads of a model have the number of classes of the data."""

import re
from collections.abc import Iterable

from torch import nn

from ..config_nodes import type_name
from ..errors import UserError

# parts of a model with the number of classes: heads of segmentors; of
# classifiers the head and the preprocessor, which makes its targets
_PARTS = re.compile(r'data_preprocessor|((decode|auxiliary)_)?head(\.\d+)?')
# heads of detectors, which may be inside others; a proposal head has classes of its own
_DETECTOR_HEADS = re.compile(
    r'(?!teacher\.)(.*\.)?'
    r'(bbox|mask|point|mask_iou|panoptic|panoptic_fusion|query)_head(\.\d+)?'
)


def check_heads(
    parts: Iterable[tuple[str, nn.Module | dict]], total: int, things: int | None = None
) -> None:
    """Check that the heads of a model have the number of classes of the data.

    Args:
        parts (Iterable[tuple[str, nn.Module or dict]]): Parts of the model by
            dotted name, or their configs.
        total (int): Number of classes.
        things (int, optional): Number of those with instances, for a panoptic
            set. None: all. Default: None.

    Raises:
        UserError: If a head has another number, or if one of one channel has
            a softmax loss.
    """
    parts = dict(parts)
    # such models are told the names as text, whatever their number
    if any(name.endswith('language_model') for name in parts):
        return
    wrong = {}
    for name, part in parts.items():
        # STDC's learns whether a pixel is at a boundary, whatever the classes
        if _PARTS.fullmatch(name) and _get(part, 'boundary_threshold') is None:
            number = _get(part, 'num_classes')
            if _get(part, 'out_channels', number) == 1:
                # a probability, whatever the number of classes
                _check_one_channel(name, part)
            elif number not in (None, total):
                wrong[f'model.{name}.num_classes'] = number, total
        elif _DETECTOR_HEADS.fullmatch(name) and not _get(part, 'class_agnostic'):
            key = f'model.{re.sub("^student", "detector", name)}'
            wrong.update(_wrong_detector_head(key, part, total, things))
    if wrong:
        key, (number, _) = next(iter(wrong.items()))
        options = ' '.join(f'{key}={wanted}' for key, (_, wanted) in wrong.items())
        raise UserError(
            f'{key} is {number} and the data set has {total} '
            f'classes: give {options}, or name its classes in '
            'metainfo.classes'
        )


def _wrong_detector_head(key, part, total, things) -> dict[str, tuple[int, int]]:
    """Return number and wanted number of classes by key, if they differ."""
    number = _get(part, 'num_things_classes')
    if number is None:
        key, number, wanted = f'{key}.num_classes', _get(part, 'num_classes'), things or total
    else:
        key, wanted = f'{key}.num_things_classes', total - (_get(part, 'num_stuff_classes') or 0)
    return {} if number in (None, wanted) else {key: (number, wanted)}


def _check_one_channel(name: str, part: nn.Module | dict) -> None:
    losses = _get(part, 'loss_decode')
    for loss in losses if isinstance(losses, (nn.ModuleList, list)) else [losses]:
        # other losses have meanings of their own for one channel
        kind = type_name(loss) if isinstance(loss, dict) else type(loss).__name__
        if kind == 'CrossEntropyLoss' and not _get(loss, 'use_sigmoid', False):
            raise UserError(
                f'model.{name} has one channel and a softmax loss, after which the channel is '
                f'1 everywhere: give model.{name}.loss_decode.use_sigmoid=True, or one channel '
                'for each class as num_classes'
            )


def _get(part: nn.Module | dict, key: str, default=None):
    return part.get(key, default) if isinstance(part, dict) else getattr(part, key, default)
