"""Shapes of LabelMe's JSON files."""

import json
import math
import os.path as osp
from collections import Counter
from collections.abc import Sequence

from ...errors import UserError
from .content import Collector, Content, polygon_box
from .images import ImageFolder, list_files, pair_files

# shapes by what they are read as, and those without an area
KINDS = dict(
    polygon='polygon',
    rectangle='rectangle',
    circle='circle',
    rotation='polygon',
    oriented_rectangle='polygon',
    # two corners, and an image of what is between them
    mask='rectangle',
)
LINES = ('point', 'points', 'line', 'linestrip')
# points of a circle's outline; a multiple of four, so that it touches its box
CIRCLE_POINTS = 64


def read_labelme(images: str, annotations: str, classes: Sequence[str] | None = None) -> Content:
    """Read a folder of JSON files, one for each image.

    Polygons, turned rectangles and circles have masks. Rectangles have none, and of masks
    that LabelMe stores as images the box is read. Shapes of one label and ``group_id`` are
    parts of one object. Points and lines are left out.

    Args:
        images (str): Folder of the images.
        annotations (str): Folder of the JSON files.
        classes (Sequence[str], optional): See `Collector`. Default: None.

    Returns:
        Content: The set. Images without a file are left out.

    Raises:
        UserError: If a file is no such JSON, has no image, or if a shape is broken.
    """
    folder, found = ImageFolder(images), Collector(images, classes)
    files = list_files(annotations, ('.json',))
    contents = {file: _read(osp.join(annotations, file)) for file in files}
    pairs = {file: _find_image(folder, file, content) for file, content in contents.items()}
    pair_files(images, pairs)
    others: Counter = Counter()
    for file, name in pairs.items():
        content, path = contents[file], osp.join(annotations, file)
        size = content.get('imageWidth'), content.get('imageHeight')
        known = all(isinstance(side, int) and side > 0 for side in size)
        found.add_image(name, size if known else folder.size(name))
        for shapes in _group(content['shapes'], path):
            _add_object(found, path, shapes, others)
    if others:
        kinds = ', '.join(f'{count} {kind}' for kind, count in others.most_common())
        found.notes.append(f'shapes left out, because they have no area: {kinds}')
    alone = len(folder.names) - len(files)
    if alone > 0:
        found.notes.append(f'images left out, because they have no JSON file: {alone}')
    return found.content()


def _read(path: str) -> dict:
    try:
        with open(path, encoding='utf-8-sig') as file:
            content = json.load(file)
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path} is not JSON: {error}; export it again') from error
    if isinstance(content, dict) and {'images', 'annotations'} <= set(content):
        raise UserError(f"{path} is in COCO's format: give the file itself as --annotations")
    if not isinstance(content, dict) or not isinstance(content.get('shapes'), list):
        raise UserError(f'{path} has no list of shapes, as LabelMe writes it')
    return content


def _find_image(folder: ImageFolder, file: str, content: dict) -> str | None:
    # LabelMe on Windows writes backslashes
    named = str(content.get('imagePath') or '').replace('\\', '/')
    stem = osp.splitext(osp.basename(named))[0]
    return folder.find(osp.splitext(file)[0]) or (folder.find(stem) if stem else None)


def _group(shapes: list, path: str) -> list[list[dict]]:
    """Put the shapes of one object together."""
    groups: dict = {}
    for i, shape in enumerate(shapes):
        if not isinstance(shape, dict) or not str(shape.get('label') or '').strip():
            raise UserError(f'{path}: shapes[{i}] has no label: give one, or remove it')
        number = shape.get('group_id')
        key = ('alone', i) if number is None else (str(shape['label']), str(number))
        groups.setdefault(key, []).append(shape)
    return list(groups.values())


def _add_object(found: Collector, path: str, shapes: list[dict], others: Counter) -> None:
    outlines, boxes = [], []
    for shape in shapes:
        given = str(shape.get('shape_type') or 'polygon')
        where = f'{path}: {shape["label"]!r}'
        if given in LINES:
            others[given] += 1
            continue
        if given not in KINDS:
            raise UserError(
                f'{where} is a {given}, and read are {", ".join(KINDS)}: draw it as a polygon, or '
                'remove it'
            )
        outline = _outline(KINDS[given], shape.get('points'), where)
        (boxes if KINDS[given] == 'rectangle' else outlines).append(outline)
    if outlines or boxes:
        # a rectangle is a box, and its object has no mask of its own
        masks = [] if boxes else outlines
        name = str(shapes[0]['label']).strip()
        found.add_object(path, name, polygon_box(outlines + boxes), masks)


def _outline(kind: str, points: Sequence[Sequence[float]], where: str) -> list[float]:
    try:
        points = [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError):
        points = []
    least = 3 if kind == 'polygon' else 2
    if len(points) < least or not all(map(math.isfinite, sum(points, ()))):
        raise UserError(
            f'{where} is a {kind} that is not {least} or more points x, y: draw it again'
        )
    if kind == 'rectangle':
        # drawn from any corner; newer versions write all four
        xs, ys = zip(*points)
        return [min(xs), min(ys), max(xs), min(ys), max(xs), max(ys), min(xs), max(ys)]
    if kind == 'circle':
        (x, y), edge = points[:2]
        radius = math.dist((x, y), edge)
        turns = [2 * math.pi * i / CIRCLE_POINTS for i in range(CIRCLE_POINTS)]
        points = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
    return [value for point in points for value in point]
