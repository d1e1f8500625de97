"""The EXIF orientation of a picture, by which it is turned when it is loaded."""

TAG = 0x0112
# turned by a quarter, some of them mirrored too
QUARTER_TURNS = (5, 6, 7, 8)


def read_orientation(path: str) -> tuple[int, bool]:
    """Read the EXIF orientation of a picture.

    Args:
        path (str): The file.

    Returns:
        tuple[int, bool]: A value from 1 to 8, and True if the picture has another size
        once it is turned; 1, as it is, if the file has none or Pillow cannot read it.
    """
    # imported lazily: `import sparx_mm.engine` works without Pillow
    from PIL import Image

    try:
        with Image.open(path) as file:
            # Pillow would decode the whole file to look for more
            if file.format == 'PNG' and 'exif' not in file.info:
                return 1, False
            # which OpenCV, mmcv's default, does not turn
            if file.format == 'WEBP':
                return 1, False
            value = file.getexif().get(TAG)
            value = value if value in range(2, 9) else 1
            return value, value in QUARTER_TURNS and file.width != file.height
    except Exception:
        # whatever its decoders raise at a file that is broken or too large for it
        return 1, False
