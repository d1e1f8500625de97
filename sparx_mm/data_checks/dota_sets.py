"""Checks of rotated detection sets in DOTA's format, before anything is built."""

import math
import os.path as osp
from collections import Counter
from glob import escape, glob
from typing import NamedTuple

from ..errors import UserError
from .classes import describe_absent, join_classes
from .data_sets import find_facts
from .files import describe_missing, read_text
from .wording import closest, quote_names

# x1 y1 x2 y2 x3 y3 x4 y4 class difficulty
FIELDS = 10


class DotaSet(NamedTuple):
    """A data set of a config that mmrotate reads as ``DOTADataset`` does.

    Args:
        key (str): Key of its config.
        folder (str): Folder of its annotation files.
        images (str): Folder of its images.
        suffix (str): Ending of the images, without a dot.
        classes (list[str]): Class names.
        trains (bool): True if it is trained on.
    """

    key: str
    folder: str
    images: str
    suffix: str
    classes: list[str]
    trains: bool


def find_dota_set(key: str, node: dict, scope: str | None) -> DotaSet | None:
    """Read the config of a data set in DOTA's format.

    Args:
        key (str): Key of ``node`` in the whole config.
        node (dict): Config of a data set.
        scope (str, optional): Library that defines its type.

    Returns:
        DotaSet or None: None for a set without annotations, and for one that
        reads its files in another way.
    """
    facts = find_facts(key, node, scope, 'mmrotate.datasets.dota.DOTADataset')
    if facts is None or not node.get('ann_file'):
        return None
    return DotaSet(
        key=key,
        folder=osp.join(facts.root, node['ann_file']),
        images=osp.join(facts.root, (node.get('data_prefix') or {}).get('img_path') or ''),
        suffix=node.get('img_suffix', 'png'),
        classes=join_classes([facts.classes]) or [],
        trains=facts.trains,
    )


def check_dota_set(dataset: DotaSet) -> list[str]:
    """Check the annotation files of a set and that their images exist.

    Args:
        dataset (DotaSet): The set.

    Returns:
        list[str]: Lines for the log: what is trained, and what looks odd.

    Raises:
        UserError: If there is no annotation file, if a line is no box of a class, if an image
            is missing, or if a set that is trained has no object.
    """
    paths = sorted(glob(osp.join(escape(dataset.folder), '*.txt')))
    if not paths:
        raise UserError(
            f'{dataset.folder} has no .txt file: give the folder of the annotation files as '
            f'{dataset.key}.ann_file'
        )
    objects = Counter(name for path in paths for name in _read(path, dataset))
    names = [osp.splitext(osp.basename(path))[0] for path in paths]
    images = [osp.join(dataset.images, f'{name}.{dataset.suffix}') for name in names]
    line, missing = describe_missing(dataset.folder, images)
    if missing:
        raise UserError(
            f'{line}; put them there, give their ending as '
            f'{dataset.key}.img_suffix, or remove their annotation files'
        )
    if dataset.trains and not objects:
        raise UserError(f'{dataset.folder}: no object is trained: its {len(paths)} files are empty')
    return [
        f'{dataset.folder}: {len(images)} images, {objects.total()} objects of {len(objects)} '
        'classes; 0 left out',
        *(describe_absent(dataset.folder, dataset.classes, objects) if dataset.trains else ()),
    ]


def _read(path: str, dataset: DotaSet) -> list[str]:
    """Return the class names of the boxes in a file."""
    # in the system's encoding, as mmrotate does
    lines = read_text(path).splitlines()
    return [_read_line(line, f'{path}, line {i}', dataset) for i, line in enumerate(lines, 1)]


def _read_line(line: str, where: str, dataset: DotaSet) -> str:
    """Return the class name of a box."""
    words = line.split()
    if len(words) < FIELDS or not _are_numbers(words[:8], words[9]):
        raise UserError(
            f'{where}: {line.strip()!r} is not eight coordinates, a class '
            "and a difficulty: cut the images and labels with mmrotate's "
            'tools/data/dota/split, or correct the line'
        )
    if words[8] not in dataset.classes:
        near = closest(words[8], dataset.classes)
        near = f' (did you mean {near!r}?)' if near else ''
        raise UserError(
            f'{where}: {words[8]!r} is no class{near} of '
            f'{dataset.key}.metainfo.classes, {quote_names(dataset.classes)}: give the '
            'names of the files'
        )
    return words[8]


def _are_numbers(coordinates: list[str], difficulty: str) -> bool:
    try:
        int(difficulty)
        return all(math.isfinite(float(word)) for word in coordinates)
    except ValueError:
        return False
