"""Pictures of predictions, drawn by the visualizers of the OpenMMLab libraries."""

from collections.abc import Callable
from itertools import count

import numpy as np
from mmengine.config import Config
from mmengine.registry import VISUALIZERS

from ..demo.sheet import as_color
from ..libraries import find_library
from .panoptic import find_segments

_numbers = count()


def make_painter(cfg: Config, metainfo: dict) -> Callable:
    """Make a function that draws predictions as the config says.

    Args:
        cfg (Config): A whole config; its ``visualizer`` draws, or the one of its library.
        metainfo (dict): ``classes`` and ``palette``.

    Returns:
        Callable: Maps pixels (BGR), a data sample and a score to a picture (BGR).
    """
    own = dict(cfg.get('visualizer') or dict(type=find_library(cfg).visualizer))
    # pictures are returned, and nothing is logged
    for key in ('vis_backends', 'save_dir'):
        own.pop(key, None)
    # mmengine returns an older one of the same name
    own['name'] = f'inference-{next(_numbers)}'
    if find_library(cfg).task == 'segmentation':
        # mmseg's own 0.8 hides the image
        own.setdefault('alpha', 0.5)
    visualizer = VISUALIZERS.build(own)
    visualizer.dataset_meta = metainfo

    def paint(pixels: np.ndarray, sample, score_thr: float) -> np.ndarray:
        panoptic = sample.get('pred_panoptic_seg')
        if panoptic is not None and not find_segments(panoptic, len(metainfo['classes'])):
            # mmdet fails to draw no segment
            sample = sample.new()
            del sample.pred_panoptic_seg
        image = np.ascontiguousarray(as_color(pixels)[..., ::-1].clip(0, 255), dtype=np.uint8)
        if hasattr(visualizer, 'visualize_cls'):
            visualizer.visualize_cls(image, sample, classes=metainfo['classes'], draw_gt=False)
        else:
            scores = {} if 'pred_sem_seg' in sample else dict(pred_score_thr=score_thr)
            visualizer.add_datasample('image', image, sample, draw_gt=False, **scores)
        return visualizer.get_image()[..., ::-1]

    return paint
