"""Detection sets of a config in COCO's format, or in one of its relatives."""

import os.path as osp
import re
from collections.abc import Sequence
from typing import NamedTuple

from ...config_nodes import type_name, walk
from ..data_sets import find_facts, inherits

# not LoadEmptyAnnotations
LOADER = re.compile('.*LoadAnnotations|LoadPanopticAnnotations')
BASE = 'mmdet.datasets.coco.CocoDataset'
# classes by layout of their files; each is a `CocoDataset`, and has its own methods
BASES = dict(
    lvis='mmdet.datasets.lvis.LVISV1Dataset',
    lvis_v05='mmdet.datasets.lvis.LVISV05Dataset',
    panoptic='mmdet.datasets.coco_panoptic.CocoPanopticDataset',
    coco=BASE,
)


class CocoSet(NamedTuple):
    """A data set of a config that mmdet reads as ``CocoDataset`` does.

    Args:
        key (str): Key of its config.
        path (str): Annotation file.
        folder (str): Folder of its images.
        classes (tuple[str, ...] or str, optional): Class names, given or
            those of its type. None: it takes the file's.
        given (bool): True if its config gives ``metainfo.classes``.
        labelled (bool): True if its pipeline loads annotations.
        with_mask (bool): True if its pipeline loads masks.
        poly2mask (bool): True if it draws polygons, too.
        trains (bool): True if it is part of the training data.
        alone (bool): True if it is not one of several that are concatenated.
        seg_folder (str): Folder of its label maps; ``''`` if it has none.
        filter_cfg (dict): ``filter_cfg`` of its config.
        plain (bool): True if it sorts annotations as ``CocoDataset`` does.
        layout (str): Layout of its file, a key of `LAYOUTS`.
        skips (bool): True if missing images are skipped. Default: False.
    """

    key: str
    path: str
    folder: str
    classes: Sequence[str] | None
    given: bool
    labelled: bool
    with_mask: bool
    poly2mask: bool
    trains: bool
    alone: bool
    seg_folder: str
    filter_cfg: dict
    plain: bool
    layout: str
    skips: bool = False


def find_coco_set(key: str, node: dict, scope: str | None) -> CocoSet | None:
    """Read the config of a data set in COCO's format.

    Args:
        key (str): Key of ``node`` in the whole config.
        node (dict): Config of a data set with an ``ann_file``.
        scope (str, optional): Library that defines its type.

    Returns:
        CocoSet or None: None for a set that reads its file in another way.
    """
    names = ('load_data_list', 'COCOAPI')
    layout = next(
        (name for name, base in BASES.items() if inherits(node, scope, base, names)), None
    )
    if layout is None or not node.get('ann_file'):
        return None
    facts = find_facts(key, node, scope, BASES[layout], names)
    root, prefix = facts.root, node.get('data_prefix') or {}
    steps = [step for _, step in walk(node.get('pipeline') or [])]
    loads = [step for step in steps if LOADER.fullmatch(type_name(step))]
    # another loader may do without masks
    own = [step for step in loads if type_name(step) == 'LoadAnnotations']
    return CocoSet(
        key=key,
        path=osp.join(root, node['ann_file']),
        folder=osp.join(root, prefix.get('img') or ''),
        classes=facts.classes,
        given='classes' in (node.get('metainfo') or {}),
        labelled=bool(loads),
        with_mask=any(step.get('with_mask') for step in own),
        poly2mask=all(step.get('poly2mask', True) for step in own),
        seg_folder=osp.join(root, prefix['seg']) if prefix.get('seg') else '',
        layout=layout,
        trains=facts.trains,
        alone=facts.alone,
        filter_cfg=dict(node.get('filter_cfg') or {}),
        plain=inherits(node, scope, BASE, ('parse_data_info', 'filter_data')) is not None,
    )
