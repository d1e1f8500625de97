"""Transform that checks loaded label maps."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from mmengine.registry import TRANSFORMS

from ...errors import ConfigError, UserError
from .exif import read_orientation

# id of pixels without a class in a loaded map
IGNORED = 255
# Pillow's modes with one channel of more than 8 bits
WIDE_MODES = ('I;16', 'I;16B', 'I;16L', 'I', 'F')


@TRANSFORMS.register_module()
class CheckSegMap:
    """Transform that checks that a label map fits its image and the classes.

    It comes right after ``LoadAnnotations``, which squeezes the map of an
    image with one row or column; the shape is restored here. The loaded map
    is checked, and a local file also for ids above 8 bits, which are lost in
    loading. A sample that no label map belongs to passes as it is: mmseg's
    inferencers take ``LoadAnnotations`` out of a pipeline and leave this step.

    Required keys of a labelled sample: ``seg_map_path``, ``img_path``,
    ``ori_shape`` and ``gt_seg_map`` of shape (H, W). ``reduce_zero_label`` and
    ``label_map`` are read as mmseg's data sets set them.

    Args:
        num_classes (int): Number of classes of the data set. If ``metainfo``
            chooses some of them, it is taken from ``label_map`` instead.

    Raises:
        ConfigError: If ``num_classes`` is not an int in [1, 255].
        UserError: When called, if a map that the data set names was not loaded,
            or if it has several channels, another size than the image's file,
            an id without a class, or only 255 in its file. Only 0 in the file
            is allowed if 0 has no class.
    """

    def __init__(self, num_classes: int) -> None:
        if not isinstance(num_classes, int) or not 1 <= num_classes <= IGNORED:
            raise ConfigError(
                f'num_classes of CheckSegMap must be 1 to {IGNORED}, got {num_classes}'
            )
        self.num_classes = num_classes

    def __call__(self, results: dict) -> dict:
        """Check ``gt_seg_map`` of a sample and return the sample."""
        if 'gt_seg_map' not in results:
            path = results.get('seg_map_path')
            if path:
                raise UserError(
                    f'CheckSegMap has no label map to check, and {path} belongs to the '
                    'image: in a pipeline it comes right after LoadAnnotations'
                )
            return results
        self._check_shape(results)
        self._check_ids(results)
        return results

    def _check_shape(self, results: dict) -> None:
        path, seg_map = results['seg_map_path'], results['gt_seg_map']
        shape = tuple(results['ori_shape'][:2])
        if seg_map.shape == tuple(n for n in shape if n > 1):
            seg_map = results['gt_seg_map'] = seg_map.reshape(shape)
        if seg_map.ndim > 2:
            raise UserError(
                f'label map {path} has {seg_map.shape[2]} channels, and one '
                'channel of class ids is expected: take the index maps of the '
                'data set (of ADE20K, those of ADEChallengeData2016.zip), or '
                'convert its colours to ids'
            )
        if seg_map.shape != shape:
            remedy = 'put the two that belong together there, or remove both'
            stored = read_orientation(results['img_path'])
            if stored.resizes and seg_map.shape[::-1] == stored.size == shape:
                remedy = (
                    f'the image is turned by its EXIF orientation: {stored.remedy}, or turn the '
                    'label map'
                )
            raise UserError(
                f'label map {path} has {_size(seg_map.shape)} pixels and its '
                f'image {results["img_path"]} has {_size(shape)} (width x '
                f'height), which must be the same: {remedy}'
            )

    def _check_ids(self, results: dict) -> None:
        path, ids = results['seg_map_path'], results['gt_seg_map']
        label_map = results.get('label_map')
        # id of the first class in the file
        first = int(bool(results.get('reduce_zero_label')))
        num_classes = num_loaded = self.num_classes
        if label_map:
            num_classes = 1 + max(label_map)
            kept = [new for new in label_map.values() if new != IGNORED]
            num_loaded = 1 + max(kept, default=-1)
        ignored = ids == IGNORED
        outside = ((ids < 0) | (ids >= num_loaded)) & ~ignored
        wide, shift = read_pixels(path, WIDE_MODES), first
        if wide is not None and (wide.min() < 0 or wide.max() > IGNORED):
            ids, outside, shift = wide, (wide < 0) | (wide > IGNORED), 0
        if outside.any():
            raise UserError(
                f'label map {path} has pixels of id '
                f'{int(ids[outside].max()) + shift}: ids are 0 to '
                f'{num_classes - 1 + first}, and {IGNORED} for what is '
                'ignored; put the label map of this data set there, or give '
                'the number of its classes as num_classes'
            )
        if ignored.all() and self._is_void(results):
            raise UserError(
                f'label map {path} is {IGNORED} in every pixel, which labels '
                'nothing: put that of the data set there, or remove it and '
                f'its image {results["img_path"]}'
            )

    def _is_void(self, results: dict) -> bool:
        """Return True if the file of a fully ignored map has only 255."""
        pixels = read_pixels(results['seg_map_path'])
        if pixels is None:
            changed = results.get('reduce_zero_label')
            return not (changed or results.get('label_map'))
        return bool((pixels == IGNORED).all())

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_classes={self.num_classes})'


def _size(shape):
    """Format a shape as width x height, or as the length if it was squeezed."""
    return ' x '.join(map(str, shape[::-1])) or '1'


def read_pixels(path: str | BinaryIO, modes: Sequence[str] | None = None) -> np.ndarray | None:
    """Read the pixels of a file without a conversion.

    Args:
        path (str or BinaryIO): The file.
        modes (Sequence[str], optional): Pillow's modes that are read. None:
            all. Default: None.

    Returns:
        ndarray or None: Pixels. None if Pillow cannot read the file, for
        example on remote storage, or if its mode is not one of ``modes``.
    """
    # imported lazily: `import sparx_mm.engine` works without Pillow
    from PIL import Image

    try:
        with Image.open(path) as file:
            wanted = modes is None or file.mode in modes
            return np.array(file) if wanted else None
    except Exception:
        # whatever its decoders raise at a broken file
        return None
