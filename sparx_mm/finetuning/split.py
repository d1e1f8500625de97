"""A validation set taken from a set that comes without one."""

import random
from collections import Counter
from collections.abc import Hashable, Sequence, Set

from ..errors import UserError

# one in five images
SHARE = 0.2


def split_images(classes: Sequence[Set[Hashable]], seed: int) -> tuple[list[int], list[int]]:
    """Choose images for validation at random, so that every class is left to train.

    Args:
        classes (Sequence[Set[Hashable]]): Classes of each image.
        seed (int): Seed of the choice.

    Returns:
        tuple[list[int], list[int]]: Indices of the images for training and for
        validation, a fifth or less of them, in order.

    Raises:
        UserError: If there are too few images.
    """
    if len(classes) < 2:
        raise UserError(
            f'{len(classes)} annotated image cannot be split into training and validation: '
            'annotate more, or give a validation set as --val-images and --val-annotations'
        )
    wanted = max(1, round(SHARE * len(classes)))
    counts = Counter(name for names in classes for name in names)
    order = list(range(len(classes)))
    random.Random(seed).shuffle(order)
    # images with an object first, because others validate little
    order.sort(key=lambda i: not classes[i])
    chosen: list[int] = []
    for i in order:
        if len(chosen) < wanted and all(counts[name] > 1 for name in classes[i]):
            chosen.append(i)
            counts.subtract(classes[i])
    if not chosen:
        raise UserError(
            'every image is the only one of some class, so that none is left to validate: give a '
            'validation set as --val-images and --val-annotations'
        )
    return sorted(set(order) - set(chosen)), sorted(chosen)
