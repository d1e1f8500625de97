"""Files and folders that the data of a config consist of."""

import os.path as osp
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import NamedTuple

from mmengine.config import Config

from ..config_nodes import type_name, walk
from ..errors import UserError
from ..libraries import find_library
from .data_sets import find_data_sets, is_remote
from .segmentation.folders import find_deeper
from .wording import and_more


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


def check_paths(cfg: Config, splits: Sequence[str]) -> None:
    """Check that annotation files and image folders exist.

    Args:
        cfg (Config): A whole config.
        splits (Sequence[str]): Any of ``'train'``, ``'val'`` and ``'test'``.

    Raises:
        UserError: If one is missing.
    """
    missing = [
        required
        for split in splits
        for required in required_paths(cfg, split)
        if not osp.exists(required.path)
    ]
    if missing:
        deeper = find_deeper(missing[0].path)
        deeper = f', but there is {deeper}' if deeper else ''
        options = ' '.join(dict.fromkeys(required.option for required in missing))
        source = _find_source(cfg, splits, missing[0])
        raise UserError(
            f'data set not found: {osp.abspath(missing[0].path)} '
            f'({missing[0].key}){and_more(len(missing))}{deeper}; put or link it there{source}, '
            f'or give its place: --cfg-options {options}'
        )


def _find_source(cfg: Config, splits: Sequence[str], missing: RequiredPath) -> str:
    """Say where a missing file is from; '' if that is unknown."""
    source = cfg.get('data_source') or ''
    if isinstance(source, dict):
        # of sets of that type, and not of others that a config based on it names
        types = [
            type_name(node)
            for split in splits
            for key, node in find_data_sets(cfg, split)
            if missing.key.startswith(f'{key}.')
        ]
        source = source['name'] if source['type'] in types else ''
    return f' ({source})' if source else ''


def required_paths(cfg: Config, split: str) -> Iterator[RequiredPath]:
    """Yield the annotation files and data folders of a split.

    Those of wrapped and concatenated data sets are among them. Those on
    remote storage are not, nor those that their data set downloads, nor label
    maps that no step of the pipeline loads.

    Args:
        cfg (Config): A whole config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
    """
    auto_downloaded = find_library(cfg).auto_downloaded
    for key, node in find_data_sets(cfg, split):
        if is_remote(node) or type_name(node) in auto_downloaded:
            continue
        root = node.get('data_root') or ''
        names = {'ann_file': node.get('ann_file'), **_folders(cfg, key, node)}
        if 'pipeline' in node and not _loads_labels(node):
            names.pop('data_prefix.seg_map_path', None)
        if 'pipeline' in node and not _loads_panoptic_maps(node):
            names.pop('data_prefix.seg', None)
        if names['ann_file'] and not isinstance(names['ann_file'], (str, PathLike)):
            raise UserError(
                f'{key}.ann_file must be one path, got {names["ann_file"]!r}: for several, give '
                "type='ConcatDataset' and a set for each in datasets"
            )
        for name, path in names.items():
            if path:
                movable = root or name == 'split'
                option = 'data_root=DIR' if movable else f'{name}=PATH'
                yield RequiredPath(osp.join(root, path), f'{key}.{name}', f'{key}.{option}')
    evaluator = f'{split}_evaluator'
    for key, node in walk(cfg.get(evaluator) or {}, evaluator):
        if node.get('ann_file') and not is_remote(node):
            yield RequiredPath(node['ann_file'], f'{key}.ann_file', f'{key}.ann_file=FILE')


def data_folders(cfg: Config, split: str, kind: str | None = None) -> Iterator[str]:
    """Yield the data folders of a split, remote ones too.

    Args:
        cfg (Config): A whole config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        kind (str, optional): Key of ``data_prefix``, such as
            ``'img_path'``. None: all folders. Default: None.
    """
    for key, node in find_data_sets(cfg, split):
        for name, folder in _folders(cfg, key, node).items():
            if folder is not None and kind in (None, name.rpartition('.')[2]):
                yield osp.join(node.get('data_root') or '', folder)


def _folders(cfg: Config, key: str, node: dict) -> dict[str, str | None]:
    """Return the folders of a data set, by key within its config."""
    library = find_library(cfg)
    prefixes = node.get('data_prefix') or {}
    if isinstance(prefixes, str) and library.plain_data_prefix:
        return {'data_prefix': prefixes}
    if not isinstance(prefixes, dict):
        raise UserError(f'{key}.data_prefix must be a dict of folders, got {prefixes!r}')
    if not prefixes and type_name(node) in library.split_is_folder:
        return {'split': node.get('split')}
    return {f'data_prefix.{name}': prefix for name, prefix in prefixes.items()}


def find_seg_sets(cfg: Config, split: str) -> Iterator[tuple[str, dict, bool]]:
    """Yield each segmentation set, and True if its labels are read.

    Args:
        cfg (Config): A whole config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
    """
    for key, node in find_data_sets(cfg, split):
        prefix = node.get('data_prefix') or {}
        if {'img_path', 'seg_map_path'} <= set(prefix) and not is_remote(node):
            # a test split may have none
            yield key, node, _loads_labels(node) and bool(prefix['seg_map_path'])


def _loads_labels(node: dict) -> bool:
    steps = walk(node.get('pipeline') or [])
    return any('Annotation' in str(step.get('type')) for _, step in steps)


def _loads_panoptic_maps(node: dict) -> bool:
    """Return True if a step reads the maps that COCO sets have beside their boxes."""
    return any(
        step.get('with_seg') or 'Panoptic' in str(step.get('type'))
        for _, step in walk(node.get('pipeline') or [])
    )
