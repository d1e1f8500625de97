"""Images of a folder, and their sizes."""

import os
import os.path as osp
from collections import Counter

from ...data_checks.wording import and_more
from ...engine.transforms.exif import read_orientation
from ...errors import UserError
from ...image_files import IMAGE_ENDINGS, walk_folders


def list_files(folder: str, endings: tuple[str, ...]) -> list[str]:
    """List the files below a folder that have one of some endings.

    Args:
        folder (str): The folder; hidden files and folders are passed over.
        endings (tuple[str, ...]): Endings in lower case.

    Returns:
        list[str]: Sorted paths relative to the folder, with ``/``.

    Raises:
        UserError: If there is no such folder.
    """
    if not osp.isdir(folder):
        raise UserError(f'no folder {osp.abspath(folder)}')
    found = []
    for place, folders, names in walk_folders(folder):
        folders[:] = [name for name in folders if not name.startswith('.')]
        found += [
            osp.relpath(osp.join(place, name), folder)
            for name in names
            if name.lower().endswith(endings) and not name.startswith('.')
        ]
    return sorted(path.replace(os.sep, '/') for path in found)


class ImageFolder:
    """Images of a folder by their names without an ending.

    Args:
        folder (str): The folder.

    Raises:
        UserError: If it holds no image, or two of one name.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        names = list_files(folder, IMAGE_ENDINGS)
        if not names:
            raise UserError(
                f'{osp.abspath(folder)} holds no image, of which the names end in '
                f'{" ".join(IMAGE_ENDINGS)}: give the folder of the images as --images'
            )
        self.names: dict[str, str] = {}
        for name in names:
            stem = osp.splitext(name)[0]
            if stem in self.names:
                raise UserError(
                    f'{osp.abspath(folder)} holds {self.names[stem]} and {name}, and one '
                    'annotation would belong to both: rename or remove one'
                )
            self.names[stem] = name
        counts = Counter(map(osp.basename, self.names))
        # without those in several folders
        self._alone = {
            osp.basename(stem): name
            for stem, name in self.names.items()
            if counts[osp.basename(stem)] == 1
        }

    def find(self, stem: str) -> str | None:
        """Return the image of a name without ending; None if there is none.

        Args:
            stem (str): Path relative to the folder, or, of an image whose name no other
                has, a path in other folders.
        """
        return self.names.get(stem) or self._alone.get(osp.basename(stem))

    def size(self, name: str) -> tuple[int, int]:
        """Read width and height in pixels of an image; see `image_size`.

        Args:
            name (str): Its path relative to the folder.
        """
        return image_size(osp.join(self.folder, name))


def image_size(path: str) -> tuple[int, int]:
    """Read width and height in pixels of an image as it is loaded.

    Args:
        path (str): The image.

    Raises:
        UserError: If it cannot be read.
    """
    # imported lazily: converters of files that say the sizes work without Pillow
    from PIL import Image

    try:
        with Image.open(path) as file:
            width, height = file.size
            turned = file.format != 'TIFF' and read_orientation(path).resizes
    except Exception as error:
        # whatever its decoders raise at a broken file
        raise UserError(f'image {path} cannot be read: remove it or replace it') from error
    return (height, width) if turned else (width, height)


def pair_files(folder: str, owners: dict[str, str | None]) -> None:
    """Check that each annotation file has an image, and no other file has the same one.

    Args:
        folder (str): Folder of the images.
        owners (dict[str, str or None]): Image of each annotation file; None for one without.

    Raises:
        UserError: If a file has no image, or two have one.
    """
    missing = [file for file, name in owners.items() if name is None]
    if missing:
        raise UserError(
            f'images missing: {missing[0]}{and_more(len(missing))} of {len(owners)} annotation files '
            f'has no image of its name in {osp.abspath(folder)}: put it there, give the folder as '
            '--images, or remove the annotation'
        )
    files: dict[str, str] = {}
    for file, name in owners.items():
        if name in files:
            raise UserError(
                f'{files[name]} and {file} both belong to the image {name} of '
                f'{osp.abspath(folder)}: remove one, or give the folder of their own images as --images'
            )
        files[name] = file
