"""Images, classes and objects of a set, collected in COCO's format."""

import os.path as osp
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ...data_checks.wording import closest, quote_names
from ...errors import UserError


class Content(NamedTuple):
    """An annotated set of images.

    Args:
        folder (str): Folder of its images.
        coco (dict): ``images``, ``categories`` and ``annotations`` in COCO's format;
            the names of the images are relative to the folder.
        notes (list[str]): What was left out or is odd.
    """

    folder: str
    coco: dict[str, list[dict]]
    notes: list[str]


class Collector:
    """Collect images and objects, and number them.

    Args:
        folder (str): Folder of the images.
        classes (Sequence[str], optional): Class names in the order of their labels. None:
            those of the objects, sorted. Default: None.
        declared (str): Where the classes are from, for the message at another one.
            Default: ``'--classes'``.
    """

    def __init__(
        self, folder: str, classes: Sequence[str] | None = None, declared: str = '--classes'
    ) -> None:
        self.folder, self.classes, self.declared = folder, classes, declared
        self.images: list[dict] = []
        self.objects: list[dict] = []
        self.notes: list[str] = []

    def add_image(self, name: str, size: tuple[int, int]) -> None:
        """Add an image, to which the objects that follow belong.

        Args:
            name (str): Its file, relative to the folder.
            size (tuple[int, int]): Width and height in pixels.
        """
        width, height = size
        number = len(self.images) + 1
        self.images.append(dict(id=number, file_name=name, width=width, height=height))

    def add_object(
        self,
        source: str,
        name: str,
        box: Sequence[float],
        polygons: Sequence[Sequence[float]] = (),
        crowd: bool = False,
    ) -> None:
        """Add an object of the image that was added last.

        Args:
            source (str): Its file, for messages.
            name (str): Its class.
            box (Sequence[float]): Left, top, width and height in pixels.
            polygons (Sequence[Sequence[float]]): Outlines x, y, x, y, ... in pixels.
                Default: ().
            crowd (bool): True if it is neither trained nor counted. Default: False.

        Raises:
            UserError: If it is of no class of those that are declared.
        """
        if self.classes is not None and name not in self.classes:
            near = closest(name, self.classes)
            hint = f'did you mean {near!r}?' if near else f'they are {quote_names(self.classes)};'
            raise UserError(
                f'{source}: {name!r} is none of the classes of {self.declared}: {hint} correct '
                'the label, or add the class there'
            )
        self.objects.append(
            dict(
                id=len(self.objects) + 1,
                image_id=len(self.images),
                category_id=name,
                bbox=list(box),
                area=sum(map(polygon_area, polygons)) if polygons else box[2] * box[3],
                iscrowd=int(crowd),
                segmentation=[list(polygon) for polygon in polygons],
            )
        )

    def content(self) -> Content:
        """Return what was collected, each class with a number from 1."""
        names = self.classes or sorted({one['category_id'] for one in self.objects})
        numbers = {name: i for i, name in enumerate(names, 1)}
        for one in self.objects:
            one['category_id'] = numbers[one['category_id']]
        categories = [dict(id=number, name=name) for name, number in numbers.items()]
        coco = dict(images=self.images, categories=categories, annotations=self.objects)
        return Content(self.folder, coco, self.notes)


def polygon_area(polygon: Sequence[float]) -> float:
    """Compute the area of a polygon.

    Args:
        polygon (Sequence[float]): x, y, x, y, ... in pixels.

    Returns:
        float: Square pixels.
    """
    xs, ys = polygon[::2], polygon[1::2]
    pairs = zip(xs, ys, [*xs[1:], xs[0]], [*ys[1:], ys[0]])
    return abs(sum(x * next_y - next_x * y for x, y, next_x, next_y in pairs)) / 2


def polygon_box(polygons: Iterable[Sequence[float]]) -> list[float]:
    """Return left, top, width and height of the box around polygons, in pixels.

    Args:
        polygons (Iterable[Sequence[float]]): x, y, x, y, ... of each in pixels.
    """
    polygons = list(polygons)
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def has_masks(coco: dict[str, Any]) -> bool:
    """Return True if every object that counts has a mask.

    Args:
        coco (dict): Content of a file in COCO's format.
    """
    objects = [one for one in coco['annotations'] if not one.get('iscrowd')]
    return bool(objects) and all(one.get('segmentation') for one in objects)


def keep_classes(content: Content, classes: Sequence[str] | None = None) -> Content:
    """Leave the classes of a set that objects have, or that are chosen.

    Args:
        content (Content): The set.
        classes (Sequence[str], optional): Names of the categories to keep, in the order
            of their labels. None: those with an object. Default: None.

    Returns:
        Content: The set with these classes and their objects.

    Raises:
        UserError: If a chosen class is no category, or if there is no object.
    """
    coco, notes = content.coco, list(content.notes)
    names = [category['name'] for category in coco['categories']]
    unknown = [name for name in classes or () if name not in names]
    if unknown:
        raise UserError(
            f'--classes: {unknown[0]!r} is no class of the annotations, which have '
            f'{quote_names(names)}'
        )
    used = {one['category_id'] for one in coco['annotations'] if not one.get('iscrowd')}
    by_name = {category['name']: category for category in coco['categories']}
    wanted = [by_name[name] for name in classes or names]
    kept = [category for category in wanted if category['id'] in used]
    if not kept:
        raise UserError(
            f'no object is annotated in the {len(coco["images"])} images of '
            f'{osp.abspath(content.folder)}: give the annotations that belong to them'
        )
    absent = [category['name'] for category in wanted if category['id'] not in used]
    if absent:
        notes.append(f'classes left out, because no object has them: {quote_names(absent)}')
    ids = {category['id'] for category in kept}
    objects = [one for one in coco['annotations'] if one['category_id'] in ids]
    others = len(coco['annotations']) - len(objects)
    if others:
        notes.append(f'objects left out, because their classes are: {others}')
    return content._replace(coco={**coco, 'categories': kept, 'annotations': objects}, notes=notes)


def align_classes(content: Content, names: Sequence[str]) -> Content:
    """Give a validation set the classes of its training set.

    Args:
        content (Content): The validation set.
        names (Sequence[str]): Classes of the training set in the order of their labels.

    Returns:
        Content: The set with these classes, and without objects of others.
    """
    numbers = {name: i for i, name in enumerate(names, 1)}
    labels = {one['id']: one['name'] for one in content.coco['categories']}
    objects = [
        {**one, 'category_id': numbers[labels[one['category_id']]]}
        for one in content.coco['annotations']
        if labels[one['category_id']] in numbers
    ]
    others = {labels[one['category_id']] for one in content.coco['annotations']} - set(numbers)
    notes = list(content.notes)
    if others:
        shown = quote_names(sorted(others))
        notes.append(f'validation objects left out, because none is trained of: {shown}')
    categories = [dict(id=number, name=name) for name, number in numbers.items()]
    coco = {**content.coco, 'categories': categories, 'annotations': objects}
    return content._replace(coco=coco, notes=notes)
