"""Checks of the segments in a panoptic annotation file."""

import os.path as osp
from collections import Counter
from collections.abc import Hashable

from ...errors import UserError
from ..files import describe_missing
from ..wording import and_more
from .file import is_number
from .sets import CocoSet


def check_segments(dataset: CocoSet, content: dict) -> Counter:
    """Check the segments of a file and that their label maps exist.

    Args:
        dataset (CocoSet): A panoptic set whose pipeline loads them.
        content (dict): What `read_coco` returns.

    Returns:
        Counter: Number of segments of each class.

    Raises:
        UserError: If mmdet would fail at a segment or a label map.
    """
    names = {category['id']: category['name'] for category in content['categories']}
    broken, counts = [], Counter()
    images = {image['id'] for image in content['images']}
    for i, annotation in enumerate(content['annotations']):
        if annotation['image_id'] not in images:
            continue
        segments = annotation['segments_info']
        if not isinstance(segments, list):
            broken.append(f'annotations[{i}].segments_info is no list: make it one')
            continue
        for j, segment in enumerate(segments):
            fault = _find_fault(segment, names, dataset.classes)
            if fault:
                broken.append(f'annotations[{i}].segments_info[{j}] {fault}')
            elif _is_trained(segment):
                counts[names[segment['category_id']]] += 1
    if broken:
        raise UserError(f'{dataset.path}: {broken[0]}{and_more(len(broken))}')
    if dataset.trains and not counts:
        raise UserError(f'{dataset.path}: no segment is trained: its annotations have none')
    _check_maps(dataset, content['images'])
    return counts


def describe_segments(counts: Counter, num_images: int) -> str:
    """Describe what is trained in one line.

    Args:
        counts (Counter): What `check_segments` returns.
        num_images (int): Number of images in the file.
    """
    return f'{num_images} images, {counts.total()} segments of {len(counts)} classes'


def _is_trained(segment: dict) -> bool:
    """Return False if mmdet leaves a segment out before it looks at its category."""
    width, height = segment['bbox'][2:]
    return segment['area'] > 0 and width >= 1 and height >= 1


def _find_fault(segment, names, classes) -> str | None:
    """Describe what mmdet would fail at, and what to do; None if there is nothing."""
    if not isinstance(segment, dict) or segment.get('id') is None:
        return "has no 'id': give the one that its pixels have, R + 256 G + 65536 B"
    box = segment.get('bbox')
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
        return 'has no bbox of four numbers: give x, y, width and height in pixels'
    if not is_number(segment.get('area')):
        return "has no 'area': give its number of pixels"
    if not _is_trained(segment):
        return None
    category = segment.get('category_id')
    name = names.get(category) if isinstance(category, Hashable) else None
    if name is None:
        return f'is of category {category}, which the file does not have: add it, or correct it'
    if classes is not None and name not in classes:
        return (
            f'is of category {category}, {name!r}, which is no class of the set: give it in '
            'metainfo.classes, thing_classes or stuff_classes, or take its segments out'
        )
    return None


def _check_maps(dataset: CocoSet, images: list[dict]) -> None:
    if not dataset.seg_folder:
        return
    # as mmdet names them
    maps = [
        osp.join(dataset.seg_folder, image['file_name'].replace('.jpg', '.png')) for image in images
    ]
    line, missing = describe_missing(dataset.path, maps, 'label maps')
    if missing:
        raise UserError(
            f'{line}; put them there, or give their folder as {dataset.key}.data_prefix.seg'
        )
