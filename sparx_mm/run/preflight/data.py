"""Checks of the files and folders that the data of a config consist of."""

import os.path as osp
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmengine.config import Config
from mmengine.dist import get_rank

from ...errors import UserError
from ..classes import check_heads, join_classes
from ..cli import show_progress
from ..config_nodes import walk
from ..libraries import find_library
from .class_sets import check_class_set, find_class_set
from .coco_sets import check_coco_set, find_coco_set
from .seg_folders import check_seg_folders, find_deeper
from .voc_sets import check_voc_set, find_voc_set


class RequiredPath(NamedTuple):
    """A file or folder that a config asks for.

    Args:
        path (str): Expected place.
        key (str): Config key that names it.
        option (str): Option for ``--cfg-options`` that gives another place.
    """

    path: str
    key: str
    option: str


def check_data(cfg: Config, splits: Sequence[str]) -> list[str]:
    """Check that annotation files and image folders exist and fit the model.

    The files in the folders of segmentation sets are checked too, and the
    annotations and classes of sets in COCO's format.

    Args:
        cfg (Config): A whole config.
        splits (Sequence[str]): Any of ``'train'``, ``'val'`` and ``'test'``.

    Returns:
        list[str]: Lines for the log: what is trained, and what looks odd.

    Raises:
        UserError: If one is missing, or if it cannot be trained.
    """
    missing = [
        required
        for split in splits
        for required in required_paths(cfg, split)
        if not osp.exists(required.path)
    ]
    if missing:
        more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
        deeper = find_deeper(missing[0].path)
        deeper = f', but there is {deeper}' if deeper else ''
        options = ' '.join(dict.fromkeys(required.option for required in missing))
        source = cfg.get('data_source')
        source = f' ({source})' if source else ''
        raise UserError(
            f'data set not found: {osp.abspath(missing[0].path)} '
            f'({missing[0].key}){more}{deeper}; put or link it there{source}, '
            f'or give its place: --cfg-options {options}'
        )
    for split in splits:
        for key, node, labelled in _seg_sets(cfg, split):
            check_seg_folders(node, key, labelled, cfg.get('default_scope'))
    return [line for split in splits for line in _check_annotations(cfg, split)]


def _check_annotations(cfg: Config, split: str) -> list[str]:
    """Check the annotations of a split, and the heads that learn COCO's classes."""
    scope, skips = cfg.get('default_scope'), bool(cfg.get('skip_broken')) and split == 'train'
    # one process of several is enough to show it
    progress = None if get_rank() else show_progress
    lines, coco, others = [], [], 0
    for key, node in _data_sets(cfg, split):
        if _is_remote(node):
            others += 1
        elif dataset := find_coco_set(key, node, scope):
            coco.append(dataset)
            lines += check_coco_set(dataset._replace(skips=skips), progress)
        elif dataset := find_voc_set(key, node, scope):
            others += 1
            lines += check_voc_set(dataset)
        elif dataset := find_class_set(key, node, scope):
            others += 1
            lines += check_class_set(dataset, _head_classes(cfg), skips)
        else:
            others += 1
    # of other sets the classes are known once they are built
    classes = None if others else join_classes([dataset.classes for dataset in coco])
    if classes is not None:
        model = walk(cfg.get('model') or {}, 'model')
        check_heads(((key[len('model.') :], node) for key, node in model), len(classes))
    return lines


def _head_classes(cfg: Config) -> int | None:
    head = (cfg.get('model') or {}).get('head')
    return head.get('num_classes') if isinstance(head, dict) else None


def required_paths(cfg: Config, split: str) -> Iterator[RequiredPath]:
    """Yield the annotation files and data folders of a split.

    Those of wrapped and concatenated data sets are among them. Those on
    remote storage are not, nor those that their data set downloads.

    Args:
        cfg (Config): A whole config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
    """
    auto_downloaded = find_library(cfg).auto_downloaded
    for key, node in _data_sets(cfg, split):
        if _is_remote(node) or node.get('type') in auto_downloaded:
            continue
        root = node.get('data_root') or ''
        names = {'ann_file': node.get('ann_file'), **_folders(cfg, key, node)}
        for name, path in names.items():
            if path:
                movable = root or name == 'split'
                option = 'data_root=DIR' if movable else f'{name}=PATH'
                yield RequiredPath(osp.join(root, path), f'{key}.{name}', f'{key}.{option}')
    evaluator = f'{split}_evaluator'
    for key, node in walk(cfg.get(evaluator) or {}, evaluator):
        if node.get('ann_file') and not _is_remote(node):
            yield RequiredPath(node['ann_file'], f'{key}.ann_file', f'{key}.ann_file=FILE')


def data_folders(cfg: Config, split: str, kind: str | None = None) -> Iterator[str]:
    """Yield the data folders of a split, remote ones too.

    Args:
        cfg (Config): A whole config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        kind (str, optional): Key of ``data_prefix``, such as
            ``'img_path'``. None: all folders. Default: None.
    """
    for key, node in _data_sets(cfg, split):
        for name, folder in _folders(cfg, key, node).items():
            if folder is not None and kind in (None, name.rpartition('.')[2]):
                yield osp.join(node.get('data_root') or '', folder)


def _data_sets(cfg: Config, split: str) -> Iterator[tuple[str, dict]]:
    """Yield key and config of each data set that names files or folders."""
    loader = f'{split}_dataloader'
    for key, node in walk(cfg.get(loader) or {}, loader):
        if {'ann_file', 'data_prefix', 'data_root', 'split'} & set(node):
            yield key, node


def _folders(cfg: Config, key: str, node: dict) -> dict[str, str | None]:
    """Return the folders of a data set, by key within its config."""
    library = find_library(cfg)
    prefixes = node.get('data_prefix') or {}
    if isinstance(prefixes, str) and library.plain_data_prefix:
        return {'data_prefix': prefixes}
    if not isinstance(prefixes, dict):
        raise UserError(f'{key}.data_prefix must be a dict of folders, got {prefixes!r}')
    if not prefixes and node.get('type') in library.split_is_folder:
        return {'split': node.get('split')}
    return {f'data_prefix.{name}': prefix for name, prefix in prefixes.items()}


def _seg_sets(cfg: Config, split: str) -> Iterator[tuple[str, dict, bool]]:
    """Yield key and config of each set, and True if its labels are read."""
    for key, node in _data_sets(cfg, split):
        prefix = node.get('data_prefix') or {}
        if {'img_path', 'seg_map_path'} <= set(prefix) and not _is_remote(node):
            # a test split may have none
            steps = walk(node.get('pipeline') or [])
            labelled = any('Annotation' in str(step.get('type')) for _, step in steps)
            yield key, node, labelled and bool(prefix['seg_map_path'])


def _is_remote(node: dict) -> bool:
    backend = (node.get('backend_args') or {}).get('backend', 'local')
    paths = [node.get('data_root'), node.get('ann_file')]
    return backend != 'local' or any('://' in path for path in paths if path)
