"""Checks of the data of a config, split by split and by format, before anything is built."""

import os.path as osp
from collections.abc import Callable, Sequence

from mmengine.config import Config
from mmengine.dist import get_rank

from ..config_nodes import type_name, walk
from .classes import join_classes
from .classification_sets import check_classification_set, find_classification_set
from .coco.categories import check_categories
from .coco.checks import check_coco_set
from .coco.file import read_coco
from .coco.sets import CocoSet, find_coco_set
from .data_sets import find_data_sets, is_remote
from .dota_sets import check_dota_set, find_dota_set
from .heads import check_heads
from .paths import check_paths, find_seg_sets
from .segmentation.folders import check_seg_folders
from .voc_sets import check_voc_set, find_voc_set

Progress = Callable[[int, int], None]


def check_data(cfg: Config, splits: Sequence[str], progress: Progress | None = None) -> list[str]:
    """Check that annotation files and image folders exist and fit the model.

    The files in the folders of segmentation sets are checked too, and the
    annotations and classes of detection and classification sets.

    Args:
        cfg (Config): A whole config.
        splits (Sequence[str]): Any of ``'train'``, ``'val'`` and ``'test'``.
        progress (callable, optional): Function of the number of annotations done and
            of all annotations, called while a large file is checked. Default: None.

    Returns:
        list[str]: Lines for the log: what is trained, and what looks odd.

    Raises:
        UserError: If one is missing, or if it cannot be trained.
    """
    check_paths(cfg, splits)
    lines = []
    for split in splits:
        for key, node, labelled in find_seg_sets(cfg, split):
            skips = _skips(cfg, split)
            lines += check_seg_folders(node, key, labelled, cfg.get('default_scope'), skips)
    # one process of several is enough to show it
    progress = None if get_rank() else progress
    for split in splits:
        lines += check_annotations(cfg, split, progress)
    return lines


def _skips(cfg: Config, split: str) -> bool:
    """Return True if files that are missing or broken are skipped."""
    return bool(cfg.get('skip_broken')) and split == 'train'


def check_annotations(cfg: Config, split: str, progress: Progress | None = None) -> list[str]:
    """Check the annotations of a split, and the heads that learn COCO's classes.

    Args:
        cfg (Config): A whole config, whose files and folders exist.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        progress (callable, optional): See `check_data`. Default: None.

    Returns:
        list[str]: Lines for the log: what is trained, and what looks odd.

    Raises:
        UserError: If an annotation or class would not be trained as it is meant.
    """
    scope, skips = cfg.get('default_scope'), _skips(cfg, split)
    lines, coco, others = [], [], 0
    for key, node in find_data_sets(cfg, split):
        if is_remote(node):
            others += 1
        elif dataset := find_coco_set(key, node, scope):
            if dataset.layout == 'coco':
                coco.append(dataset)
            else:
                others += 1
            lines += check_coco_set(dataset._replace(skips=skips), node, progress)
        else:
            others += 1
            lines += check_other_set(cfg, key, node, skips)
    if coco:
        _check_metrics(cfg, split, coco)
    # of other sets the classes are known once they are built
    if not others:
        check_config_heads(cfg, [dataset.classes for dataset in coco])
    return lines


def _check_metrics(cfg: Config, split: str, sets: Sequence[CocoSet]) -> None:
    """Check the categories of files that only the metrics of a split read."""
    evaluator = f'{split}_evaluator'
    known = {osp.abspath(dataset.path) for dataset in sets}
    for _, node in walk(cfg.get(evaluator) or {}, evaluator):
        path = node.get('ann_file')
        if type_name(node) != 'CocoMetric' or not path or is_remote(node):
            continue
        if osp.abspath(path) not in known:
            categories = read_coco(path, labelled=False)['categories']
            check_categories(sets[0]._replace(path=path), categories)


def check_other_set(cfg: Config, key: str, node: dict, skips: bool = False) -> list[str]:
    """Check the annotations of a set in another format than COCO's.

    Args:
        cfg (Config): A whole config.
        key (str): Key of the set's config.
        node (dict): Config of the set.
        skips (bool): True if missing images are skipped. Default: False.

    Returns:
        list[str]: Lines for the log; none for an unknown format.

    Raises:
        UserError: If an annotation or class would not be trained as it is meant.
    """
    scope = cfg.get('default_scope')
    if dataset := find_voc_set(key, node, scope):
        return check_voc_set(dataset, node)
    if dataset := find_dota_set(key, node, scope):
        return check_dota_set(dataset)
    if dataset := find_classification_set(key, node, scope):
        head = (cfg.get('model') or {}).get('head')
        number = head.get('num_classes') if isinstance(head, dict) else None
        return check_classification_set(dataset, number, skips)
    return []


def check_config_heads(cfg: Config, classes: Sequence[Sequence[str] | None]) -> None:
    """Check the heads of a config against the classes of its sets.

    Args:
        cfg (Config): A whole config.
        classes (Sequence[Sequence[str] or None]): Class names of each set;
            None for a set that takes its file's.

    Raises:
        UserError: If labels differ between the sets, or if a head has another
            number of classes.
    """
    names = join_classes(classes)
    if names is not None:
        model = walk(cfg.get('model') or {}, 'model')
        check_heads(((key[len('model.') :], node) for key, node in model), len(names))
