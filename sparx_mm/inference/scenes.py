"""GeoTIFFs: scenes that are read by windows, and where they are on the ground."""

import os.path as osp
import warnings
from contextlib import suppress
from importlib.util import find_spec

import numpy as np

from ..engine.transforms.exif import read_orientation
from .pipeline import Unreadable

ENDINGS = ('.tif', '.tiff')
# kinds of bands that OpenCV makes colours of, which windows are not converted to
CONVERTED = {'palette', 'hue', 'saturation', 'lightness', 'cyan', 'magenta', 'yellow', 'black'}
CONVERTED |= {'Y', 'Cb', 'Cr'}
# of the scale, the transformation, the coordinate system and the camera of a GeoTIFF
GEO_TAGS = {33550, 34264, 34735, 50844}
# of files beside a TIFF that say where it is: world files, and those of the camera (RPCs)
BESIDE = ('.tfw', '.tifw', '.tiffw', '.wld', '.rpb', '_rpc.txt')


class Scene:
    """A TIFF that is read by windows, indexed by two slices as an image would be.

    ``scene[y0:y1, x0:x1]`` is what OpenCV would load there, but for JPEG in a TIFF, which
    the two decode differently (less than one gray level on average), and
    ``scene[::n, ::n]`` a small picture of all. A fourth band that is not transparency is
    left out.

    Args:
        dataset (DatasetReader): The file, opened by rasterio.

    Attributes:
        shape (tuple[int, int, int]): Height, width and 3.
    """

    def __init__(self, dataset) -> None:
        self._dataset = dataset
        self.shape = (dataset.height, dataset.width, 3)

    def __getitem__(self, place: tuple[slice, slice]) -> np.ndarray:
        """Read a window.

        Args:
            place (tuple[slice, slice]): Rows and columns.

        Returns:
            ndarray: BGR of shape (h, w, 3), uint8.

        Raises:
            Unreadable: If the file is damaged there.
        """
        rows, columns = (range(size)[part] for size, part in zip(self.shape, place))
        window = (rows.start, rows.stop), (columns.start, columns.stop)
        try:
            pixels = self._read(window, (len(rows), len(columns)))
        except OSError as error:
            raise Unreadable(
                f'image {self._dataset.name} is damaged in the rows {rows.start} to {rows.stop}: '
                f'{error}'
            ) from error
        # (3, h, w) -> (h, w, 3)
        return pixels.transpose(1, 2, 0)

    def _read(self, window, shape):
        # bands are counted from 1
        bands = [3, 2, 1] if self._dataset.count > 2 else [1, 1, 1]
        if self._dataset.count < 4 or self._dataset.colorinterp[3].name != 'alpha':
            return self._dataset.read(bands, window=window, out_shape=(3, *shape))
        pixels = self._dataset.read([*bands, 4], window=window, out_shape=(4, *shape))
        # black where it is transparent, in the integers that OpenCV computes with
        dimmed = (pixels[:3].astype(np.uint16) * pixels[3] + 127) // 255
        return dimmed.astype(np.uint8)


def open_scene(path: str) -> Scene | None:
    """Open a TIFF to be read by windows.

    Args:
        path (str): The file.

    Returns:
        Scene or None: None for what is read as a whole: other files, bands of more or fewer
        than 8 bits, palettes, a single band of which 0 is white, pictures that EXIF turns, and
        all where rasterio is not installed.
    """
    dataset = _open(path)
    if dataset is None:
        return None
    if read_orientation(path).value != 1:
        # GDAL does not turn it, as loaders do
        dataset.close()
        return None
    kinds = [kind.name for kind in dataset.colorinterp]
    is_known = kinds == ['gray'] or len(kinds) in (3, 4) and not CONVERTED & set(kinds)
    has_few_bits = any('NBITS' in dataset.tags(i, ns='IMAGE_STRUCTURE') for i in dataset.indexes)
    if is_known and set(dataset.dtypes) == {'uint8'} and not has_few_bits:
        return Scene(dataset)
    dataset.close()
    return None


def find_ground(path: str | None) -> dict:
    """Return where a file is on the ground.

    Args:
        path (str, optional): The file; None for pixels that are of no file.

    Returns:
        dict: Arguments for ``rasterio.open``: ``crs``, and ``transform`` or ``gcps``, and the
        camera's ``rpcs``. Empty if the file does not say, if EXIF turns it, or without rasterio.
    """
    dataset = _open(path)
    if dataset is None:
        return {}
    with dataset:
        if read_orientation(path).value != 1:
            # its label map is turned, and what says where it is is not
            return {}
        camera = dict(rpcs=dataset.rpcs) if dataset.rpcs else {}
        points, system = dataset.gcps
        if points:
            return dict(crs=system, gcps=points, **camera)
        if dataset.crs is None and dataset.transform.is_identity:
            return camera
        return dict(crs=dataset.crs, transform=dataset.transform, **camera)


def loses_ground(path: str | None) -> bool:
    """Return True for a GeoTIFF where rasterio, which would keep its place, is not installed.

    Args:
        path (str, optional): The file; None for pixels that are of no file.
    """
    if not _is_tiff(path) or find_spec('rasterio') is not None:
        return False
    stem = osp.splitext(path)[0]
    if any(osp.exists(stem + end) for ending in BESIDE for end in (ending, ending.upper())):
        return True
    # imported lazily, as in DumpLabelMaps
    from PIL.TiffImagePlugin import TiffImageFile

    # what Pillow raises for a TIFF of another kind
    with suppress(OSError, SyntaxError, ValueError), TiffImageFile(path) as file:
        return bool(GEO_TAGS & set(file.tag_v2))
    return False


def write_geotiff(path: str, labels: np.ndarray, ground: dict) -> None:
    """Write a label map with its place on the ground.

    Args:
        path (str): The file.
        labels (ndarray): Ids of shape (H, W), uint8.
        ground (dict): What `find_ground` returned.
    """
    import rasterio

    kind = dict(driver='GTiff', count=1, dtype='uint8', compress='deflate', bigtiff='if_safer')
    height, width = labels.shape
    with rasterio.open(path, 'w', height=height, width=width, **kind, **ground) as file:
        file.write(labels, 1)


def _is_tiff(path):
    return path is not None and str(path).lower().endswith(ENDINGS)


def _open(path):
    """Open a TIFF with rasterio; None if that fails, which loading the file reports."""
    if not _is_tiff(path) or find_spec('rasterio') is None:
        return None
    # imported lazily: most files are none
    import rasterio

    with warnings.catch_warnings(), suppress(OSError):
        # most TIFFs have no place on the ground
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        return rasterio.open(path)
    return None
