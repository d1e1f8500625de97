"""Boxes and polygons of YOLO's text files."""

import os.path as osp
from collections.abc import Sequence
from typing import Any

import yaml

from ...errors import UserError
from .content import Collector, Content, polygon_box
from .images import ImageFolder, list_files, missing_images

# files of names beside the labels, and other lists that exporters leave there
NAMES = ('data.yaml', 'data.yml', 'dataset.yaml', 'classes.txt', 'obj.names', '_darknet.labels')
LISTS = ('classes.txt', 'train.txt', 'val.txt', 'test.txt', 'readme.txt')
# of rounded values
MARGIN = 1e-3


def list_labels(annotations: str) -> list[str]:
    """List the label files below a folder.

    Args:
        annotations (str): The folder.

    Returns:
        list[str]: Paths relative to it, without lists of names or images.
    """
    files = list_files(annotations, ('.txt',))
    return [
        file for file in files if not osp.basename(file).lower().startswith(LISTS + ('readme',))
    ]


def read_yolo(images: str, annotations: str, classes: Sequence[str] | None = None) -> Content:
    """Read a folder of text files, one for each image.

    A line is a class number and the center, width and height of a box, or the points of a
    polygon, as fractions of the image. An image without a file, or with an empty one, has
    no object.

    Args:
        images (str): Folder of the images.
        annotations (str): Folder of the text files.
        classes (Sequence[str], optional): Class names in the order of their numbers. None:
            those of a data.yaml or classes.txt beside the files or up to two folders
            above. Default: None.

    Returns:
        Content: The set.

    Raises:
        UserError: If there are no names, or if a line is no such object.
    """
    source = '--classes'
    if classes is None:
        source = _find_names(annotations, images)
        classes = read_names(source)
    folder, found = ImageFolder(images), Collector(images, list(classes), source)
    labels = {osp.splitext(file)[0]: file for file in list_labels(annotations)}
    owners = {stem: folder.find(stem) for stem in labels}
    missing = [labels[stem] for stem, name in owners.items() if name is None]
    if missing:
        raise missing_images(images, missing, len(labels))
    files = {name: labels[stem] for stem, name in owners.items()}
    for name in folder.names.values():
        size = folder.size(name)
        found.add_image(name, size)
        if name in files:
            _add_objects(found, osp.join(annotations, files[name]), size)
    alone = len(folder.names) - len(files)
    if alone:
        found.notes.append(f'images without a label file, taken as without objects: {alone}')
    return found.content()


def _add_objects(found: Collector, path: str, size: tuple[int, int]) -> None:
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = file.read().splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f'{path} is not a text file in UTF-8') from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f'{path}, line {number}'
        label, values = _parse(line, where, len(found.classes), found.declared)
        width, height = size
        if len(values) == 4:
            x, y, w, h = values
            box, polygons = ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height), ()
        else:
            polygon = [value * size[i % 2] for i, value in enumerate(values)]
            box, polygons = polygon_box([polygon]), [polygon]
        found.add_object(where, found.classes[label], box, polygons)


def _parse(line: str, where: str, count: int, source: str) -> tuple[int, list[float]]:
    try:
        first, *rest = map(float, line.split())
    except ValueError:
        raise UserError(f'{where}: {line.strip()!r} is no line of numbers') from None
    if len(rest) != 4 and (len(rest) < 6 or len(rest) % 2):
        raise UserError(
            f'{where} has {len(rest) + 1} numbers, and YOLO has five, class x y width height, or '
            'a class and at least three points x y'
        )
    label = int(first)
    if label != first or not 0 <= label < count:
        raise UserError(
            f'{where}: the class {first:g} is outside the {count} classes of {source}, which are 0 '
            f'to {count - 1}: correct it, or name its class there'
        )
    outside = [value for value in rest if not -MARGIN <= value <= 1 + MARGIN]
    if outside:
        raise UserError(
            f'{where}: {outside[0]:g} is outside [0, 1]: YOLO has fractions of the image, so '
            'divide x and width by its width, y and height by its height'
        )
    return label, rest


def _find_names(annotations: str, images: str) -> str:
    """Find the file of class names of a folder of labels."""
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
        UserError: If it names no class.
    """
    if path.endswith(('.yaml', '.yml')):
        names = read_yaml(path).get('names')
        if isinstance(names, dict):
            if sorted(names) != list(range(len(names))):
                raise UserError(f'{path}: names are numbered {sorted(names)}, and not from 0 on')
            names = [names[i] for i in range(len(names))]
    else:
        with open(path, encoding='utf-8-sig') as file:
            names = [line.strip() for line in file if line.strip()]
    if not names or not isinstance(names, list):
        raise UserError(f'{path} names no class: give names, the first for number 0')
    return [str(name) for name in names]


def read_yaml(path: str) -> dict[str, Any]:
    """Read a ``data.yaml``.

    Args:
        path (str): The file.

    Returns:
        dict: Its content.

    Raises:
        UserError: If it is no YAML with keys.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            content = yaml.safe_load(file)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path} is no YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict):
        raise UserError(f'{path} has no keys: a data.yaml has names, train and val')
    return content


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
