"""Checks that images and label maps of a segmentation set belong together."""

import os
import os.path as osp
from collections.abc import Iterator
from glob import escape, glob

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, TRANSFORMS

from ...config_nodes import type_name, walk
from ...errors import UserError
from ..data_sets import find_class, is_alone
from ..orientation import describe_turned
from .labels import check_seg_labels

# packages whose steps load label maps as they are
STOCK = ('mmcv.', 'mmseg.', 'sparx_mm.')
# by key of data_prefix: the content of the folder, and the argument with the
# ending of its file names
FOLDERS = dict(img_path=('image', 'img_suffix'), seg_map_path=('label map', 'seg_map_suffix'))


def check_seg_folders(
    dataset: dict,
    key: str,
    labelled: bool = True,
    scope: str | None = None,
    skips: bool = False,
) -> list[str]:
    """Check that a set lists images, a label map for each, and has the files.

    A training set has to hold more than one class.

    The set is built to list them, because endings and ``ann_file`` are its
    own. A set that cannot be built is left to the run, which says why.

    Args:
        dataset (dict): Config of a set on local storage whose
            ``data_prefix`` has ``img_path`` and ``seg_map_path``.
        key (str): Key of ``dataset`` in the whole config.
        labelled (bool): Check the label maps too. Default: True.
        scope (str, optional): Library that defines its type. Default: None.
        skips (bool): True if missing files are skipped. Default: False.

    Returns:
        list[str]: Lines for the log: missing files that are skipped, and what looks
        odd.

    Raises:
        UserError: If nothing is listed, if a listed file is missing, if the label
            maps hold one class of several, or if the set and its loader do not
            agree on ``reduce_zero_label``.
    """
    built = _build(dataset, scope)
    if built is None:
        return []
    if not built.data_list and osp.isfile(built.ann_file):
        raise UserError(f'no image is listed in {osp.abspath(built.ann_file)} ({key}.ann_file)')
    if labelled:
        _check_zero_label(built, dataset, key)
    lines = []
    for name in FOLDERS if labelled else ('img_path',):
        files = [item[name] for item in built.data_list if name in item]
        if built.data_list and not files:
            continue
        folder = built.data_prefix[name]
        # without a folder the list holds whole paths
        present = set(_list_files(folder)) if folder else set()
        # isfile too, because a line of ann_file may spell a path in another way
        missing = [f for f in files if f not in present and not osp.isfile(f)]
        if files and not missing:
            continue
        problem = _describe(built, name, files, missing, present)
        if skips and len(missing) < len(files):
            lines.append(f'{key}.data_prefix.{name}: {problem}; they are skipped')
        else:
            root = 'data_root' if built.data_root else f'data_prefix.{name}'
            raise UserError(
                f'{key}.data_prefix.{name}: {problem}; put the files there, '
                f'or give their place: --cfg-options {key}.{root}=DIR'
            )
    # one of several sets may show a single class
    if labelled and key.startswith('train') and is_alone(key) and _is_stock(dataset, scope):
        check_seg_labels(built, key)
    if labelled:
        images = [item['img_path'] for item in built.data_list if 'img_path' in item]
        lines += describe_turned(f'{key}.data_prefix.img_path', images, dataset, 'label maps')
    return lines


def _check_zero_label(built: BaseDataset, dataset: dict, key: str) -> None:
    """Check that the loader of label maps leaves out 0 where the set does, as mmseg demands."""
    reduced = getattr(built, 'reduce_zero_label', None)
    steps = [step for _, step in walk(dataset.get('pipeline') or [])]
    loads = [step for step in steps if type_name(step) == 'LoadAnnotations']
    given = {step.get('reduce_zero_label') for step in loads} - {None, reduced}
    if reduced is not None and given:
        raise UserError(
            f'{key}: its LoadAnnotations has reduce_zero_label={given.pop()}, and the data set has '
            f'{reduced}: take it out of LoadAnnotations, and give {key}.reduce_zero_label=True '
            'if 0 is no class, or False if it is'
        )


def _is_stock(dataset: dict, scope: str | None) -> bool:
    """Return False if a step of the user's own may change what is loaded."""
    steps = [step for _, step in walk(dataset.get('pipeline') or []) if 'type' in step]
    classes = [find_class(step, scope, TRANSFORMS) for step in steps]
    return all(getattr(cls, '__module__', '').startswith(STOCK) for cls in classes)


def _build(dataset: dict, scope: str | None) -> BaseDataset | None:
    # not serialized, because an empty list cannot be
    config = {'_scope_': scope, **dataset}
    config.update(pipeline=[], serialize_data=False)
    try:
        built = DATASETS.build(config)
        built.full_init()
    except Exception:
        # whatever is raised, because the run builds the set too and reports it
        return None
    return built if isinstance(built, BaseDataset) else None


def _describe(dataset, name, files, missing, present) -> str:
    """Describe which of the files of a folder are missing."""
    what, suffix = FOLDERS[name]
    folder = dataset.data_prefix[name]
    problem = f'{osp.abspath(folder)} has no {what}'
    if files:
        problem = (
            f'{len(missing)} of {len(files)} {what}s are missing, the '
            f'first is {osp.abspath(missing[0])}'
        )
    if len(missing) < len(files) or not folder:
        return problem
    example = 'it is empty'
    if present:
        example = f'there is for example {osp.relpath(min(present), folder)}'
    return f'{problem}: their names end in {getattr(dataset, suffix, "")} ({suffix}), and {example}'


def _list_files(folder: str) -> Iterator[str]:
    """Yield the files below a folder, without links to a missing target."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _list_files(entry.path)
            elif entry.is_file() and not entry.name.startswith('.'):
                yield entry.path


def find_deeper(path: str) -> str | None:
    """Find a file or folder that was unpacked one folder too deep.

    Args:
        path (str): A file or folder that does not exist.

    Returns:
        str or None: ``root/root/images`` for ``root/images``, for example;
        None if there is none.
    """
    path = osp.abspath(path)
    parent = osp.dirname(path)
    while not osp.isdir(parent):
        parent = osp.dirname(parent)
    rest = osp.relpath(path, parent)
    found = glob(osp.join(escape(parent), '*', escape(rest)))
    return min(found, default=None)
