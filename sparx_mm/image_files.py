"""Which files are images, and which folders hold them."""

import os
import os.path as osp
from collections.abc import Iterator

# what OpenCV and Pillow both read
IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')


def walk_folders(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder as `os.walk` does, and linked folders too, but for those that lead back.

    Args:
        folder (str): The folder.

    Yields:
        tuple[str, list[str], list[str]]: A folder, and the names of the folders and files in it.
    """
    trails: dict[str, tuple[str, ...]] = {folder: ()}
    for place, folders, names in os.walk(folder, followlinks=True):
        trail = (*trails.pop(place), _real(place))
        folders[:] = [
            name
            for name in folders
            if not any(one.startswith(_real(osp.join(place, name))) for one in trail)
        ]
        trails.update({osp.join(place, name): trail for name in folders})
        yield place, folders, names


def _real(folder: str) -> str:
    return osp.join(osp.realpath(folder), '')
