"""Masks of an annotation file in COCO's format: polygons and run lengths."""

import math

import numpy as np

from .file import is_number

# bit of a character of compressed run lengths that says that another one follows
MORE = 32
# of a number of 32 bits
MAX_CHARACTERS = 7


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
        counts = decode_counts(counts)
    elif not all(map(is_number, counts)):
        return 'mask_form'
    # pycocotools leaves what is missing as it finds it in memory
    whole = counts and min(counts) >= 0 and sum(counts) == own[0] * own[1]
    return None if whole else 'mask_runs'


def decode_counts(text: str) -> list[int] | None:
    """Decode run lengths that pycocotools has compressed.

    A character holds five bits of a number, the lowest first, and a bit that says
    whether more of them follow. From the fourth number on it is the difference from the
    last but one.

    Args:
        text (str): ``counts`` of a mask.

    Returns:
        list[int] or None: The lengths; None if it is no such text.
    """
    codes = np.frombuffer(text.encode(), np.uint8).astype(np.int64) - ord('0')
    more = codes & MORE > 0
    if codes.size == 0 or codes.min() < 0 or codes.max() >= 2 * MORE or more[-1]:
        return None
    ends = np.flatnonzero(~more)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    if lengths.max() > MAX_CHARACTERS:
        return None
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((codes % MORE) << shifts, starts)
    # the highest of the bits is the sign
    numbers -= np.where(codes[ends] & MORE // 2 > 0, 1 << 5 * lengths, 0)
    for first in (1, 2):
        numbers[first::2] = numbers[first::2].cumsum()
    return numbers.tolist()


def _is_finite(values: list) -> bool:
    """Return True if all values are numbers, or texts of numbers, which mmdet takes too."""
    try:
        return math.isfinite(math.fsum(map(float, values)))
    except (TypeError, ValueError, OverflowError):
        return False
