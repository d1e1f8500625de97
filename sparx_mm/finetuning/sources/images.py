"""Images of a folder, and their sizes."""

import os
import os.path as osp
from collections import Counter

from ...data_checks.wording import and_more
from ...engine.transforms.exif import read_orientation
from ...errors import UserError

ENDINGS = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm')


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
    for place, folders, names in os.walk(folder, followlinks=True):
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
        names = list_files(folder, ENDINGS)
        if not names:
            raise UserError(
                f'{osp.abspath(folder)} holds no image, of which the names end in '
                f'{" ".join(ENDINGS)}: give the folder of the images as --images'
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
        """Read width and height in pixels of an image as it is loaded.

        Args:
            name (str): Its path relative to the folder.

        Raises:
            UserError: If it cannot be read.
        """
        # imported lazily: converters of files that say the sizes work without Pillow
        from PIL import Image

        path = osp.join(self.folder, name)
        try:
            with Image.open(path) as file:
                width, height = file.size
                turned = file.format != 'TIFF' and read_orientation(path).resizes
        except Exception as error:
            # whatever its decoders raise at a broken file
            raise UserError(f'image {path} cannot be read: remove it or replace it') from error
        return (height, width) if turned else (width, height)


def missing_images(folder: str, files: list[str], count: int) -> UserError:
    """Make the error for annotations whose images are missing.

    Args:
        folder (str): Folder of the images.
        files (list[str]): Annotation files without one, not empty.
        count (int): Number of all annotation files.

    Returns:
        UserError: The error.
    """
    return UserError(
        f'images missing: {files[0]}{and_more(len(files))} of {count} annotation files has no '
        f'image of its name in {osp.abspath(folder)}: put it there, give the folder as '
        '--images, or remove the annotation'
    )
