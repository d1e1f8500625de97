"""Checks of classification sets: folders of images, and lists of files and labels."""

import os
import os.path as osp
from typing import NamedTuple

from ..errors import UserError
from .data_sets import find_facts
from .files import describe_missing, read_lines
from .wording import CLEAN_COMMAND, and_more


class ClassificationSet(NamedTuple):
    """A labelled data set of a config that mmpretrain reads as ``CustomDataset`` does.

    Args:
        key (str): Key of its config.
        path (str): List of its files and labels; ``''`` if folders are the
            classes.
        folder (str): Folder of its images, or of the folders.
        classes (tuple[str, ...], optional): Class names. None: those of the
            folders.
        trains (bool): True if it is part of the training data.
        alone (bool): True if it is not one of several that are concatenated.
        extensions (tuple[str, ...]): Endings of images in lower case.
    """

    key: str
    path: str
    folder: str
    classes: tuple[str, ...] | None
    trains: bool
    alone: bool
    extensions: tuple[str, ...] = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')


def find_classification_set(key: str, node: dict, scope: str | None) -> ClassificationSet | None:
    """Read the config of a data set with a class for each image.

    Args:
        key (str): Key of ``node`` in the whole config.
        node (dict): Config of a data set.
        scope (str, optional): Library that defines its type.

    Returns:
        ClassificationSet or None: None for a set without labels, and for one that
        reads its files in another way.
    """
    base, names = 'mmpretrain.datasets.custom.CustomDataset', ('load_data_list', '_find_samples')
    facts = find_facts(key, node, scope, base, names)
    split, prefix = node.get('split', ''), node.get('data_prefix') or ''
    if facts is None or not node.get('with_label', True) or split == 'test':
        return None
    root = osp.expanduser(facts.root)
    if isinstance(prefix, dict):
        prefix = prefix.get('img_path') or ''
    path = node.get('ann_file') or ''
    # ImageNet's own layout
    if split and not path and osp.exists(osp.join(root, 'meta', f'{split}.txt')):
        path = osp.join('meta', f'{split}.txt')
    classes = node.get('classes') or facts.classes
    found = ClassificationSet(
        key=key,
        path=osp.join(root, path) if path else '',
        folder=osp.join(root, prefix or split),
        # the name of a file of names is left to mmpretrain
        classes=None if isinstance(classes, (str, type(None))) else tuple(classes),
        trains=facts.trains,
        alone=facts.alone,
    )
    extensions = node.get('extensions')
    return found._replace(extensions=tuple(extensions)) if extensions else found


def check_classification_set(
    dataset: ClassificationSet, num_classes: int | None = None, skips: bool = False
) -> list[str]:
    """Check the folders of a set, or its list of files and labels.

    Args:
        dataset (ClassificationSet): The set.
        num_classes (int, optional): Number of classes of the model, which
            counts if the set names none. Default: None.
        skips (bool): True if missing images are skipped. Default: False.

    Returns:
        list[str]: A line for the log if images are skipped.

    Raises:
        UserError: If a folder is no class, or a line is not a file and the
            number of a class.
    """
    total = num_classes if dataset.classes is None else len(dataset.classes)
    if not dataset.path:
        _check_folders(dataset, total)
        return []
    lines = [line.strip() for line in read_lines(dataset.path)]
    labels = [_read_label(dataset, i, line) for i, line in enumerate(lines, 1)]
    if total is not None:
        _check_labels(dataset.path, labels, total)
        # one of several sets may show a single class
        if dataset.trains and dataset.alone and total > 1 and len(labels) > 1 == len(set(labels)):
            raise UserError(
                f'{dataset.path}: all {len(labels)} labels are {labels[0]}, so {total - 1} of '
                f'{total} classes never occur: give each image the number of its class'
            )
    paths = [osp.join(dataset.folder, line.rsplit(' ', 1)[0]) for line in lines]
    line, missing = describe_missing(dataset.path, paths)
    if not missing:
        return []
    line += f' (line {paths.index(missing[0]) + 1})'
    if skips and len(missing) < len(paths):
        return [f'{line}; they are skipped']
    raise UserError(
        f'{line}; put them there, give their folder as {dataset.key}.data_prefix, or take them '
        f'out of the list: {CLEAN_COMMAND}'
    )


def _check_folders(dataset: ClassificationSet, total: int | None) -> None:
    if not osp.isdir(dataset.folder):
        return
    with os.scandir(dataset.folder) as entries:
        folders = sorted(entry.name for entry in entries if entry.is_dir())
    hidden = [name for name in folders if name.startswith('.')]
    if hidden:
        raise UserError(
            f'{osp.join(dataset.folder, hidden[0])} is no class, and mmpretrain counts each '
            'folder as one: remove it'
        )
    if total is None or len(folders) <= total:
        return
    empty = [name for name in folders if not _has_image(dataset, name)]
    if empty and len(folders) - len(empty) == total:
        raise UserError(
            f'{osp.join(dataset.folder, empty[0])} has no image, so that there are '
            f'{len(folders)} folders for {total} classes: remove it'
        )


def _has_image(dataset: ClassificationSet, name: str) -> bool:
    files = os.walk(osp.join(dataset.folder, name))
    return any(file.lower().endswith(dataset.extensions) for *_, names in files for file in names)


def _read_label(dataset: ClassificationSet, number: int, line: str) -> int:
    where = f'{dataset.path}, line {number}'
    _, space, label = line.rpartition(' ')
    if not space:
        comma = ' (it has a comma)' if ',' in line else ''
        raise UserError(f'{where}: {line!r} is no file and label with a space between them{comma}')
    try:
        return int(label)
    except ValueError:
        known = label in (dataset.classes or ())
        number = f', {dataset.classes.index(label)}' if known else ', counted from 0'
        raise UserError(
            f'{where}: the label {label!r} is no number: write that of the class{number}'
        ) from None


def _check_labels(path: str, labels: list[int], total: int) -> None:
    wrong = [i for i, label in enumerate(labels) if not 0 <= label < total]
    if not wrong:
        return
    if min(labels) == 1 and max(labels) == total:
        raise UserError(
            f'{path}: labels are 1 to {total} and are counted from 0: take 1 from each of them'
        )
    first = f'{path}, line {wrong[0] + 1}: the label {labels[wrong[0]]}{and_more(len(wrong))}'
    raise UserError(
        f'{first} is none of the {total} classes, which are 0 to {total - 1}: correct it, or give '
        'all names in metainfo.classes and their number as num_classes'
    )
