"""Class names and folders of YOLO's sets."""

import os.path as osp
from typing import Any

import yaml

from ...data_checks.files import read_text
from ...errors import UserError

# files of names beside the labels
NAMES = ('data.yaml', 'data.yml', 'dataset.yaml', 'classes.txt', 'obj.names', '_darknet.labels')
# texts of YAML for no value
_NULLS = ('', '~', 'null', 'Null', 'NULL')


def is_yaml(path: str | None) -> bool:
    """Return True for the name of a ``data.yaml``.

    Args:
        path (str, optional): A file or folder.
    """
    return path is not None and path.endswith(('.yaml', '.yml'))


def find_names(annotations: str, images: str) -> str:
    """Find the file of class names of a folder of labels.

    Args:
        annotations (str): The folder.
        images (str): Folder of the images.

    Returns:
        str: The file, in one of the folders or up to two above.

    Raises:
        UserError: If there is none.
    """
    for start in (annotations, images):
        place = osp.abspath(start)
        for _ in range(3):
            for name in NAMES:
                if osp.isfile(osp.join(place, name)):
                    return osp.join(place, name)
            place = osp.dirname(place)
    raise UserError(
        f'no names of classes for the YOLO labels of {osp.abspath(annotations)}: put data.yaml '
        'or classes.txt beside them, or give --classes NAME ...'
    )


def read_names(path: str) -> list[str]:
    """Read class names from a ``data.yaml``, or a text file with one in each line.

    Args:
        path (str): The file.

    Returns:
        list[str]: The names in the order of their numbers.

    Raises:
        UserError: If it names no class, or two alike.
    """
    if is_yaml(path):
        names = read_yaml(path).get('names')
        if isinstance(names, dict):
            numbers = [str(i) for i in range(len(names))]
            if set(names) != set(numbers):
                shown = ', '.join(names)
                raise UserError(f'{path}: names are numbered {shown}, and not from 0 on')
            names = [names[number] for number in numbers]
    else:
        names = read_text(path, 'utf-8-sig').rstrip().splitlines()
        names = [name.strip() for name in names]
        if '' in names:
            raise UserError(
                f'{path}: line {names.index("") + 1} is empty, and each is the name of its number: '
                'remove it, or fill it in'
            )
    if not names or not isinstance(names, list):
        raise UserError(f'{path} names no class: give names, the first for number 0')
    names = [str(name) for name in names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f'{path} names two classes {twice!r}: give each a name of its own')
    return names


def read_yaml(path: str) -> dict[str, Any]:
    """Read a ``data.yaml``.

    Args:
        path (str): The file.

    Returns:
        dict: Its content in texts, without keys that have no value.

    Raises:
        UserError: If it is no YAML with keys.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            # texts alone, because a class may be called yes or no
            content = yaml.load(file, yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is no YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict):
        raise UserError(f'{path} has no keys: a data.yaml has names, train and val')
    return {key: value for key, value in content.items() if value not in _NULLS}


def yaml_folders(path: str, key: str) -> tuple[str, str] | None:
    """Find the folders of images and labels that a ``data.yaml`` names.

    Args:
        path (str): The file.
        key (str): ``'train'`` or ``'val'``.

    Returns:
        tuple[str, str] or None: Folder of the images, and that of the labels, which has
        ``labels`` for the last ``images`` in its path; None without the key.

    Raises:
        UserError: If the key names no folder.
    """
    content = read_yaml(path)
    value = content.get(key) or (content.get('valid') if key == 'val' else None)
    if value is None:
        return None
    if not isinstance(value, str):
        raise UserError(f'{path}: {key} is {value!r}: one folder of images is read')
    base = osp.dirname(osp.abspath(path))
    root = osp.join(base, str(content.get('path') or ''))
    # Roboflow writes ../train/images for a folder beside the file
    places = [
        osp.join(root, value),
        osp.join(base, value),
        osp.join(base, value.replace('../', '')),
    ]
    images = next((osp.normpath(place) for place in places if osp.isdir(place)), None)
    if images is None:
        raise UserError(f'{path}: {key} names {value}, and there is no folder {places[0]}')
    parts = images.split(osp.sep)
    if 'images' not in parts:
        return images, images
    last = len(parts) - 1 - parts[::-1].index('images')
    return images, osp.sep.join([*parts[:last], 'labels', *parts[last + 1 :]])
