"""Label map loading that names a file that cannot be read."""

from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from ...errors import UserError
from .load_image import READ_ERRORS, read_fault


class LoadCheckedSegMap(LoadAnnotations):
    """mmseg's ``LoadAnnotations``, which names a file that cannot be read."""

    def _load_seg_map(self, results: dict) -> None:
        try:
            super()._load_seg_map(results)
        except (*READ_ERRORS, AttributeError) as error:
            # the last is raised where OpenCV decodes nothing
            fault = read_fault('label map', results['seg_map_path'], self.backend_args, error)
            raise UserError(f'{fault}; tools/check_data.py CONFIG lists all such files') from error


def install() -> None:
    """Make ``LoadAnnotations`` of mmseg's configs mean `LoadCheckedSegMap`."""
    TRANSFORMS.register_module('LoadAnnotations', force=True, module=LoadCheckedSegMap)
