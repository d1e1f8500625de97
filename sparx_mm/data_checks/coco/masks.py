"""Masks of an annotation file in COCO's format: polygons and run lengths."""

import math

from .file import is_number


def sort_mask(mask, image: dict, poly2mask: bool = True) -> str | None:
    """Return why mmdet does not train an object with a mask, or fails at it.

    Args:
        mask (Any): ``segmentation`` of the annotation.
        image (dict): Its image, with ``height`` and ``width`` in pixels.
        poly2mask (bool): Whether mmdet draws polygons, without which it takes no run
            lengths. Default: True.

    Returns:
        str or None: Key of `LEFT_OUT` or `BROKEN`; None if the mask is trained.
    """
    if not mask:
        return 'no_mask'
    if not isinstance(mask, list) and not poly2mask:
        return 'run_lengths'
    if isinstance(mask, dict):
        return _sort_run_lengths(mask, [image['height'], image['width']])
    if not isinstance(mask, list) or not all(isinstance(p, list) for p in mask):
        return 'mask_form'
    # mmdet leaves the others out
    usable = [p for p in mask if len(p) >= 6 and len(p) % 2 == 0]
    if not all(map(_is_finite, usable)):
        return 'mask_form'
    return None if usable else 'polygon'


def _sort_run_lengths(mask: dict, size: list[int]) -> str | None:
    counts, own = mask.get('counts'), mask.get('size')
    if own is None or not isinstance(counts, (list, str)):
        return 'rle'
    if not isinstance(own, list) or len(own) != 2 or not all(map(is_number, own)):
        return 'mask_size'
    # mmdet compares with the image itself, whose size a converter may round
    if any(abs(a - b) > 1 for a, b in zip(own, size)):
        return 'mask_size'
    if isinstance(counts, str):
        return None
    if not all(map(is_number, counts)):
        return 'mask_form'
    return None if sum(counts) == own[0] * own[1] else 'mask_size'


def _is_finite(values: list) -> bool:
    """Return True if all values are numbers, or texts of numbers, which mmdet takes too."""
    try:
        return math.isfinite(math.fsum(map(float, values)))
    except (TypeError, ValueError, OverflowError):
        return False
