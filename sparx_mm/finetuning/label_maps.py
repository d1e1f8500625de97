"""Segmentation sets of one's own: a folder of images and one of index PNGs."""

import os.path as osp
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..data_checks.segmentation.labels import find_ids
from ..data_checks.wording import and_more
from ..engine.transforms.check_seg_map import IGNORED
from ..errors import UserError
from ..image_files import IMAGE_ENDINGS
from .sources.images import ImageFolder, list_files


class LabelMaps(NamedTuple):
    """Images and their label maps.

    Args:
        images (str): Folder of the images.
        maps (str): Folder of the label maps.
        names (list[str]): Name of each pair, without endings.
        ids (list[frozenset[int]]): Ids in each label map, without 255.
        image_suffix (str): Ending of all images.
        map_suffix (str): Ending of all label maps.
        palette (list[tuple[int, int, int]]): Colors of the first label map; empty if it
            has none.
        size (int): Median of the shorter sides of the images, in pixels.
        notes (list[str]): What was left out.
    """

    images: str
    maps: str
    names: list[str]
    ids: list[frozenset[int]]
    image_suffix: str
    map_suffix: str
    palette: list[tuple[int, int, int]]
    size: int
    notes: list[str]


def read_label_maps(images: str, maps: str) -> LabelMaps:
    """Pair images and label maps, and read the ids of the classes.

    Args:
        images (str): Folder of the images.
        maps (str): Folder of the PNGs; a name is that of the image, perhaps with an ending
            that all share, such as ``_mask``.

    Returns:
        LabelMaps: The pairs.

    Raises:
        UserError: If images have several endings, if nothing pairs, or if a PNG is no index
            map.
    """
    folder = ImageFolder(images)
    endings = Counter(osp.splitext(name)[1] for name in folder.names.values())
    if len(endings) > 1:
        shown = ', '.join(f'{count} {ending}' for ending, count in endings.most_common())
        raise UserError(
            f'images of {osp.abspath(images)} have several endings ({shown}), and mmsegmentation '
            'reads one: convert the fewer ones'
        )
    files = set(list_files(maps, ('.png',)))
    if not files:
        others = list_files(maps, IMAGE_ENDINGS)
        found = f', but for example {others[0]}' if others else ''
        raise UserError(
            f'{osp.abspath(maps)} holds no label map, a .png{found}: give index PNGs, in which a '
            'pixel is the number of its class'
        )
    suffix = _find_suffix(folder.names, files)
    paired = [name for name in folder.names if name + suffix in files]
    lone = len(files) - len(paired)
    if lone or not paired:
        name = min(files - {name + suffix for name in paired})
        raise UserError(
            f'images missing: {name}{and_more(lone)} of {len(files)} label maps has no image of its '
            f'name in {osp.abspath(images)}: put it there, or remove the label map'
        )
    alone = len(folder.names) - len(paired)
    sides = sorted(min(folder.size(folder.names[name])) for name in paired)
    paths = [osp.join(maps, name + suffix) for name in paired]
    return LabelMaps(
        images=images,
        maps=maps,
        names=paired,
        ids=[_read_ids(path) for path in paths],
        image_suffix=next(iter(endings)),
        map_suffix=suffix,
        palette=_read_palette(paths[0]),
        size=sides[len(sides) // 2],
        notes=[f'images left out, because they have no label map: {alone}'] if alone else [],
    )


def pick(maps: LabelMaps, chosen: Sequence[int]) -> LabelMaps:
    """Leave some label maps.

    Args:
        maps (LabelMaps): All of them.
        chosen (Sequence[int]): Indices of those.

    Returns:
        LabelMaps: These.
    """
    names, ids = ([of[i] for i in chosen] for of in (maps.names, maps.ids))
    return maps._replace(names=names, ids=ids)


def _find_suffix(names: Sequence[str], files: set[str]) -> str:
    """Return what most label maps have after the name of an image."""
    found = Counter(
        file[len(name) :]
        for name in sorted(names)[:20]
        for file in files
        if file.startswith(name) and not file[len(name) : len(name) + 1].isalnum()
    )
    return found.most_common(1)[0][0] if found else '.png'


def _read_ids(path: str) -> frozenset[int]:
    ids = find_ids(path)
    if ids is None:
        raise UserError(
            f'label map {path} is no index PNG: one channel, in which a pixel is the number of '
            'its class; convert its colors to numbers'
        )
    _check_palette(path, ids)
    return frozenset(ids - {IGNORED})


def _check_palette(path: str, ids: set[int]) -> None:
    # imported lazily: the other tasks work without Pillow
    from PIL import Image

    with Image.open(path) as file:
        count = len(file.getpalette() or ()) // 3
    beyond = [i for i in ids if i >= count and i != IGNORED]
    if count and beyond:
        raise UserError(
            f'label map {path} has pixels of {max(beyond)}, and its palette has {count} colors, 0 '
            f'to {count - 1}: write it again, with {IGNORED} for what is to be ignored'
        )


def _read_palette(path: str) -> list[tuple[int, int, int]]:
    # imported lazily: see above
    from PIL import Image

    with Image.open(path) as file:
        values = file.getpalette() or []
    return [tuple(values[i : i + 3]) for i in range(0, len(values), 3)]


def choose_classes(maps: LabelMaps, names: Sequence[str] | None = None) -> list[str]:
    """Choose the classes of label maps.

    Args:
        maps (LabelMaps): The label maps.
        names (Sequence[str], optional): Names in the order of their ids. None: the ids
            from 0 to the largest name themselves. Default: None.

    Returns:
        list[str]: Class names.

    Raises:
        UserError: If a pixel is no class, or if there are fewer than two.
    """
    ids = set().union(*maps.ids)
    beyond = [i for i in ids if names is not None and i >= len(names)]
    if beyond:
        name = next(n for n, own in zip(maps.names, maps.ids) if max(beyond) in own)
        raise UserError(
            f'label map {osp.join(maps.maps, name + maps.map_suffix)} has pixels of '
            f'{max(beyond)}, and there are {len(names)} classes, 0 to {len(names) - 1}: name its '
            f'class too, or write {IGNORED} for what is to be ignored'
        )
    if len(ids) < 2:
        shown = ' and '.join(map(str, sorted(ids))) or f'{IGNORED}'
        raise UserError(
            f'the {len(maps.names)} label maps of {osp.abspath(maps.maps)} hold {shown} only, beside '
            f'{IGNORED}, which is ignored: give each class its own number, from 0'
        )
    return list(names) if names else [str(i) for i in range(max(ids) + 1)]
