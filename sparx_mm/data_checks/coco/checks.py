"""Checks of detection sets in COCO's format, before anything is built."""

import os
import os.path as osp
from collections.abc import Callable, Sequence

from ...errors import UserError
from ..classes import describe_absent
from ..files import describe_missing
from ..orientation import describe_turned
from ..wording import CLEAN_COMMAND
from .categories import check_categories
from .file import image_path, read_coco
from .objects import Content, broken_line, describe, inspect_coco
from .panoptic import check_segments, describe_segments
from .sets import CocoSet
from .verdicts import find_verdict, keep_verdict, verdict_key

# bytes; the check of a larger file shows its progress
LARGE = 50_000_000


def check_coco_set(
    dataset: CocoSet, node: dict, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Check the annotation file of a set, its images and its classes.

    Args:
        dataset (CocoSet): The set.
        node (dict): Its config.
        progress (callable, optional): Called with numbers of annotations,
            done and all, if the file is large. Default: None.

    Returns:
        list[str]: Lines for the log: what is trained, and what looks odd.

    Raises:
        UserError: If mmdet would fail at the file, train none of it, or call
            its classes by other names.
    """
    # a folder is another one for each of its states, and so are those below it
    folders = [
        place
        for folder in filter(None, [dataset.folder, dataset.seg_folder])
        for place, _, _ in os.walk(folder)
    ]
    paths = [dataset.path, *folders]
    key = verdict_key(paths, dataset, node.get('pipeline'))
    lines = find_verdict(key)
    if lines is None:
        large = osp.getsize(dataset.path) >= LARGE
        if large and progress is not None:
            size = osp.getsize(dataset.path) // 1_000_000
            print(f'checking {dataset.path} ({size} MB), once until it changes', flush=True)
        lines = _check(dataset, node, progress if large else None)
        keep_verdict(key, lines)
    return lines


def _check(dataset: CocoSet, node: dict, progress) -> list[str]:
    path = dataset.path
    content = read_coco(path, dataset.trains and dataset.labelled, dataset.layout)
    if dataset.labelled or not dataset.trains:
        check_categories(dataset, content['categories'])
    lines = check_images(dataset, content['images'])
    if dataset.labelled or not dataset.trains:
        paths = [image_path(image, dataset.folder) for image in content['images']]
        lines += describe_turned(path, paths, node)
    if dataset.layout == 'panoptic' and dataset.labelled:
        counts = check_segments(dataset, content)
        return [f'{path}: {describe_segments(counts, len(content["images"]))}', *lines]
    ignored = dataset.trains and not dataset.labelled
    if ignored or not dataset.plain:
        return [f'{path}: {len(content["images"])} images', *lines]
    found = inspect_coco(
        content, chosen_classes(dataset), dataset.with_mask, dataset.poly2mask, progress
    )
    if found.broken:
        raise UserError(broken_line(path, content, found.broken))
    if dataset.trains:
        check_trained(dataset, content['images'], found)
    counts = f'{path}: {describe(found, len(content["images"]))}'
    return [counts, *lines, *find_oddities(dataset, found)]


def chosen_classes(dataset: CocoSet) -> Sequence[str] | None:
    """Return the names of the classes that are trained; None for all of the file.

    Args:
        dataset (CocoSet): The set.
    """
    # mmdet takes all categories of an LVIS file
    return None if dataset.layout.startswith('lvis') else dataset.classes


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
    paths = [image_path(image, dataset.folder) for image in images]
    line, missing = describe_missing(dataset.path, paths)
    if not missing:
        return []
    if dataset.skips and len(missing) < len(images):
        return [f'{line}; they are skipped']
    raise UserError(
        f'{line}; put them there, give their folder as {dataset.key}.data_prefix.img, or '
        f'leave them out with {CLEAN_COMMAND}'
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
    if not found.objects and (empty or dataset.alone):
        total = found.left_out.total()
        if total and set(found.left_out) == {'crowd'}:
            raise UserError(
                f'{dataset.path}: none of {total} objects is trained, because all are crowds '
                '(iscrowd=1): write 0 where an annotation is one object'
            )
        raise UserError(
            f'{dataset.path}: no object is trained: {describe(found, len(images))}{_hint(found)}'
        )
    min_size = dataset.filter_cfg.get('min_size', 0)
    kept = [image for image in images if not empty or image['id'] in found.images]
    if all(min(image['height'], image['width']) < min_size for image in kept):
        raise UserError(
            f'{dataset.path}: all {len(kept)} images with objects are smaller than '
            f'{dataset.key}.filter_cfg.min_size={min_size} and left out: give a smaller one'
        )


def _hint(found: Content) -> str:
    """Say what is probably wrong where all annotations are left out; '' if nothing is."""
    total = found.left_out.total()
    if total and found.fractions == total:
        return ": the boxes are fractions of the image, and COCO's are in pixels"
    for kind, key, items in (
        ('category', 'category_id', 'categories'),
        ('image', 'image_id', 'images'),
    ):
        if total and found.left_out[kind] == total:
            return f': no {key} is an id in {items}, and a text is not the number that it spells'
    return ''


def find_oddities(dataset: CocoSet, found: Content) -> list[str]:
    """Describe what is trained but is probably a mistake.

    Args:
        dataset (CocoSet): The set.
        found (Content): What its annotations hold.

    Returns:
        list[str]: Lines for the log.
    """
    path, objects, lines = dataset.path, found.objects.total(), []
    # one of several sets may lack some, and LVIS files have a long tail
    if dataset.trains and dataset.layout == 'coco' and dataset.alone:
        lines += describe_absent(path, dataset.classes, found.objects)
    # some boxes leave their image in many sets; few of those would fit as corners
    if found.corners > max(1, objects // 10):
        lines.append(
            f'{path}: {found.beyond} of {objects} boxes reach beyond their image: are they '
            "corners? COCO's are x, y, width, height"
        )
    return lines
