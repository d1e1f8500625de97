"""Images, classes and objects of a set, collected in COCO's format."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

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
