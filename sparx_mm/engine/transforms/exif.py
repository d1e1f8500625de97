"""The EXIF orientation of a picture, by which it is turned when it is loaded."""

from typing import NamedTuple

from mmengine.utils import digit_version

TAG = 0x0112
# turned by a quarter, some of them mirrored too
QUARTER_TURNS = (5, 6, 7, 8)
# tags of a TIFF with its size as it is stored
TIFF_SIZE = 256, 257
KEEP_STORED = "give color_type='color_ignore_orientation' to LoadImageFromFile in all pipelines"
KEEP_STORED_TIFF = (
    'set the tag Orientation (274) in each TIFF to 1, because a TIFF is turned whatever the '
    'color_type is'
)


class Orientation(NamedTuple):
    """The EXIF orientation of a picture.

    Args:
        value (int): From 1, as it is stored, to 8.
        size (tuple[int, int]): Width and height in pixels as they are stored.
        format (str): Format of the file, such as ``'JPEG'``.
    """

    value: int = 1
    size: tuple[int, int] = (0, 0)
    format: str = ''

    @property
    def resizes(self) -> bool:
        """Return True if the picture has another size once it is turned."""
        return self.value in QUARTER_TURNS and self.size[0] != self.size[1]

    @property
    def remedy(self) -> str:
        """Return what to do to load the pixels as they are stored."""
        return KEEP_STORED_TIFF if self.format == 'TIFF' else KEEP_STORED

    def is_turned(self, color_type: str, backend: str | None) -> bool:
        """Return True if mmcv turns the picture when it loads it.

        Args:
            color_type (str): mmcv's flag, such as ``'color'``.
            backend (str, optional): mmcv's decoder. None: its default, OpenCV.
        """
        backend = backend or 'cv2'
        if self.value == 1 or backend not in ('cv2', 'pillow'):
            return False
        if self.format == 'TIFF':
            return True
        if self.format == 'WEBP' and backend == 'cv2' and not _opencv_turns_webp():
            return False
        return color_type in ('color', 'grayscale')


def _opencv_turns_webp() -> bool:
    # imported lazily: `import sparx_mm.engine` works without OpenCV
    import cv2

    return digit_version(cv2.__version__) >= digit_version('4.13')


def read_orientation(path: str) -> Orientation:
    """Read the EXIF orientation of a picture.

    Args:
        path (str): The file.

    Returns:
        Orientation: Its orientation; 1 if the file has none or Pillow cannot read it.
    """
    # imported lazily: `import sparx_mm.engine` works without Pillow
    from PIL import Image

    try:
        with Image.open(path) as file:
            # Pillow would decode the whole file to look for more
            if file.format == 'PNG' and 'exif' not in file.info:
                return Orientation()
            value, size = file.getexif().get(TAG), file.size
            if file.format == 'TIFF':
                # Pillow gives the size of the turned picture
                size = tuple(file.tag_v2[tag] for tag in TIFF_SIZE)
            return Orientation(value if value in range(2, 9) else 1, size, file.format)
    except Exception:
        # whatever its decoders raise at a file that is broken or too large for it
        return Orientation()
