"""Pictures that carry an EXIF orientation."""

from PIL import Image

TAG = 0x0112


def orient(path, value):
    """Save a picture anew with an orientation."""
    exif = Image.Exif()
    exif[TAG] = value
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)


def reset_tiff(path, value):
    """Set the orientation of a TIFF to 1, and leave its pixels as they are stored."""
    with open(path, 'r+b') as file:
        content = file.read()
        # one short integer, little-endian
        start = TAG.to_bytes(2, 'little') + bytes((3, 0, 1, 0, 0, 0))
        assert content.count(start + bytes((value,))) == 1
        file.seek(content.index(start) + len(start))
        file.write(bytes((1,)))
