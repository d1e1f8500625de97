"""Reading of an annotation file in COCO's format."""

import json
import os.path as osp
from collections import Counter

from ...errors import UserError
from ..wording import and_more

REQUIRED = dict(
    images=('id', 'file_name', 'height', 'width'),
    categories=('id', 'name'),
    annotations=('id', 'image_id', 'category_id'),
)


def read_coco(path: str, labelled: bool = True) -> dict:
    """Read a file and check that its lists and the keys of their items are there.

    Args:
        path (str): The file.
        labelled (bool): Require ``annotations``, which a test set need not
            have. Default: True.

    Returns:
        dict: Its content, with ``annotations``.

    Raises:
        UserError: If it is not JSON, not in COCO's format, or if two images,
            annotations or categories have one id.
    """
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except ValueError as error:
        fault = f'is not JSON: {error}; export it again'
        if 'UTF-8 BOM' in str(error):
            fault = (
                'begins with a byte order mark, at which mmdet fails: save it as UTF-8 without BOM'
            )
        raise UserError(f'{path} {fault}') from error
    if not isinstance(content, dict):
        raise UserError(
            f'{path} holds a {type(content).__name__}, and COCO has a dict of images, '
            "annotations and categories: export it in COCO's format"
        )
    for name, keys in REQUIRED.items():
        if name == 'annotations' and not labelled:
            content.setdefault(name, [])
        items = content.get(name)
        if not isinstance(items, list):
            raise UserError(f"{path} has no list '{name}': export it in COCO's format")
        _check_items(path, name, items, keys)
    return content


def _check_items(path: str, name: str, items: list, keys: tuple[str, ...]) -> None:
    wrong = [
        (i, key)
        for i, item in enumerate(items)
        for key in keys
        if not isinstance(item, dict)
        or item.get(key) is None
        or (key in ('height', 'width') and not is_number(item[key]))
    ]
    if wrong:
        i, key = wrong[0]
        what = 'number' if key in ('height', 'width') else 'value'
        raise UserError(
            f"{path}: {name}[{i}] has no {what} '{key}'{and_more(len(wrong))}: "
            'give it, or remove the item'
        )
    ids = Counter(item['id'] for item in items)
    twice = {key: count for key, count in ids.items() if count > 1}
    if twice:
        shown = ', '.join(f'{key} ({count} times)' for key, count in [*twice.items()][:5])
        raise UserError(
            f'{path}: {name} of the same id: {shown}{and_more(len(twice), 5)}; number them anew'
        )


def image_path(image: dict, folder: str) -> str:
    """Return the path of an image as ``CocoDataset`` joins it.

    Args:
        image (dict): Item of ``images``.
        folder (str): Folder of the images.
    """
    return osp.join(folder, image['file_name'])


def is_number(value) -> bool:
    """Return True for an int or a float, and not for True and False.

    Args:
        value (Any): Value out of a file.
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)
