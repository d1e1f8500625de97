"""Annotation files without what is broken, written beside the old ones."""

import json
import os.path as osp
from collections import defaultdict
from collections.abc import Sequence

from mmengine.config import Config

from ...checkpoint_io import write_text
from ...config_nodes import walk
from ..classification_sets import find_classification_set
from ..coco.file import is_number
from .set_report import SetReport


def write_clean(report: SetReport, scope: str | None = None) -> str | None:
    """Write the annotation file of a data set without its broken parts.

    A file in COCO's format loses broken images and annotations, and copies of an item
    with its id; annotations that differ and have one id get new ids but for the first. A
    list of images loses the lines of broken ones. The old file stays as it is.

    Args:
        report (SetReport): Report on the set.
        scope (str, optional): Library that defines its type. Default: None.

    Returns:
        str or None: The new file, ``NAME.clean.ENDING``; None if the set has
        no such file, or none of its faults is that of an image or annotation.

    Raises:
        UserError: If it cannot be written.
    """
    broken, renumbered = defaultdict(set), set()
    for fault in report.faults:
        if fault.renumber:
            renumbered.add(fault.index)
        elif fault.part is not None:
            broken[fault.part].add(fault.index)
    path = _list_of(report, scope)
    if path is None or not (broken or renumbered):
        return None
    clean = _clean_name(path)
    if report.coco is not None:
        _write_coco(path, clean, broken, renumbered)
        return clean
    with open(path, encoding='utf-8') as file:
        lines = file.readlines()
    if len(lines) != len(report.samples):
        return None
    kept = (line for i, line in enumerate(lines) if i not in broken['images'])
    write_text(clean, ''.join(kept))
    return clean


def clean_options(cfg: Config, keys: Sequence[str], clean: str) -> list[str]:
    """Name the options by which a config takes what `write_clean` wrote.

    Args:
        cfg (Config): A whole config.
        keys (Sequence[str]): Keys of the data sets that have the old file.
        clean (str): The new file.

    Returns:
        list[str]: ``KEY.ann_file=CLEAN`` for each set, and for each metric of their splits
        that reads the old file, in which an image that is left out would count as missed.
    """
    # a relative path would be joined to a data_root
    clean, keys = osp.abspath(clean), list(keys)
    for split in dict.fromkeys(key.partition('_')[0] for key in keys):
        evaluator = f'{split}_evaluator'
        for key, node in walk(cfg.get(evaluator) or {}, evaluator):
            if node.get('ann_file') and _clean_name(osp.abspath(node['ann_file'])) == clean:
                keys.append(key)
    return [f'{key}.ann_file={clean}' for key in keys]


def _clean_name(path: str) -> str:
    return '.clean'.join(osp.splitext(path))


def _list_of(report: SetReport, scope: str | None) -> str | None:
    if report.coco is not None:
        return report.coco.path
    dataset = find_classification_set(report.key, report.node, scope)
    name = report.node.get('ann_file') or ''
    path = dataset.path if dataset else osp.join(report.node.get('data_root') or '', name)
    return path if osp.isfile(path) else None


def _write_coco(path: str, clean: str, broken: dict[str, set[int]], renumbered: set[int]) -> None:
    with open(path, encoding='utf-8') as file:
        content = json.load(file)
    numbers = [one['id'] for one in content.get('annotations') or [] if is_number(one.get('id'))]
    for new, i in enumerate(sorted(renumbered), 1 + int(max(numbers, default=0))):
        content['annotations'][i]['id'] = new
    for part in ('images', 'categories', 'annotations'):
        items = content.get(part) or []
        content[part] = [one for i, one in enumerate(items) if i not in broken[part]]
    kept = {image['id'] for image in content['images']}
    content['annotations'] = [one for one in content['annotations'] if one['image_id'] in kept]
    write_text(clean, json.dumps(content))
