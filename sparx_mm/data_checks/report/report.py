"""A check of every image and annotation of the data sets of a config."""

import os.path as osp
from collections.abc import Callable, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, TRANSFORMS

from ...config_nodes import type_name, walk
from ...engine.transforms.check_seg_map import IGNORED
from ...errors import UserError, error_text
from ...libraries import find_library
from ..classes import describe_absent
from ..coco.sets import find_coco_set
from ..data_sets import find_data_sets, is_remote
from ..loaders import LOADER, use_checked_loaders
from ..orientation import describe_turned
from ..paths import check_paths, find_seg_sets
from ..segmentation.folders import check_seg_folders
from ..splits import check_config_heads, check_other_set
from .coco import read_coco_set
from .set_report import Fault, SetReport

SPLITS = ('train', 'val', 'test')


def report_data(cfg: Config, progress: Callable[[int, int], None] | None = None) -> list[SetReport]:
    """Check every image and annotation of the data sets of a config.

    Args:
        cfg (Config): A whole config, whose packages are installed.
        progress (callable, optional): Function of the number of images done
            and of all images of a set, called after each. Default: None.

    Returns:
        list[SetReport]: A report on each set; that on a set that stands in the config
        before says so and holds nothing else.

    Raises:
        UserError: If a file or folder that the config names is missing.
    """
    splits = [split for split in SPLITS if cfg.get(f'{split}_dataloader')]
    use_checked_loaders(cfg)
    check_paths(cfg, splits)
    reports: list[SetReport] = []
    # key of each set by what its report depends on
    keys: list[tuple[tuple, str]] = []
    for split in splits:
        labelled = {key: read for key, _, read in find_seg_sets(cfg, split)}
        ours = []
        for key, node in find_data_sets(cfg, split):
            report = SetReport(key, node, coco=find_coco_set(key, node, cfg.get('default_scope')))
            facts = _facts(report, labelled.get(key))
            report.same_as = next((other for known, other in keys if known == facts), None)
            if report.same_as is None:
                _report(cfg, report, labelled.get(key), progress)
                keys.append((facts, key))
            ours.append(report)
        reports += ours
        _check_heads(cfg, ours, reports)
    _note_trained(reports)
    return reports


def _note_trained(reports: Sequence[SetReport]) -> None:
    """Note how many images of the other sets are trained on."""

    def paths(report):
        return {
            osp.abspath(sample['img_path']) for sample in report.samples if 'img_path' in sample
        }

    own = [report for report in reports if report.key.startswith('train')]
    trained = set().union(*map(paths, own))
    for report in reports:
        shared = paths(report) & trained
        if report not in own and shared:
            report.notes.append(f'{len(shared)} of its {len(paths(report))} images are trained on')


def _facts(report: SetReport, labelled: bool | None) -> tuple:
    """Return what the report on a set depends on."""
    node = {key: value for key, value in report.node.items() if key != 'pipeline'}
    return node, labelled, report.coco and report.coco._replace(key='')


def _check_heads(cfg: Config, ours: Sequence[SetReport], reports: Sequence[SetReport]) -> None:
    """Check the heads against the sets of a split, if those are in COCO's format."""
    coco = [report.coco for report in ours if report.coco and report.coco.layout == 'coco']
    if not ours or len(coco) < len(ours):
        return
    try:
        check_config_heads(cfg, [dataset.classes for dataset in coco])
    except UserError as error:
        # the same is wrong with another split
        if all(fault.text != str(error) for report in reports for fault in report.faults):
            ours[0].faults.append(Fault(str(error)))


def _report(cfg, report, labelled, progress) -> None:
    scope, node = cfg.get('default_scope'), report.node
    if is_remote(node) or type_name(node) in find_library(cfg).auto_downloaded:
        report.notes.append('not checked, because its files are not here')
        return
    with report.collect():
        if report.coco:
            read_coco_set(report)
        else:
            _read_other(cfg, report, labelled)
    steps = _label_steps(report, scope) if labelled else []
    loader = _loader(node)
    labels = 'label maps' if labelled else 'boxes'
    if labelled or any(sample.get('instances') for sample in report.samples):
        paths = [sample['img_path'] for sample in report.samples if 'img_path' in sample]
        report.notes += describe_turned(report.key, paths, node, labels, every=True)
    for i, sample in enumerate(report.samples):
        _check_sample(report, i, dict(sample), loader, steps)
        if progress is not None:
            progress(i + 1, len(report.samples))
    if report.coco is None and report.key.startswith('train'):
        report.notes += describe_absent(report.key, report.classes, report.objects)


def _read_other(cfg: Config, report: SetReport, labelled: bool | None) -> None:
    """Build a set of another format and count its objects."""
    key, node, scope = report.key, report.node, cfg.get('default_scope')
    with report.collect():
        if labelled is None:
            check_other_set(cfg, key, node)
        else:
            check_seg_folders(node, key, labelled, scope)
    config = {'_scope_': scope, **node}
    config.update(pipeline=[], serialize_data=False, filter_cfg=None)
    built = DATASETS.build(config)
    built.full_init()
    report.samples = built.data_list
    report.classes = names = built.metainfo.get('classes') or ()
    for sample in built.data_list:
        labels = [one.get('bbox_label') for one in sample.get('instances') or ()]
        labels.append(sample.get('gt_label'))
        # several labels of an image and DOTA's empty list are left out
        report.objects.update(_name(n, names) for n in labels if isinstance(n, int))


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if 0 <= label < len(names) else str(label)


def _loader(node: dict):
    # imported lazily: it needs mmcv
    from ...engine.transforms.load_image import LoadCheckedImage

    for _, step in walk(node.get('pipeline') or []):
        if type_name(step) == LOADER:
            return LoadCheckedImage(**{k: v for k, v in step.items() if k != 'type'})
    return LoadCheckedImage()


def _label_steps(report: SetReport, scope: str | None) -> list:
    """Build the steps of a pipeline that load and check label maps."""
    wanted = [
        step
        for _, step in walk(report.node.get('pipeline') or [])
        if type_name(step) in ('LoadAnnotations', 'CheckSegMap')
    ]
    return [TRANSFORMS.build({'_scope_': scope, **step}) for step in wanted]


def _check_sample(report, i, sample, loader, steps) -> None:
    """Load an image and its label map, and note their sizes and faults."""
    if 'img_path' not in sample:
        return
    fault = loader.load(sample)
    if fault is not None:
        report.faults.append(Fault(fault, 'images', i))
        return
    height, width = sample['ori_shape'][:2]
    report.heights.append(height)
    report.widths.append(width)
    try:
        for step in steps:
            sample = step(sample)
    except Exception as error:
        # whatever is raised, mmseg's complaints about its options too
        report.faults.append(Fault(error_text(error), 'images', i))
    else:
        if 'gt_seg_map' in sample:
            labels = np.unique(sample['gt_seg_map']).tolist()
            report.objects.update(_name(n, report.classes) for n in labels if n != IGNORED)
