"""A picture of what a model predicts, below the ground truth."""

import os
import os.path as osp
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import nn

from sparx_mm.errors import UserError

from .canvas import draw_legend, draw_row, enlarge
from .detections import DetectionPainter
from .segmentations import SegmentationPainter


@torch.no_grad()
def draw_predictions(
    model: nn.Module,
    dataset: BaseDataset,
    indices: Sequence[int],
    score_thr: float = 0.5,
    height: int = 256,
) -> np.ndarray:
    """Draw images in columns: ground truth above, predictions below.

    Instances bear their names; classes painted over the pixels are named in
    a legend below.

    Args:
        model (nn.Module): A detector of mmdet, with or without masks, or a
            segmentor of mmseg.
        dataset (BaseDataset): A test set whose pipeline loads annotations.
        indices (Sequence[int]): Which of its images.
        score_thr (float): Lowest score that is drawn; a segmentor has none.
            Default: 0.5.
        height (int): Of each image in the picture, in pixels. Default: 256.

    Returns:
        ndarray: The picture: BGR, uint8, (H, W, 3).

    Raises:
        UserError: If the pipeline loads no annotations.
    """
    model.eval()
    painter, tiles = None, []
    for index in indices:
        sample = model.test_step(pseudo_collate([dataset[index]]))[0].cpu()
        painter = painter or _make_painter(sample, dataset.metainfo, score_thr)
        image = cv2.imread(sample.img_path, cv2.IMREAD_COLOR)
        tiles.append(painter.paint(enlarge(image, height), sample))
    truths, predictions = zip(*tiles)
    picture = np.concatenate(
        [draw_row('ground truth', truths, height), draw_row(painter.title, predictions, height)]
    )
    entries = painter.legend()
    if not entries:
        return picture
    return np.concatenate([picture, draw_legend(entries, picture.shape[1])])


def write_picture(path: str, picture: np.ndarray) -> None:
    """Write a picture; its folder is made.

    Args:
        path (str): A file name with an ending that OpenCV knows.
        picture (ndarray): BGR, uint8, (H, W, 3).

    Raises:
        UserError: If it cannot be written.
    """
    try:
        os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
        written = cv2.imwrite(path, picture)
    except (OSError, cv2.error):
        written = False
    if not written:
        raise UserError(
            f'the picture {path} cannot be written: give another folder, or an ending like .png'
        )


def _make_painter(sample, metainfo, score_thr):
    if 'bboxes' in sample.get('gt_instances', ()):
        return DetectionPainter(metainfo['classes'], score_thr)
    if 'gt_sem_seg' in sample:
        return SegmentationPainter(metainfo['classes'], metainfo['palette'])
    raise UserError('the test set has no ground truth to draw: its pipeline needs LoadAnnotations')
