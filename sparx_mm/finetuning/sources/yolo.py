"""Boxes and polygons of YOLO's text files."""

import os.path as osp
from collections.abc import Container, Sequence

from ...data_checks.files import read_text
from ...errors import UserError
from .content import Collector, Content, polygon_box
from .images import ImageFolder, list_files, pair_files
from .yolo_names import find_names, read_names

# other lists that exporters leave beside the labels, and readme.*.txt
LISTS = ('classes.txt', 'train.txt', 'val.txt', 'test.txt', 'readme.txt')
# of rounded values
MARGIN = 1e-3


def list_labels(annotations: str, images: Container[str] = ()) -> list[str]:
    """List the label files below a folder.

    Args:
        annotations (str): The folder.
        images (Container[str]): Names of the images without their ending, whose files are
            labels whatever they are called. Default: ().

    Returns:
        list[str]: Paths relative to it, without lists of names or images.
    """
    return [
        file
        for file in list_files(annotations, ('.txt',))
        if osp.splitext(file)[0] in images or not _is_list(osp.basename(file).lower())
    ]


def _is_list(name: str) -> bool:
    return name in LISTS or name.startswith('readme.')


def read_yolo(
    images: str,
    annotations: str,
    classes: Sequence[str] | None = None,
    names: str | None = None,
) -> Content:
    """Read a folder of text files, one for each image.

    A line is a class number and the center, width and height of a box, or the points of a
    polygon, as fractions of the image. An image without a file, or with an empty one, has
    no object.

    Args:
        images (str): Folder of the images.
        annotations (str): Folder of the text files.
        classes (Sequence[str], optional): Class names in the order of their numbers. None:
            those of ``names``. Default: None.
        names (str, optional): File of the class names. None: a data.yaml or classes.txt
            beside the files or up to two folders above. Default: None.

    Returns:
        Content: The set.

    Raises:
        UserError: If there are no names, or if a line is no such object.
    """
    source = '--classes'
    if classes is None:
        source = names or find_names(annotations, images)
        classes = read_names(source)
    folder, found = ImageFolder(images), Collector(images, list(classes), source)
    labels = list_labels(annotations, folder.names)
    owners = {file: folder.find(osp.splitext(file)[0]) for file in labels}
    pair_files(images, owners)
    files = {name: file for file, name in owners.items()}
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
    lines = read_text(path, 'utf-8-sig').splitlines()
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
