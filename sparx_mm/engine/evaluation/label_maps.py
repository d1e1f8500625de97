"""Metric that writes predicted label maps as files."""

import os
import os.path as osp
from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from ...errors import UserError


@METRICS.register_module()
class DumpLabelMaps(BaseMetric):
    """Metric that writes predicted label maps as index PNGs and measures nothing.

    A pixel gets the id that its class has in the data set's own files: one
    higher if ``reduce_zero_label`` sets 0 aside, and the original id if
    ``metainfo`` chooses some of the classes.

    Args:
        out_dir (str): Folder of the files.
        roots (Sequence[str]): Folders of images. A file keeps the subfolders
            below the root of its image; without a root it has none.
            Default: ().
    """

    default_prefix = 'label_maps'

    def __init__(self, out_dir: str, roots: Sequence[str] = ()) -> None:
        super().__init__()
        self.out_dir = out_dir
        self.roots = [osp.abspath(root) for root in roots]

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Write a file for each sample.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Samples with ``img_path`` and
                ``pred_sem_seg``, whose ``data`` has the shape (1, H, W).
        """
        # imported lazily: `import sparx_mm.engine` works without Pillow
        from PIL import Image

        ids = file_ids(self.dataset_meta)
        for sample in data_samples:
            labels = sample['pred_sem_seg']['data'].cpu().numpy()
            labels = labels.reshape(labels.shape[-2:])
            path = osp.join(self.out_dir, self._name(sample['img_path']))
            os.makedirs(osp.dirname(path), exist_ok=True)
            Image.fromarray(ids[labels]).save(path)
            self.results.append(path)

    def compute_metrics(self, results: list) -> dict:
        """Return no metric.

        Args:
            results (list): Not used.
        """
        return {}

    def _name(self, img_path: str) -> str:
        img_path = osp.abspath(img_path)
        name = osp.basename(img_path)
        for root in self.roots:
            if img_path.startswith(osp.join(root, '')):
                name = osp.relpath(img_path, root)
        return f'{osp.splitext(name)[0]}.png'


def file_ids(metainfo: dict) -> np.ndarray:
    """Return the id that each predicted label has in the data set's own files.

    Args:
        metainfo (dict): ``classes``, and perhaps ``label_map`` and ``reduce_zero_label``, as
            mmseg's data sets give them.

    Returns:
        ndarray: Ids of shape (classes,), uint8.

    Raises:
        UserError: If one is beyond 255.
    """
    ids = np.arange(len(metainfo['classes']))
    for old, new in (metainfo.get('label_map') or {}).items():
        if new < len(ids):
            ids[new] = old
    ids += bool(metainfo.get('reduce_zero_label'))
    if ids.max() > 255:
        raise UserError(
            f'label maps hold ids up to 255, and those of the {len(ids)} classes go up to '
            f'{ids.max()}: take the predictions from Predictor.predict in Python'
        )
    return ids.astype(np.uint8)
