"""Which files are images, and which folders hold them."""

import os
import os.path as osp
from collections.abc import Iterator

# what OpenCV and Pillow both read
IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')


def walk_folders(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder as `os.walk` does, and then linked folders, each real folder once.

    Args:
        folder (str): The folder.

    Yields:
        tuple[str, list[str], list[str]]: A folder, and the names of the folders and files in it.
        Folders that are taken out of the list are not walked.
    """
    root, seen, starts = _real(folder), set(), [folder]
    while starts:
        start = starts.pop(0)
        # a link that leads back
        if start != folder and root.startswith(_real(start)):
            continue
        for place, folders, names in os.walk(start):
            if _real(place) in seen:
                folders.clear()
                continue
            seen.add(_real(place))
            yield place, folders, names
            paths = [osp.join(place, name) for name in folders]
            starts += filter(osp.islink, paths)


def _real(folder: str) -> str:
    return osp.join(osp.realpath(folder), '')
