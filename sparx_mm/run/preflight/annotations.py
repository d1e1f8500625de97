"""Checks of the annotations of a split, by their format."""

from collections.abc import Sequence

from mmengine.config import Config
from mmengine.dist import get_rank

from ..classes import check_heads, join_classes
from ..cli import show_progress
from ..config_nodes import walk
from .class_sets import check_class_set, find_class_set
from .coco_checks import check_coco_set
from .coco_sets import find_coco_set
from .data_sets import find_data_sets, is_remote
from .dota_sets import check_dota_set, find_dota_set
from .voc_sets import check_voc_set, find_voc_set


def check_annotations(cfg: Config, split: str) -> list[str]:
    """Check the annotations of a split, and the heads that learn COCO's classes.

    Args:
        cfg (Config): A whole config, whose files and folders exist.
        split (str): ``'train'``, ``'val'`` or ``'test'``.

    Returns:
        list[str]: Lines for the log: what is trained, and what looks odd.

    Raises:
        UserError: If an annotation or class would not be trained as it is meant.
    """
    scope, skips = cfg.get('default_scope'), bool(cfg.get('skip_broken')) and split == 'train'
    # one process of several is enough to show it
    progress = None if get_rank() else show_progress
    lines, coco, others = [], [], 0
    for key, node in find_data_sets(cfg, split):
        if is_remote(node):
            others += 1
        elif dataset := find_coco_set(key, node, scope):
            coco.append(dataset)
            lines += check_coco_set(dataset._replace(skips=skips), progress)
        else:
            others += 1
            lines += check_other_set(cfg, key, node, skips)
    # of other sets the classes are known once they are built
    if not others:
        check_config_heads(cfg, [dataset.classes for dataset in coco])
    return lines


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
        return check_voc_set(dataset)
    if dataset := find_dota_set(key, node, scope):
        return check_dota_set(dataset)
    if dataset := find_class_set(key, node, scope):
        head = (cfg.get('model') or {}).get('head')
        number = head.get('num_classes') if isinstance(head, dict) else None
        return check_class_set(dataset, number, skips)
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
