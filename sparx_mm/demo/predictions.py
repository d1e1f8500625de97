"""A picture of what a model predicts, under the ground truth."""

import os
import os.path as osp
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import nn

from ..errors import UserError
from .samples import enlarge_sample
from .sheet import draw_legend, draw_row, enlarge

if TYPE_CHECKING:
    from mmengine.visualization import Visualizer


@torch.no_grad()
def draw_predictions(
    model: nn.Module,
    dataset: BaseDataset,
    indices: Sequence[int],
    score_thr: float = 0.5,
    height: int = 384,
) -> np.ndarray:
    """Draw images in columns: ground truth above, predictions below.

    Instances are drawn with their names; the classes of label maps are named
    in a legend below.

    Args:
        model (nn.Module): Detector of mmdet, with or without masks, or
            segmentor of mmseg.
        dataset (BaseDataset): Test set whose pipeline loads annotations.
        indices (Sequence[int]): Numbers of the images to draw.
        score_thr (float): Score above which instances are drawn. Default: 0.5.
        height (int): Height of each image in the picture, in pixels.
            Default: 384.

    Returns:
        ndarray: Picture of shape (H, W, 3): BGR, uint8.

    Raises:
        UserError: If the pipeline loads no annotations.
    """
    model.eval()
    images, samples = [], []
    for index in indices:
        sample = model.test_step(pseudo_collate([dataset[index]]))[0].cpu()
        _check_kind(sample)
        images.append(enlarge(cv2.imread(sample.img_path, cv2.IMREAD_COLOR), height))
        samples.append(enlarge_sample(sample, images[-1].shape[:2]))
    title, legend = 'prediction', []
    if 'gt_instances' in samples[0]:
        visualizer, options = detection_visualizer(), dict(pred_score_thr=score_thr)
        title += f' (score above {score_thr:g})'
    else:
        # without labels: mmseg writes a name to the right of the middle of its
        # area, past the end of a small image
        visualizer, options = segmentation_visualizer(), dict(with_labels=False)
        legend = _find_classes(samples, dataset.metainfo)
        # grey, because colors of the image would mix with those of classes
        images = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None] for image in images]
        images = [image.repeat(3, axis=2) for image in images]
    visualizer.dataset_meta = dataset.metainfo
    rows = []
    for row, is_truth in (('ground truth', True), (title, False)):
        tiles = []
        for image, sample in zip(images, samples):
            # mm's visualizers take and return RGB
            visualizer.add_datasample(
                row, image[..., ::-1], sample, draw_gt=is_truth, draw_pred=not is_truth, **options
            )
            tiles.append(visualizer.get_image()[..., ::-1])
        rows.append(draw_row(row, tiles, height))
    if legend:
        rows.append(draw_legend(legend, rows[0].shape[1]))
    return np.concatenate(rows)


def _check_kind(sample):
    """Refuse a sample that cannot be drawn, before more of them are predicted."""
    boxes = sample.get('gt_instances', {}).get('bboxes')
    if boxes is None and 'gt_sem_seg' not in sample:
        raise UserError(
            'detectors and segmentors are drawn whose test set has ground truth: its pipeline '
            'needs LoadAnnotations'
        )
    if boxes is not None and boxes.shape[-1] != 4:
        raise UserError(
            'rotated boxes are not drawn beside their ground truth: paint them with tools/test.py '
            '--show-dir'
        )


def write_picture(path: str, picture: np.ndarray) -> None:
    """Write a picture, and make its folder if there is none.

    Args:
        path (str): File name with an ending that OpenCV knows.
        picture (ndarray): Picture of shape (H, W, 3): BGR, uint8; or (H, W), gray.

    Raises:
        UserError: If it cannot be written.
    """
    reason = 'OpenCV does not encode it'
    try:
        os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
        # not by imwrite, which says nothing of a small file that a full disk leaves empty
        encoded, content = cv2.imencode(osp.splitext(path)[1], picture)
        if encoded:
            with open(path, 'wb') as file:
                file.write(content)
            return
    except cv2.error:
        pass
    except OSError as error:
        reason = error.strerror
    raise UserError(
        f'the picture {path} cannot be written ({reason}): give another folder, or an ending like '
        '.png'
    )


def detection_visualizer() -> 'Visualizer':
    """Make mmdet's visualizer, with names that can be read in pictures of this size."""
    # imported lazily: a segmentor is drawn without mmdet
    from matplotlib import rc_context
    from mmdet.visualization import DetLocalVisualizer

    # mmdet writes names in 6 points on boxes of this size: 13 pixels
    with rc_context({'figure.dpi': 160}):
        return DetLocalVisualizer(text_color=(255, 255, 255), line_width=1, alpha=0.5)


def segmentation_visualizer() -> 'Visualizer':
    """Make mmseg's visualizer."""
    # imported lazily: a detector is drawn without mmseg
    from mmseg.visualization import SegLocalVisualizer

    return SegLocalVisualizer(alpha=0.6)


def _find_classes(samples, metainfo):
    """Return names and BGR colors of the classes in label maps, the largest first."""
    names, areas = metainfo['classes'], Counter()
    for sample in samples:
        for label_map in (sample.gt_sem_seg, sample.pred_sem_seg):
            areas.update(label_map.data.flatten().tolist())
    found = [label for label, _ in areas.most_common() if label < len(names)]
    return [(names[label], metainfo['palette'][label][::-1]) for label in found]
