"""Whether the folders of a segmentation set hold what belongs together."""

import os
import os.path as osp
from collections.abc import Iterator
from glob import escape, glob

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from ..errors import UserError

# what a folder of data_prefix holds, and the argument with its ending
FOLDERS = dict(img_path=('image', 'img_suffix'), seg_map_path=('label map', 'seg_map_suffix'))


def check_seg_folders(
    dataset: dict, key: str, labelled: bool = True, scope: str | None = None
) -> None:
    """Check that a set lists images and a label map for each, and has them.

    What it lists is the set's own business: endings, ``ann_file`` and all. A
    set that cannot be built is left to the run, which says why.

    Args:
        dataset (dict): Config of a set on local storage whose
            ``data_prefix`` has ``img_path`` and ``seg_map_path``.
        key (str): Its own key in the whole config.
        labelled (bool): Whether its label maps are read. Default: True.
        scope (str, optional): The library that defines its type.
            Default: None.

    Raises:
        UserError: If nothing is listed, or what is listed is not there.
    """
    built = _build(dataset, scope)
    if built is None:
        return
    if not built.data_list and osp.isfile(built.ann_file):
        raise UserError(f'no image is listed in {osp.abspath(built.ann_file)} ({key}.ann_file)')
    for name in FOLDERS if labelled else ('img_path',):
        files = [item[name] for item in built.data_list if name in item]
        if built.data_list and not files:
            continue
        problem = _find_problem(built, name, files)
        if problem:
            root = 'data_root' if built.data_root else f'data_prefix.{name}'
            raise UserError(
                f'{key}.data_prefix.{name}: {problem}; put the files there, '
                f'or give their place: --cfg-options {key}.{root}=DIR'
            )


def _build(dataset, scope) -> BaseDataset | None:
    # not serialized, because an empty list cannot be
    config = {'_scope_': scope, **dataset}
    config.update(pipeline=[], serialize_data=False)
    try:
        built = DATASETS.build(config)
        built.full_init()
    except Exception:
        # whatever it is: the run builds it too, a moment later
        return None
    return built if isinstance(built, BaseDataset) else None


def _find_problem(dataset, name, files) -> str:
    """Say what is wrong with the files of a folder; '' if nothing is."""
    what, suffix = FOLDERS[name]
    folder = dataset.data_prefix[name]
    present = set(_list_files(folder))
    # a line of ann_file may spell a path that is there in another way
    missing = [f for f in files if f not in present and not osp.isfile(f)]
    if files and not missing:
        return ''
    problem = f'{osp.abspath(folder)} has no {what}'
    if files:
        problem = (
            f'{len(missing)} of {len(files)} {what}s are missing, the '
            f'first is {osp.abspath(missing[0])}'
        )
    if len(missing) < len(files):
        return problem
    example = 'it is empty'
    if present:
        example = f'there is for example {osp.relpath(min(present), folder)}'
    return f'{problem}: their names end in {getattr(dataset, suffix, "")} ({suffix}), and {example}'


def _list_files(folder: str) -> Iterator[str]:
    """List files below a folder; a link whose target is gone is none."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _list_files(entry.path)
            elif entry.is_file() and not entry.name.startswith('.'):
                yield entry.path


def find_deeper(path: str) -> str | None:
    """Find what was unpacked into a folder too many.

    Args:
        path (str): A file or folder that does not exist.

    Returns:
        str or None: ``root/root/images`` where ``root/images`` is looked
        for; None if there is no such.
    """
    path = osp.abspath(path)
    parent = osp.dirname(path)
    while not osp.isdir(parent):
        parent = osp.dirname(parent)
    rest = osp.relpath(path, parent)
    found = glob(osp.join(escape(parent), '*', escape(rest)))
    return min(found, default=None)
