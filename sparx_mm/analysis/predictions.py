"""A picture of what a detector predicts, beside the ground truth."""
import os
import os.path as osp
from typing import List, Sequence

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import nn

from sparx_mm.errors import UserError

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
GAP = 6


@torch.no_grad()
def draw_predictions(model: nn.Module,
                     dataset: BaseDataset,
                     indices: Sequence[int],
                     score_thr: float = 0.5,
                     height: int = 256) -> np.ndarray:
    """Draw images in columns: ground truth above, predictions below.

    Args:
        model (nn.Module): A detector of mmdet, with or without masks.
        dataset (BaseDataset): A test set whose pipeline loads annotations.
        indices (Sequence[int]): Which of its images.
        score_thr (float): Lowest score that is drawn. Default: 0.5.
        height (int): Of each image in the picture, in pixels. Default: 256.

    Returns:
        ndarray: The picture: BGR, uint8, (H, W, 3).
    """
    model.eval()
    names = dataset.metainfo['classes']
    top, bottom = [], []
    for index in indices:
        sample = model.test_step(pseudo_collate([dataset[index]]))[0].cpu()
        image = cv2.imread(sample.img_path, cv2.IMREAD_COLOR)
        truth, found = sample.gt_instances, sample.pred_instances
        found = found[found.scores >= score_thr]
        top.append(_draw(image, truth, names, height))
        bottom.append(_draw(image, found, names, height))
    rows = [
        _row('ground truth', top),
        _row(f'prediction (score at least {score_thr:g})', bottom)
    ]
    return np.concatenate(rows)


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
        raise UserError(f'the picture {path} cannot be written: give another '
                        'folder, or an ending like .png')


def _row(title: str, tiles: List[np.ndarray]) -> np.ndarray:
    # a gap to the right of each tile and below
    tiles = [
        np.pad(tile, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)
        for tile in tiles
    ]
    row = np.concatenate(tiles, axis=1)
    header = np.full((28, row.shape[1], 3), 255, np.uint8)
    cv2.putText(header, title, (4, 20), FONT, 0.6, BLACK, 1, cv2.LINE_AA)
    return np.concatenate([header, row])


def _draw(image, instances, names, height):
    """Paint masks, boxes, classes and scores onto an enlarged image."""
    scale = height / image.shape[0]
    width = max(round(image.shape[1] * scale), 1)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes) * scale
    labels = instances.labels.tolist()
    for label, mask in zip(labels, _masks(instances)):
        mask = cv2.resize(mask.astype(np.uint8), (width, height))
        color = _color(label, len(names))
        image[mask > 0] = 0.5 * image[mask > 0] + 0.5 * np.array(color)
        lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP,
                                    cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, lines, -1, color, 2)
    boxes = boxes.round().int().tolist()
    scores = instances.get('scores', [None] * len(labels))
    for label, score, box in zip(labels, scores, boxes):
        text = names[label] + ('' if score is None else f' {score:.2f}')
        cv2.rectangle(image, box[:2], box[2:], _color(label, len(names)), 1)
        x, y = max(box[0], 2), max(box[1] - 3, 10)
        # white on a black edge reads on any background
        cv2.putText(image, text, (x, y), FONT, 0.4, BLACK, 3, cv2.LINE_AA)
        cv2.putText(image, text, (x, y), FONT, 0.4, WHITE, 1, cv2.LINE_AA)
    return image


def _masks(instances) -> np.ndarray:
    """(N, H, W), N = 0 for a detector without masks."""
    masks = instances.get('masks', ())
    # ground truth has them in mmdet's BitmapMasks
    return np.asarray(getattr(masks, 'masks', masks))


def _color(label: int, num_classes: int):
    hsv = np.uint8([[[label * 180 // num_classes, 255, 230]]])
    return tuple(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].tolist())
