"""Lists of the patches of aerial sets, by the scenes that they were cut from."""

import os
import os.path as osp
import re
from typing import NamedTuple

from ...checkpoint_io import write_text
from ...errors import UserError


class AreaLists(NamedTuple):
    """How the patches of a set are divided into lists.

    Args:
        root (str): Folder of the set as mmseg's converter writes it.
        pattern (str): Regular expression of the area in a patch's name.
        lists (dict[str, tuple[str, ...]]): Areas of each list.
        left_out (tuple[str, ...]): Areas of the folder that no list has. Default: ``()``.
    """

    root: str
    pattern: str
    lists: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()


_POTSDAM = [f'{row}_{column}' for row in range(2, 8) for column in range(10, 13)]
_POTSDAM += [f'{row}_{column}' for row in (6, 7) for column in range(7, 10)]

# the divisions of CVMH-UNet's paper (arXiv 2410.05624)
AREA_LISTS = dict(
    potsdam=AreaLists(
        'data/potsdam',
        r'(\d+_\d+)(?:_\d+){4}',
        dict(train=tuple(area for area in _POTSDAM if area != '7_10')),
        # its labels are known to be faulty
        ('7_10',),
    ),
    vaihingen=AreaLists(
        'data/vaihingen',
        r'area(\d+)(?:_\d+){4}',
        dict(
            train=('1', '3', '7', '11', '13', '17', '23', '26', '28', '32', '34', '37'),
            test=('5', '15', '21', '30'),
        ),
    ),
)


def write_area_lists(name: str, root: str | None = None) -> dict[str, int]:
    """List the patches in the folder ``img_dir/train`` of a set.

    A file ``splits/NAME.txt`` below its root has a line for each patch, its name without the
    ending, as ``ann_file`` of mmseg's data sets.

    Args:
        name (str): Key of `AREA_LISTS`.
        root (str, optional): Folder of the set. None for its usual one. Default: None.

    Returns:
        dict[str, int]: Number of patches by file.

    Raises:
        UserError: If the folder is not there, if a patch is of no area that is known, if an area
            has no patch, or if a list cannot be written.
    """
    rules = AREA_LISTS[name]
    root = root or rules.root
    folder = osp.join(root, 'img_dir/train')
    patches = _find_patches(folder, rules, name)
    for split, areas in rules.lists.items():
        missing = [area for area in areas if area not in patches]
        if missing:
            raise UserError(
                f'{folder} has no patch of area {", ".join(missing)}, which belongs to {split}.txt: '
                "convert all scenes with mmseg's converter"
            )
    written = {}
    for split, areas in rules.lists.items():
        names = sorted(patch for area in areas for patch in patches[area])
        path = osp.join(root, 'splits', f'{split}.txt')
        _write(path, ''.join(f'{patch}\n' for patch in names))
        written[path] = len(names)
    return written


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(osp.dirname(path), exist_ok=True)
    except OSError as error:
        raise UserError(f'{osp.dirname(path)} cannot be made ({error.strerror})') from error
    write_text(path, text)


def _find_patches(folder: str, rules: AreaLists, name: str) -> dict[str, list[str]]:
    """Map areas to the names of their patches."""
    if not osp.isdir(folder):
        raise UserError(
            f"{osp.abspath(folder)} is no folder: convert {name} with mmseg's "
            f'tools/dataset_converters/{name}.py, or give the folder of the set by --root'
        )
    known = {area for areas in rules.lists.values() for area in areas} | {*rules.left_out}
    patches: dict[str, list[str]] = {}
    for file in sorted(os.listdir(folder)):
        stem, ending = osp.splitext(file)
        if ending != '.png':
            continue
        found = re.fullmatch(rules.pattern, stem)
        if not found or found[1] not in known:
            raise UserError(
                f'{osp.join(folder, file)} is a patch of no area of {name} that belongs there: take '
                "it out, and leave the names of patches as mmseg's converter gives them"
            )
        patches.setdefault(found[1], []).append(stem)
    return patches
