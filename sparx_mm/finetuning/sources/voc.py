"""Boxes of Pascal VOC's XML files."""

import os.path as osp
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ...errors import UserError
from .content import Collector, Content
from .images import ImageFolder, list_files, pair_files

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


def read_voc(images: str, annotations: str, classes: Sequence[str] | None = None) -> Content:
    """Read a folder of XML files, one for each image.

    Corners are the numbers of pixels from 1, the last one inside: an object from xmin=1
    to xmax=W is as wide as its image. Objects marked difficult are neither trained nor
    counted, as in VOC's own evaluation.

    Args:
        images (str): Folder of the images.
        annotations (str): Folder of the XML files.
        classes (Sequence[str], optional): See `Collector`. Default: None.

    Returns:
        Content: The set. Images without a file are left out.

    Raises:
        UserError: If a file is no such XML, has no image, or if an object lacks a name or
            a corner.
    """
    folder, found = ImageFolder(images), Collector(images, classes)
    files = list_files(annotations, ('.xml',))
    pairs = {file: folder.find(osp.splitext(file)[0]) for file in files}
    pair_files(images, pairs)
    for file, name in pairs.items():
        path = osp.join(annotations, file)
        root = _parse(path)
        found.add_image(name, _size(root) or folder.size(name))
        for i, item in enumerate(root.findall('object'), 1):
            where = f'{path}: object {i}'
            label = (item.findtext('name') or '').strip()
            if not label:
                raise UserError(f'{where} has no name: give one, or remove it')
            left, top, right, bottom = (_corner(item, key, where) for key in CORNERS)
            # of files that count from 0, a pixel left of the image
            left, top = max(left - 1, 0), max(top - 1, 0)
            if right <= left or bottom <= top:
                raise UserError(
                    f'{where} ends at x {right:g}, y {bottom:g} before it begins: correct its corners, '
                    'or remove it'
                )
            box = (left, top, right - left, bottom - top)
            found.add_object(
                where, label, box, crowd=(item.findtext('difficult') or '').strip() == '1'
            )
    alone = len(folder.names) - len(files)
    if alone > 0:
        found.notes.append(f'images left out, because they have no XML file: {alone}')
    return found.content()


def _parse(path: str) -> ET.Element:
    try:
        root = ET.parse(path).getroot()
    except (ET.ParseError, ValueError, LookupError) as error:
        # the latter two of encodings that the parser does not know
        raise UserError(f'{path} is not XML: {error}; export it again, in UTF-8') from error
    if root.tag != 'annotation':
        raise UserError(
            f'{path} is no annotation of VOC: its root is {root.tag!r} and not annotation'
        )
    return root


def _size(root: ET.Element) -> tuple[int, int] | None:
    """Return width and height, for which the boxes are; None if the file lacks them."""
    try:
        size = tuple(int(float(root.findtext(f'size/{key}'))) for key in ('width', 'height'))
    except (TypeError, ValueError):
        return None
    return size if min(size) > 0 else None


def _corner(item: ET.Element, key: str, where: str) -> float:
    text = item.findtext(f'bndbox/{key}')
    try:
        value = float(text)
        if abs(value) < float('inf'):
            return value
    except (TypeError, ValueError):
        pass
    raise UserError(f'{where} has the {key} {text!r}: give a number of pixels, or remove it')
