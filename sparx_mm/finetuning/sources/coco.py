"""A file in COCO's format, held to what training needs of it."""

from collections.abc import Collection

from ...data_checks.coco.file import image_path, read_coco
from ...data_checks.coco.objects import LEFT_OUT, broken_line, inspect_coco
from ...data_checks.files import describe_missing
from ...errors import UserError
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
            fail at a box.
    """
    coco = read_coco(path, has_config=False)
    if not coco['images']:
        raise UserError(f'{path} lists no image')
    for key, name in LISTS.items():
        _check_ids(path, coco, key, {item['id'] for item in coco[name]}, name)
    line, missing = describe_missing(path, [image_path(image, images) for image in coco['images']])
    if missing:
        raise UserError(
            f'{line}; put them there, or give the folder that the names are relative to as --images'
        )
    # masks are left to the check of the config's data, which knows whether they are trained
    found = inspect_coco(coco)
    if found.broken:
        raise UserError(broken_line(path, coco, found.broken, has_config=False))
    notes = _fill_crowds(coco['annotations'])
    if found.left_out:
        reasons = ', '.join(f'{count} {LEFT_OUT[kind]}' for kind, count in found.left_out.items())
        notes.append(f'annotations that are not trained: {reasons}')
    coco = {key: coco[key] for key in ('images', 'categories', 'annotations')}
    # numbers are names too, which visualizers and --classes have as texts
    coco['categories'] = [{**one, 'name': str(one['name'])} for one in coco['categories']]
    return Content(images, coco, notes)


def _check_ids(path: str, coco: dict, key: str, known: Collection, name: str) -> None:
    wrong = [one for one in coco['annotations'] if one[key] not in known]
    if wrong:
        raise UserError(
            f'{path}: annotation {wrong[0]["id"]} has the {key} {wrong[0][key]!r}, which is no id '
            f'in {name} (annotations like it: {len(wrong)}): add the item there, or remove them'
        )


def _fill_crowds(annotations: list[dict]) -> list[str]:
    """Give crowds without a mask that of their box, where others have masks, and say so."""
    if not any(one.get('segmentation') for one in annotations):
        return []
    crowds = [one for one in annotations if one.get('iscrowd') and not one.get('ignore')]
    crowds = [one for one in crowds if not one.get('segmentation')]
    for one in crowds:
        x, y, width, height = one['bbox']
        right, bottom = x + width, y + height
        one['segmentation'] = [[x, y, right, y, right, bottom, x, bottom]]
    return [f'crowds without a mask, for which their box is taken: {len(crowds)}'] if crowds else []
