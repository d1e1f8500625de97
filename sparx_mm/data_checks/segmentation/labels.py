"""Check that the label maps of a segmentation set teach more than one class."""

from collections.abc import Iterable

import numpy as np
from mmengine.dataset import BaseDataset

from ...engine.transforms.check_seg_map import IGNORED, read_pixels
from ...errors import UserError

# label maps, spread over the set, that are read at every start
SAMPLE = 30


def check_seg_labels(dataset: BaseDataset, key: str) -> None:
    """Check that at least two classes occur.

    A few label maps are read, and all only if those have one class. Maps that
    are no index maps are left to ``CheckSegMap``.

    Args:
        dataset (BaseDataset): Set whose ``data_list`` is built.
        key (str): Key of its config.

    Raises:
        UserError: If a class of several, or none, is all that is learned.
    """
    names = dataset.metainfo.get('classes') or ()
    items = [item for item in dataset.data_list if item.get('seg_map_path')]
    if len(names) < 2 or not items:
        return
    sample = items[:: -(-len(items) // SAMPLE)]
    ids: set[int] = set()
    for item in (*sample, *items):
        found = find_ids(item['seg_map_path'])
        if found is None:
            return
        ids |= found
        if len(_classes(ids, item)) > 1:
            return
    raise UserError(_describe(key, ids, _classes(ids, items[0]), items, names))


def find_ids(path: str) -> set[int] | None:
    """Return the ids in the file of a label map.

    Args:
        path (str): The file.

    Returns:
        set[int] or None: The ids; None if it cannot be read, or is no index map.
    """
    pixels = read_pixels(path)
    if pixels is None or pixels.ndim != 2:
        return None
    if pixels.dtype == np.uint8:
        return set(np.flatnonzero(np.bincount(pixels.ravel())).tolist())
    return set(np.unique(pixels).tolist())


def _classes(ids: Iterable[int], item: dict) -> set[int]:
    """Return the labels that ids have after loading, without what is ignored."""
    labels = set(ids) - {IGNORED}
    if item.get('reduce_zero_label'):
        labels = {i - 1 for i in labels if i}
    label_map = item.get('label_map') or {}
    return {label_map.get(i, i) for i in labels} - {IGNORED}


def _describe(key, ids, labels, items, names) -> str:
    ignored = [i for i in ids if not _classes([i], items[0])]
    held = ' and '.join(map(str, sorted(ids)))
    text = f'{key}: the {len(items)} label maps hold {held} only'
    if ignored:
        verb = 'is' if len(ignored) == 1 else 'are'
        text += f'; {" and ".join(map(str, sorted(ignored)))} {verb} ignored'
    never = [(i, name) for i, name in enumerate(names) if i not in labels]
    if items[0].get('reduce_zero_label') and 1 < len(ids) <= len(names) > max(ids):
        return f'{text}: if 0 is a class, give {key}.reduce_zero_label=False'
    if len(never) == 1:
        (label, name), first = never[0], int(bool(items[0].get('reduce_zero_label')))
        remedy = f'write {label + first} in the place of {max(ids)}'
        return f'{text}, so class {label} {name!r} never occurs: {remedy}'
    return f'{text}, so {len(never)} of {len(names)} classes never occur: give each its own id'
