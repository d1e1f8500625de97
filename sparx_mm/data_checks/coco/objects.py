"""Objects of an annotation file in COCO's format, sorted as mmdet does."""

import math
from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from ..wording import CLEAN_COMMAND, and_more
from .file import is_number
from .masks import sort_mask

# why mmdet leaves an annotation out, without a word
LEFT_OUT = dict(
    ignored='marked to be ignored',
    image='of unknown images',
    category='of unknown categories',
    other='of other classes',
    nan='with NaN in the box',
    area='of no area',
    outside='outside the image',
    polygon='with a polygon of fewer than three points',
    rle='with a run-length mask without counts or size',
    run_lengths='with a run-length mask, which poly2mask=False leaves out',
    crowd='marked as a crowd',
)
# what mmdet fails at: the fault, and what to do about it
BROKEN = dict(
    no_bbox=('has no bbox of four numbers', 'give x, y, width and height in pixels'),
    no_area=("has no 'area'", 'give that of its mask or box in pixels'),
    no_mask=('has no mask (segmentation)', 'draw one, or train a detector without masks'),
    mask_form=(
        'has a mask that is neither lists of numbers x, y, x, y nor run lengths',
        "export it in COCO's format",
    ),
    mask_size=('has a mask of another size than its image', 'give the one of this image'),
    mask_runs=(
        'has run lengths that are damaged or do not add up to the size of its mask',
        'export it again, for example with pycocotools.mask.encode',
    ),
)


class Content(NamedTuple):
    """Findings about the annotations of a file.

    Args:
        objects (Counter): Number of objects that are trained, by class name.
        left_out (Counter): Number of others, by key of `LEFT_OUT`.
        broken (list[tuple[int, str]]): Index of each annotation that mmdet
            fails at, and key of `BROKEN`.
        beyond (int): Number of boxes that reach beyond their image.
        corners (int): Number of those that fit if the box is read as corners.
        fractions (int): Number of boxes left out whose values are at most 1.
        images (set): Ids of images with an annotation of a chosen class.
    """

    objects: Counter
    left_out: Counter
    broken: list[tuple[int, str]]
    beyond: int
    corners: int
    fractions: int
    images: set


def inspect_coco(
    content: dict,
    classes: Collection[str] | None = None,
    with_mask: bool = False,
    poly2mask: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Content:
    """Sort the annotations of a file as mmdet's ``CocoDataset`` does.

    Args:
        content (dict): What `read_coco` returns.
        classes (Collection[str], optional): Names of the classes that are
            trained. None: all. Default: None.
        with_mask (bool): Whether masks are loaded. Default: False.
        poly2mask (bool): Whether polygons are drawn, without which run lengths are not
            taken. Default: True.
        progress (callable, optional): Function of the number of annotations
            done and of all annotations. Default: None.

    Returns:
        Content: The findings.
    """
    images = {image['id']: image for image in content['images']}
    names = {category['id']: category['name'] for category in content['categories']}
    classes = None if classes is None else set(classes)
    found = Content(Counter(), Counter(), [], 0, 0, 0, set())
    beyond = corners = fractions = 0
    annotations = content['annotations']
    step = max(1, len(annotations) // 100)
    for i, annotation in enumerate(annotations):
        image = images.get(annotation['image_id'])
        name = names.get(annotation['category_id'])
        chosen = name is not None and (classes is None or name in classes)
        if chosen and image is not None:
            found.images.add(image['id'])
        kind = _sort(annotation, image, name, chosen, with_mask, poly2mask)
        if kind in BROKEN:
            found.broken.append((i, kind))
        elif kind:
            found.left_out[kind] += 1
            fractions += kind == 'area' and 0 < max(annotation['bbox']) <= 1
        else:
            found.objects[name] += 1
            x, y, w, h = annotation['bbox']
            # a pixel more, for those who count corners from 1
            if x + w > image['width'] + 1 or y + h > image['height'] + 1:
                beyond += 1
                corners += x < w <= image['width'] + 1 and y < h <= image['height'] + 1
        if progress is not None and (i % step == 0 or i + 1 == len(annotations)):
            progress(i + 1, len(annotations))
    return found._replace(beyond=beyond, corners=corners, fractions=fractions)


def _sort(annotation, image, name, chosen, with_mask, poly2mask) -> str | None:
    """Return why an annotation is not trained, as a key; None if it is."""
    if annotation.get('ignore'):
        return 'ignored'
    if image is None:
        return 'image'
    box, area = annotation.get('bbox'), annotation.get('area')
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
        return 'no_bbox'
    if any(map(math.isnan, box)):
        return 'nan'
    if any(map(math.isinf, box)):
        return 'no_bbox'
    x, y, w, h = box
    if min(x + w, image['width']) <= max(x, 0) or min(y + h, image['height']) <= max(y, 0):
        return 'area' if w <= 0 or h <= 0 else 'outside'
    if not is_number(area):
        return 'no_area'
    if area <= 0 or w < 1 or h < 1:
        return 'area'
    if not chosen:
        return 'category' if name is None else 'other'
    if with_mask:
        fault = sort_mask(annotation.get('segmentation'), image, poly2mask)
        if fault:
            return fault
    return 'crowd' if annotation.get('iscrowd') else None


def broken_line(
    path: str, content: dict, broken: list[tuple[int, str]], has_config: bool = True
) -> str:
    """Describe the first annotation that mmdet fails at, in one line.

    Args:
        path (str): The file.
        content (dict): What `read_coco` returns.
        broken (list[tuple[int, str]]): `Content.broken`, not empty.
        has_config (bool): Whether there is a config, for the tool that cleans the file.
            Default: True.

    Returns:
        str: The fault, how many more there are of it, and what to do.
    """
    i, kind = broken[0]
    annotation = content['annotations'][i]
    image = next(im for im in content['images'] if im['id'] == annotation['image_id'])
    same = sum(other == kind for _, other in broken)
    fault = describe_broken(annotation, image['file_name'], kind, same)
    tool = f' with {CLEAN_COMMAND}' if has_config else ''
    return f'{path}: {fault}, or leave such annotations out{tool}'


def describe_broken(annotation: dict, file_name: str, kind: str, number: int = 1) -> str:
    """Describe an annotation that mmdet fails at.

    Args:
        annotation (dict): The annotation.
        file_name (str): Name of its image.
        kind (str): Key of `BROKEN`.
        number (int): Number of annotations with that fault. Default: 1.

    Returns:
        str: The fault and what to do.
    """
    fault, remedy = BROKEN[kind]
    start = f'annotation {annotation["id"]} of image {file_name}'
    return f'{start} {fault}{and_more(number)}: {remedy}'


def describe(found: Content, num_images: int) -> str:
    """Describe the findings in one line.

    Args:
        found (Content): The findings.
        num_images (int): Number of images in the file.

    Returns:
        str: For example ``6 images, 21 objects of 6 classes; 0 left out``.
    """
    reasons = ', '.join(f'{count} {LEFT_OUT[kind]}' for kind, count in found.left_out.most_common())
    objects = f'{found.objects.total()} objects of {len(found.objects)} classes'
    return (
        f'{num_images} images, {objects}; {found.left_out.total()} left out'
        + f' ({reasons})' * bool(reasons)
    )
