"""Where the results of an input are written, and pictures written there."""

import os
import os.path as osp
from itertools import chain, count

import cv2
import numpy as np

from ..errors import UserError


def find_place(folder: str, name: str, ending: str, used: dict[str, str]) -> str:
    """Return the path of a result, and make its folder.

    Args:
        folder (str): Folder of the results.
        name (str): Relative path of what it is of.
        ending (str): Ending of the result.
        used (dict[str, str]): Names by path so far: inputs of one name and several endings, such
            as ``a.jpg`` and ``a.png``, do not overwrite each other.

    Returns:
        str: The path.
    """
    stems = chain([osp.splitext(name)[0], name], (f'{name}_{i}' for i in count(2)))
    paths = (osp.join(folder, stem + ending) for stem in stems)
    path = next(path for path in paths if used.setdefault(path, name) == name)
    os.makedirs(osp.dirname(path), exist_ok=True)
    return path


def write_picture(path: str, picture: np.ndarray) -> None:
    """Write a picture, or say that it is not written.

    Args:
        path (str): Its file.
        picture (ndarray): BGR of shape (H, W, 3), uint8.

    Raises:
        UserError: If it cannot be written.
    """
    if not cv2.imwrite(path, picture):
        raise UserError(f'the picture {path} cannot be written: is the disk full?')
