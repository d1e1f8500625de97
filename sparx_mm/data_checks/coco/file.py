"""Reading of an annotation file in COCO's format, or in one of its relatives."""

import json
import os.path as osp
from collections import defaultdict
from collections.abc import Hashable
from typing import NamedTuple

from ...errors import UserError
from ..wording import CLEAN_COMMAND, and_more

COCO = dict(
    images=('id', 'file_name', 'height', 'width'),
    categories=('id', 'name'),
    annotations=('id', 'image_id', 'category_id'),
)
# keys that the items of each list need, by layout
LAYOUTS = dict(
    coco=COCO,
    lvis={**COCO, 'images': ('id', 'coco_url', 'height', 'width')},
    lvis_v05=COCO,
    # an annotation is that of a whole image
    panoptic={
        **COCO,
        'categories': ('id', 'name', 'isthing'),
        'annotations': ('image_id', 'segments_info'),
    },
)
NUMBERS, FILE_NAMES = ('height', 'width'), ('file_name', 'coco_url')
# what mmdet takes off an LVIS image's coco_url, to get its file
COCO_HOST = 'http://images.cocodataset.org/'


class Repeat(NamedTuple):
    """Items of a list that have one id.

    Args:
        id (Hashable): The id.
        indices (list[int]): Their places in the list.
        copies (list[int]): Places of those that are identical with an earlier one.
    """

    id: Hashable
    indices: list[int]
    copies: list[int]

    @property
    def same(self) -> bool:
        """Return True if all are identical."""
        return len(self.copies) == len(self.indices) - 1


def read_coco(
    path: str,
    labelled: bool = True,
    layout: str = 'coco',
    unique: bool = True,
    has_config: bool = True,
) -> dict:
    """Read a file and check that its lists and the keys of their items are there.

    Args:
        path (str): The file.
        labelled (bool): Require ``annotations``, which a test set need not
            have. Default: True.
        layout (str): Key of `LAYOUTS`. Default: ``'coco'``.
        unique (bool): Require that no two items of a list have one id. Default:
            True.
        has_config (bool): Whether there is a config, for the tool that cleans the file.
            Default: True.

    Returns:
        dict: Its content, with ``annotations``, and ``file_name`` in each image.

    Raises:
        UserError: If it is not JSON, not in COCO's format, or if two images,
            annotations or categories have one id.
    """
    content = _read_json(path)
    for name, keys in LAYOUTS[layout].items():
        if name == 'annotations' and not labelled:
            content.setdefault(name, [])
        items = content.get(name)
        if not isinstance(items, list):
            raise UserError(f"{path} has no list '{name}': export it in COCO's format")
        _check_items(path, name, items, keys)
        if unique and 'id' in keys:
            _check_ids(path, name, items, has_config)
    for image in content['images']:
        if layout == 'lvis':
            image['file_name'] = image['coco_url'].replace(COCO_HOST, '')
        elif layout == 'lvis_v05' and image['file_name'].startswith('COCO'):
            # named as in 2014, and as in 2017 on the disk
            image['file_name'] = image['file_name'][-16:]
    return content


def _read_json(path: str) -> dict:
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror or error}') from error
    except (ValueError, RecursionError) as error:
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
    return content


def _check_items(path: str, name: str, items: list, keys: tuple[str, ...]) -> None:
    wrong = [(i, key) for i, item in enumerate(items) for key in keys if _lacks(item, key)]
    if wrong:
        i, key = wrong[0]
        what = 'positive number' if key in NUMBERS else 'value'
        raise UserError(
            f"{path}: {name}[{i}] has no {what} '{key}'{and_more(len(wrong))}: "
            'give it, or remove the item'
        )


def _lacks(item, key: str) -> bool:
    value = item.get(key) if isinstance(item, dict) else None
    if key in NUMBERS:
        return not (is_number(value) and 0 < value < float('inf'))
    if key in FILE_NAMES:
        return not isinstance(value, str)
    return value is None or not (key == 'segments_info' or isinstance(value, Hashable))


def _check_ids(path: str, name: str, items: list[dict], has_config: bool) -> None:
    repeats = find_repeats(items)
    if not repeats:
        return
    shown = ', '.join(f'{one.id} ({len(one.indices)} times)' for one in repeats[:5])
    same = all(one.same for one in repeats)
    remedy = 'they are identical, so leave one of each' if same else 'number them anew'
    if has_config and (same or name == 'annotations'):
        remedy += f', for example with {CLEAN_COMMAND}'
    raise UserError(f'{path}: {name} of the same id: {shown}{and_more(len(repeats), 5)}; {remedy}')


def find_repeats(items: list[dict]) -> list[Repeat]:
    """Find the items of a list that have one id.

    Args:
        items (list[dict]): Images, annotations or categories, each with an ``id``.

    Returns:
        list[Repeat]: One for each id that stands more than once.
    """
    places = defaultdict(list)
    for i, item in enumerate(items):
        places[item['id']].append(i)
    return [
        Repeat(key, indices, _find_copies(items, indices))
        for key, indices in places.items()
        if len(indices) > 1
    ]


def _find_copies(items: list[dict], indices: list[int]) -> list[int]:
    seen, copies = set(), []
    for i in indices:
        text = json.dumps(items[i], sort_keys=True)
        if text in seen:
            copies.append(i)
        seen.add(text)
    return copies


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
