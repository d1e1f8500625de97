"""Label map loading that names a file that cannot be read."""

import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmseg.datasets.transforms import LoadAnnotations

from ...errors import UserError
from .check_seg_map import IGNORED
from .image_faults import READ_ERRORS, read_fault
from .load_image import REMEDY, SkipCounter, replace


class LoadCheckedSegMap(LoadAnnotations):
    """mmseg's ``LoadAnnotations``, which names a file that cannot be read.

    It takes the map of an image of a single pixel too, at which mmseg fails. If the
    image was loaded with ``ignore_empty=True``, a data set in training takes another
    sample in the place of such a file; the log says so and counts them.

    Args:
        *args: Arguments of ``LoadAnnotations``.
        **kwargs: More of them.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.skips = SkipCounter()

    def transform(self, results: dict) -> dict | None:
        """Load the label map of a sample.

        Args:
            results (dict): Sample with ``seg_map_path``, after its image is loaded.

        Returns:
            dict or None: The sample with ``gt_seg_map``; None if the file cannot be
            read and the sample has ``ignore_empty``.

        Raises:
            UserError: If it cannot be read and the sample has no ``ignore_empty``.
        """
        try:
            return super().transform(results)
        except (*READ_ERRORS, AttributeError) as error:
            # the last is raised where OpenCV decodes nothing
            path = results['seg_map_path']
            fault = read_fault('label map', path, self.backend_args, error)
            if not results.get('ignore_empty'):
                raise UserError(f'{fault}; {REMEDY}') from error
        self.skips.skip(fault)
        return None

    def _load_seg_map(self, results: dict) -> None:
        if tuple(results.get('ori_shape', ())) == (1, 1):
            self._load_pixel(results)
        else:
            super()._load_seg_map(results)

    def _load_pixel(self, results: dict) -> None:
        content = fileio.get(results['seg_map_path'], backend_args=self.backend_args)
        ids = mmcv.imfrombytes(content, flag='unchanged', backend=self.imdecode_backend)
        ids = ids.astype(np.uint8)
        if results.get('reduce_zero_label'):
            ids = np.where((ids == 0) | (ids == IGNORED), IGNORED, ids - 1).astype(np.uint8)
        old = ids.copy()
        for i, label in (results.get('label_map') or {}).items():
            ids[old == i] = label
        results['gt_seg_map'] = ids
        results['seg_fields'].append('gt_seg_map')


def install(scope: str | None = 'mmseg') -> type:
    """Make ``LoadAnnotations`` of a config mean `LoadCheckedSegMap`.

    Args:
        scope (str, optional): Library of the config. Default: ``'mmseg'``.

    Returns:
        type: The class that the name stands for elsewhere.
    """
    return replace(LoadCheckedSegMap, scope)
