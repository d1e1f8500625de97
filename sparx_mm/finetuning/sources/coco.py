"""A file in COCO's format, held to what training needs of it."""

from collections.abc import Collection

from ...data_checks.coco.file import image_path, read_coco
from ...data_checks.coco.objects import LEFT_OUT, broken_line, inspect_coco
from ...data_checks.files import describe_missing
from ...errors import UserError
from .classes import has_masks
from .content import Content

# ids of annotations that no item has, by where the ids are
LISTS = dict(category_id='categories', image_id='images')


def read_coco_file(images: str, path: str) -> Content:
    """Read a file in COCO's format.

    Args:
        images (str): Folder of the images.
        path (str): The file.

    Returns:
        Content: The set.

    Raises:
        UserError: If it is no such file, if an id or an image is missing, or if mmdet would
            fail at an annotation.
    """
    coco = read_coco(path)
    if not coco['images']:
        raise UserError(f'{path} lists no image')
    for key, name in LISTS.items():
        _check_ids(path, coco, key, {item['id'] for item in coco[name]}, name)
    line, missing = describe_missing(path, [image_path(image, images) for image in coco['images']])
    if missing:
        raise UserError(
            f'{line}; put them there, or give the folder that the names are relative to as --images'
        )
    found = inspect_coco(coco, with_mask=has_masks(coco))
    if found.broken:
        raise UserError(broken_line(path, coco, found.broken))
    notes = []
    if found.left_out:
        reasons = ', '.join(f'{count} {LEFT_OUT[kind]}' for kind, count in found.left_out.items())
        notes.append(f'annotations that are not trained: {reasons}')
    coco = {key: coco[key] for key in ('images', 'categories', 'annotations')}
    return Content(images, coco, notes)


def _check_ids(path: str, coco: dict, key: str, known: Collection, name: str) -> None:
    wrong = [one for one in coco['annotations'] if one[key] not in known]
    if wrong:
        raise UserError(
            f'{path}: annotation {wrong[0]["id"]} has the {key} {wrong[0][key]!r}, which is no id '
            f'in {name} (annotations like it: {len(wrong)}): add the item there, or remove them'
        )
