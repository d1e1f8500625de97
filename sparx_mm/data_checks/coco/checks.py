"""Checks of detection sets in COCO's format, before anything is built."""

import os.path as osp
from collections import Counter
from collections.abc import Callable

from ...errors import UserError
from ..classes import join_classes
from ..data_sets import closest, quote_names
from ..files import missing_files
from .file import image_path, read_coco
from .objects import SKIP, Content, broken_line, describe, inspect_coco
from .sets import CocoSet
from .verdicts import find_verdict, keep_verdict, verdict_key

# bytes; the check of a larger file shows its progress
LARGE = 50_000_000


def check_coco_set(
    dataset: CocoSet, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Check the annotation file of a set, its images and its classes.

    Args:
        dataset (CocoSet): The set.
        progress (callable, optional): Called with numbers of annotations,
            done and all, if the file is large. Default: None.

    Returns:
        list[str]: Lines for the log: what is trained, and what looks odd.

    Raises:
        UserError: If mmdet would fail at the file, train none of it, or call
            its classes by other names.
    """
    # the folder of the images is another one for each of its states
    paths = [dataset.path, *filter(osp.exists, [dataset.folder])]
    key = verdict_key(paths, dataset)
    lines = find_verdict(key)
    if lines is None:
        large = osp.getsize(dataset.path) >= LARGE
        if large and progress is not None:
            size = osp.getsize(dataset.path) // 1_000_000
            print(f'checking {dataset.path} ({size} MB), once until it changes', flush=True)
        lines = _check(dataset, progress if large else None)
        keep_verdict(key, lines)
    return lines


def _check(dataset: CocoSet, progress) -> list[str]:
    path = dataset.path
    content = read_coco(path, labelled=dataset.trains and dataset.labelled)
    if dataset.labelled or not dataset.trains:
        check_categories(dataset, content['categories'])
    lines = check_images(dataset, content['images'])
    ignored = dataset.trains and not dataset.labelled
    if ignored or not dataset.plain:
        return [f'{path}: {len(content["images"])} images', *lines]
    found = inspect_coco(content, dataset.classes, dataset.with_mask, progress)
    if found.broken:
        raise UserError(broken_line(path, content, found.broken))
    if dataset.trains:
        check_trained(dataset, content['images'], found)
    counts = f'{path}: {describe(found, len(content["images"]))}'
    return [counts, *lines, *find_oddities(path, found)]


def check_categories(dataset: CocoSet, categories: list[dict]) -> None:
    """Check that labels mean the same in a file and in ``metainfo.classes``.

    mmdet numbers labels by the order of the file's categories, and names them
    by the order of ``metainfo.classes``.

    Args:
        dataset (CocoSet): The set.
        categories (list[dict]): ``categories`` of its file.

    Raises:
        UserError: If a label would have another name than its category.
    """
    key, classes = f'{dataset.key}.metainfo.classes', join_classes([dataset.classes])
    if classes is None:
        return
    names = [category['name'] for category in categories]
    kept = [name for name in names if name in classes]
    twice = [name for name, count in Counter(kept).items() if count > 1]
    if twice:
        ids = [category['id'] for category in categories if category['name'] == twice[0]]
        raise UserError(
            f'{dataset.path} has several categories {twice[0]!r} (ids {ids}), which shifts the '
            'labels after them: make them one, or give each a name of its own'
        )
    unknown = [name for name in classes if name not in names]
    # without a category that is left over, those at the end just do not occur
    if kept == classes or (kept and kept == names == classes[: len(names)]):
        return
    if not kept:
        raise UserError(
            f'{_which(dataset, key)}, and none of them is a category of {dataset.path}: '
            f'give the names of its categories, classes={quote_names(names)}'
        )
    if unknown:
        near = closest(unknown[0], [name for name in names if name not in classes])
        near = f' (did you mean {near!r}?)' if near else f', which has {quote_names(names)}'
        raise UserError(
            f'{_which(dataset, key)}: {unknown[0]!r} is no category of {dataset.path}{near}. '
            'The labels after it would have the names of others: give names of the file, in its '
            'order'
        )
    raise UserError(
        f'{key} are in another order than the categories of {dataset.path}, by which labels are '
        f'numbered: give {quote_names(kept)}'
    )


def check_images(dataset: CocoSet, images: list[dict]) -> list[str]:
    """Check that a file lists images, and that their files exist.

    Args:
        dataset (CocoSet): The set.
        images (list[dict]): ``images`` of its file.

    Returns:
        list[str]: A line for the log if missing files are skipped.

    Raises:
        UserError: If there is no image, or if a file is missing.
    """
    if not images:
        raise UserError(f'{dataset.path} lists no image')
    missing = missing_files(image_path(image, dataset.folder) for image in images)
    if not missing:
        return []
    line = (
        f'{dataset.path}: {len(missing)} of {len(images)} images are missing, the first is '
        f'{osp.abspath(missing[0])}'
    )
    if dataset.skips and len(missing) < len(images):
        return [f'{line}; they are skipped']
    raise UserError(
        f'{line}; put them there, give their folder as {dataset.key}.data_prefix.img, or '
        f'{SKIP.replace("such annotations", "them")}'
    )


def check_trained(dataset: CocoSet, images: list[dict], found: Content) -> None:
    """Check that something of a set is left to train.

    Args:
        dataset (CocoSet): A training set.
        images (list[dict]): ``images`` of its file.
        found (Content): What its annotations hold.

    Raises:
        UserError: If all objects are crowds, or if every image is left out.
    """
    empty = dataset.filter_cfg.get('filter_empty_gt')
    # a set of backgrounds may be one of several
    if not found.objects and (empty or '.datasets.' not in dataset.key):
        total = found.left_out.total()
        if total and set(found.left_out) == {'crowd'}:
            raise UserError(
                f'{dataset.path}: none of {total} objects is trained, because all are crowds '
                '(iscrowd=1): write 0 where an annotation is one object'
            )
        raise UserError(f'{dataset.path}: no object is trained: {describe(found, len(images))}')
    min_size = dataset.filter_cfg.get('min_size', 0)
    kept = [image for image in images if not empty or image['id'] in found.images]
    if all(min(image['height'], image['width']) < min_size for image in kept):
        raise UserError(
            f'{dataset.path}: all {len(kept)} images with objects are smaller than '
            f'{dataset.key}.filter_cfg.min_size={min_size} and left out: give a smaller one'
        )


def find_oddities(path: str, found: Content) -> list[str]:
    """Describe what is trained but is probably a mistake.

    Args:
        path (str): The file.
        found (Content): What its annotations hold.

    Returns:
        list[str]: Lines for the log.
    """
    objects = found.objects.total()
    # some boxes leave their image in many sets; few of those would fit as corners
    if found.corners > max(1, objects // 10):
        return [
            f'{path}: {found.beyond} of {objects} boxes reach beyond their image: are they '
            "corners? COCO's are x, y, width, height"
        ]
    return []


def _which(dataset: CocoSet, key: str) -> str:
    if dataset.given:
        return key
    kind = dataset.key + ' names no classes (metainfo)'
    return f'{kind}, so it has the {len(dataset.classes)} of its type'
