"""Checks of detection sets in VOC's format, before anything is built."""

import os.path as osp
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Collection
from glob import escape, glob
from typing import NamedTuple

from ..errors import UserError
from .classes import describe_absent, join_classes
from .data_sets import find_facts
from .files import describe_missing, read_lines
from .orientation import describe_turned
from .wording import closest, quote_names

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


class VocSet(NamedTuple):
    """A data set of a config that mmdet reads as ``XMLDataset`` does.

    Args:
        key (str): Key of its config.
        path (str): List of its images.
        images (str): Folder of its images.
        xml (str): Folder of its annotations.
        classes (list[str]): Class names.
        trains (bool): True if it is the training data alone.
        filters_empty (bool): True if images without objects are left out.
    """

    key: str
    path: str
    images: str
    xml: str
    classes: list[str]
    trains: bool
    filters_empty: bool


def find_voc_set(key: str, node: dict, scope: str | None) -> VocSet | None:
    """Read the config of a data set in VOC's format.

    Args:
        key (str): Key of ``node`` in the whole config.
        node (dict): Config of a data set with an ``ann_file``.
        scope (str, optional): Library that defines its type.

    Returns:
        VocSet or None: None for a set that reads its files in another way.
    """
    base, names = 'mmdet.datasets.xml_style.XMLDataset', ('load_data_list', 'parse_data_info')
    facts = find_facts(key, node, scope, base, names)
    if facts is None or not node.get('ann_file'):
        return None
    folder = osp.join(facts.root, (node.get('data_prefix') or {}).get('sub_data_root') or '')
    return VocSet(
        key=key,
        path=osp.join(facts.root, node['ann_file']),
        images=osp.join(folder, node.get('img_subdir', 'JPEGImages')),
        xml=osp.join(folder, node.get('ann_subdir', 'Annotations')),
        classes=join_classes([facts.classes]) or [],
        trains=facts.trains and facts.alone,
        filters_empty=facts.trains and bool((node.get('filter_cfg') or {}).get('filter_empty_gt')),
    )


def check_voc_set(dataset: VocSet, node: dict) -> list[str]:
    """Check the list of a set, its images and its annotation files.

    Args:
        dataset (VocSet): The set.
        node (dict): Its config.

    Returns:
        list[str]: Lines for the log: what is trained, and what looks odd.

    Raises:
        UserError: If a file is missing or broken, or if no object is trained.
    """
    names = read_lines(dataset.path)
    xml = [osp.join(dataset.xml, f'{name}.xml') for name in names]
    _check_files(dataset, 'annotation files', xml)
    images = [osp.join(dataset.images, f'{name}.jpg') for name in names]
    _check_files(dataset, 'images', images)
    objects = Counter(name for path in xml for name in read_voc(path, dataset.classes))
    trained = {name: count for name, count in objects.items() if name in dataset.classes}
    others = [name for name in objects if name not in dataset.classes]
    for name in dataset.classes:
        # a boat is no misspelt goat
        near = closest(name, others, 0.85)
        if name not in trained and near:
            raise UserError(
                f'{dataset.key}.metainfo.classes: no object of {dataset.path} is a {name!r}, and '
                f'{objects[near]} are a {near!r}: give the names of the files'
            )
    if dataset.filters_empty and not trained:
        raise UserError(
            f'{dataset.path}: no object is trained: its files have {quote_names(others)}, and '
            f'{dataset.key}.metainfo.classes has {quote_names(dataset.classes)}'
        )
    left_out = objects.total() - sum(trained.values())
    return [
        f'{dataset.path}: {len(names)} images, {sum(trained.values())} objects of '
        f'{len(trained)} classes; {left_out} left out' + ' (of other classes)' * bool(left_out),
        *(describe_absent(dataset.path, dataset.classes, trained) if dataset.trains else ()),
        *describe_turned(dataset.path, images, node),
    ]


def read_voc(path: str, classes: Collection[str]) -> list[str]:
    """Read the class names of the objects in a file.

    Args:
        path (str): An annotation file.
        classes (Collection[str]): Names of the classes that are trained.

    Returns:
        list[str]: A name for each object, which may be empty.

    Raises:
        UserError: If it is not XML, or if an object lacks a name, or one of these classes a corner.
    """
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise UserError(f'{path} is not XML: {error}; export it again') from error
    names = []
    for i, item in enumerate(root.findall('object')):
        name = item.findtext('name')
        if name is None:
            raise UserError(f'{path}: object {i + 1} has no name: give one, or remove it')
        names.append(name)
        # mmdet leaves the others out before it reads their boxes
        for corner in CORNERS if name in classes else ():
            text = item.findtext(f'bndbox/{corner}')
            if not _is_finite(text):
                raise UserError(
                    f'{path}: object {i + 1} ({name}) has the {corner} {text!r}: give a number '
                    'of pixels, or remove it'
                )
    return names


def _is_finite(text: str | None) -> bool:
    try:
        return abs(float(text or 'nan')) < float('inf')
    except ValueError:
        return False


def _check_files(dataset: VocSet, what: str, paths: list[str]) -> None:
    line, missing = describe_missing(dataset.path, paths, what)
    if not missing:
        return
    start, suffix = osp.splitext(missing[0])
    others = glob(f'{escape(start)}.*')
    if others:
        raise UserError(
            f'{line}, but there is {osp.basename(min(others))}: the set looks for {suffix}, so '
            'convert them'
        )
    raise UserError(f'{line}; put them there, or take their lines out of the list')
