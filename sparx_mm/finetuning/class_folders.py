"""Classification sets of one's own: a folder of images for each class."""

import os
import os.path as osp
from collections.abc import Sequence
from typing import NamedTuple

from ..data_checks.wording import quote_names
from ..errors import UserError
from ..image_files import IMAGE_ENDINGS
from .sources.images import image_size, list_files
from .split import TRAIN_FOLDER, VAL_FOLDERS

# images of all classes, whose sizes are read
MEASURED = 100


class ClassFolders(NamedTuple):
    """Images and the classes that their folders are.

    Args:
        folder (str): Folder of the folders.
        files (list[str]): Images relative to it.
        labels (list[int]): Number of the class of each.
        classes (list[str]): Class names.
        size (int): Median of the shorter sides of up to ``MEASURED`` images, in pixels.
    """

    folder: str
    files: list[str]
    labels: list[int]
    classes: list[str]
    size: int


def read_class_folders(folder: str, classes: Sequence[str] | None = None) -> ClassFolders:
    """Read a folder that has a folder of images for each class.

    Args:
        folder (str): The folder.
        classes (Sequence[str], optional): Names of the folders in the order of their
            labels. None: all of them, sorted. Default: None.

    Returns:
        ClassFolders: The images and their classes.

    Raises:
        UserError: If there are fewer than two classes, if one has no image, or if images
            or folders belong to none.
    """
    if not osp.isdir(folder):
        raise UserError(f'no folder {osp.abspath(folder)}')
    present = _list_folders(folder)
    names = list(classes or present)
    other = sorted(set(present) ^ set(names))
    if other:
        raise UserError(
            f'the folders of {osp.abspath(folder)} are not the classes: {other[0]!r} is in one '
            f'of {quote_names(present)} and {quote_names(names)} alone'
        )
    files = list_files(folder, IMAGE_ENDINGS)
    loose = [file for file in files if '/' not in file]
    if loose or len(names) < 2:
        raise UserError(
            f'{osp.abspath(folder)} has {len(loose)} images beside {len(names)} folders: put the '
            'images of each class into a folder of its name, for two classes or more'
        )
    tops = [file.partition('/')[0] for file in files]
    empty = [name for name in names if name not in tops]
    if empty:
        raise UserError(
            f'{osp.join(folder, empty[0])} holds no image, of which the names end in '
            f'{" ".join(IMAGE_ENDINGS)}: put some there'
            + ('' if classes else ', or remove the folder')
        )
    some = files[:: -(-len(files) // MEASURED)]
    sides = sorted(min(image_size(osp.join(folder, file))) for file in some)
    labels = [names.index(top) for top in tops]
    return ClassFolders(folder, files, labels, names, sides[len(sides) // 2])


def find_splits(folder: str, classes: Sequence[str] | None = None) -> tuple[str, str | None]:
    """Return the folders for training and validation; None for a set without the latter.

    Args:
        folder (str): Folder of the classes, or of ``train`` and ``val`` or ``valid``.
        classes (Sequence[str], optional): Names of the classes; one may be ``train``.

    Raises:
        UserError: If ``train`` and a folder of another name hold folders of the same classes.
    """
    if TRAIN_FOLDER in (classes or ()):
        return folder, None
    train, *others = (osp.join(folder, name) for name in (TRAIN_FOLDER, *VAL_FOLDERS))
    if not osp.isdir(train):
        return folder, None
    val = next(filter(osp.isdir, others), None)
    if val:
        return train, val
    # a class may be called train, but not hold two folders that another one holds too
    inside = set(_list_folders(train))
    for name in _list_folders(folder):
        other = osp.join(folder, name)
        if name != TRAIN_FOLDER and len(inside.intersection(_list_folders(other))) > 1:
            raise UserError(
                f'{train} and {other} hold folders of the same classes: give them as --images and '
                f'--val-images, or call the latter {VAL_FOLDERS[0]}; if they are classes themselves, '
                'name all with --classes'
            )
    return folder, None


def _list_folders(folder: str) -> list[str]:
    names = (one.name for one in os.scandir(folder) if one.is_dir())
    return sorted(name for name in names if not name.startswith('.'))
