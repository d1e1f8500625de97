"""The validation set of a set that comes without one: its own folder, or some of the images."""

import os.path as osp
import random
from collections import Counter
from collections.abc import Hashable, Sequence, Set

from ..errors import UserError

TRAIN_FOLDER, VAL_FOLDERS = 'train', ('val', 'valid')
# one in five of the images with objects, and of those without
SHARE = 0.2


def find_folders(names: Sequence[str]) -> tuple[list[int], list[int]] | None:
    """Find the images of the folders ``train`` and ``val``, or ``valid`` without the latter.

    Both lie in the folder of all images, or below it in one that all images share.

    Args:
        names (Sequence[str]): Paths of the images, relative to the folder of all.

    Returns:
        tuple[list[int], list[int]] or None: Indices of the images for training and for
        validation, without those elsewhere; None unless there are both.
    """
    parents = [name.split('/')[:-1] for name in names]
    depth = len(osp.commonprefix(parents))
    folders: dict[str, list[int]] = {}
    for i, parent in enumerate(parents):
        if len(parent) > depth:
            folders.setdefault(parent[depth], []).append(i)
    val = next((folders[name] for name in VAL_FOLDERS if name in folders), None)
    return (folders[TRAIN_FOLDER], val) if TRAIN_FOLDER in folders and val else None


def split_images(classes: Sequence[Set[Hashable]], seed: int) -> tuple[list[int], list[int]]:
    """Choose images for validation at random, so that every class is left to train.

    Args:
        classes (Sequence[Set[Hashable]]): Classes of each image.
        seed (int): Seed of the choice.

    Returns:
        tuple[list[int], list[int]]: Indices of the images for training and for
        validation, in order: a fifth or less of those with classes, and of those without.

    Raises:
        UserError: If there are too few images.
    """
    if len(classes) < 2:
        raise UserError(
            f'{len(classes)} annotated image cannot be split into training and validation: '
            'annotate more, or give a validation set as --val-images and --val-annotations'
        )
    counts = Counter(name for names in classes for name in names)
    order = list(range(len(classes)))
    random.Random(seed).shuffle(order)
    filled = [i for i in order if classes[i]]
    empty = [i for i in order if not classes[i]]
    wanted = max(1, round(SHARE * len(filled)))
    chosen: list[int] = []
    for i in filled:
        if len(chosen) < wanted and all(counts[name] > 1 for name in classes[i]):
            chosen.append(i)
            counts.subtract(classes[i])
    if not chosen:
        raise UserError(
            'every image with objects is the only one of some class, so that none is left to '
            'validate: give a validation set as --val-images and --val-annotations'
        )
    chosen += empty[: round(SHARE * len(empty))]
    return sorted(set(order) - set(chosen)), sorted(chosen)
