"""Image loading that ends in one line at a file that cannot be trained on.

mmcv's loader does not name every file that it fails at, reads images of more
than 8 bits as black, and turns images by their EXIF orientation beside boxes
that are not turned.
"""

import logging

import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS

from ...errors import UserError
from .exif import read_orientation
from .image_faults import READ_ERRORS, depth_fault, read_fault

REMEDY = (
    'tools/check_data.py CONFIG lists all such files, and --cfg-options skip_broken=True '
    'trains without them'
)


class SkipCounter:
    """Number of files in whose place a data set takes another sample."""

    def __init__(self) -> None:
        # shared with the workers of a loader
        self.total = torch.zeros(1, dtype=torch.int64).share_memory_()

    def skip(self, fault: str) -> None:
        """Count a file, and log its fault.

        Args:
            fault (str): What `read_fault` returns, for example.
        """
        self.total += 1
        print_log(f'{fault}: skipped ({int(self.total)} so far)', 'current', logging.WARNING)


class LoadCheckedImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, which names a file that does not fit.

    With ``ignore_empty=True`` a data set in training takes another image in
    the place of such a file; the log says so and counts them. The sample tells
    later steps so, by ``ignore_empty``.

    Args:
        *args: Arguments of ``LoadImageFromFile``.
        **kwargs: More of them.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.skips = SkipCounter()

    def transform(self, results: dict) -> dict | None:
        """Load an image and check it.

        Args:
            results (dict): Sample with ``img_path``; with ``instances``, its
                ``height`` and ``width`` are those that the boxes belong to.

        Returns:
            dict or None: The sample with ``img``; None if the file does not
            fit and ``ignore_empty`` is True.

        Raises:
            UserError: If the file does not fit and ``ignore_empty`` is False.
        """
        fault = self.load(results)
        if fault is None:
            return {**results, 'ignore_empty': True} if self.ignore_empty else results
        if not self.ignore_empty:
            raise UserError(f'{fault}; {REMEDY}')
        self.skips.skip(fault)
        return None

    def load(self, results: dict) -> str | None:
        """Load an image into a sample.

        Args:
            results (dict): See `transform`; it is changed.

        Returns:
            str or None: The fault of the file and what to do about it; None
            if there is none.
        """
        # mmcv would hide what it met, and floats would hide that they were 8 bits
        asked = self.ignore_empty, self.to_float32
        self.ignore_empty = self.to_float32 = False
        try:
            super().transform(results)
        except READ_ERRORS as error:
            return read_fault('image', results['img_path'], self.backend_args, error)
        finally:
            self.ignore_empty, self.to_float32 = asked
        image = results['img']
        if self.to_float32:
            results['img'] = image.astype(np.float32)
        return self._size_fault(results) or depth_fault(
            image, results['img_path'], self.imdecode_backend, self.backend_args
        )

    def _size_fault(self, results: dict) -> str | None:
        size = results.get('width'), results.get('height')
        if not results.get('instances') or None in size:
            return None
        loaded = tuple(results['ori_shape'][1::-1])
        # converters round differently
        if _close(loaded, size):
            return None
        path = results['img_path']
        sizes = f'{loaded[0]} x {loaded[1]} pixels and its boxes are for {size[0]} x {size[1]}'
        stored = read_orientation(path)
        if stored.resizes and loaded == stored.size[::-1] and _close(stored.size, size):
            return (
                f'image {path} is turned by its EXIF orientation: it is loaded with {sizes}; '
                f'{stored.remedy}, or turn the boxes'
            )
        return f'image {path} has {sizes} (width x height): put the image of these boxes there'


def install(scope: str | None = None) -> type:
    """Make ``LoadImageFromFile`` of a config mean `LoadCheckedImage`.

    Args:
        scope (str, optional): Library of the config. Default: None.

    Returns:
        type: The class that the name stands for elsewhere.
    """
    return replace(LoadCheckedImage, scope)


def replace(transform: type, scope: str | None) -> type:
    """Make the name of a transform in a config mean a subclass of it.

    Args:
        transform (type): Direct subclass of the class of that name.
        scope (str, optional): Library of the config.

    Returns:
        type: The class of that name.
    """
    stock = transform.__base__
    name = stock.__name__
    with TRANSFORMS.switch_scope_and_registry(scope) as registry:
        # this imports the library's transforms, which would fail at a name that is taken
        registry.get(name)
        # a library may have registered mmcv's class as its own too
        for own in (registry, TRANSFORMS):
            if own.module_dict.get(name) is stock:
                own.register_module(name, force=True, module=transform)
    return stock


def _close(size: tuple, other: tuple) -> bool:
    return all(abs(a - b) <= 1 for a, b in zip(size, other))
