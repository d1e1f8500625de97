"""A picture of what a model predicts of validation images."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import nn

from ..demo.predictions import draw_predictions
from ..demo.sheet import draw_row, enlarge

# images in a picture
MAX_IMAGES = 6


def draw_validation(model: nn.Module, dataset: BaseDataset) -> np.ndarray:
    """Draw what a model predicts of a few images, spread over a set.

    Args:
        model (nn.Module): Detector, segmentor or classifier.
        dataset (BaseDataset): Validation set with ground truth.

    Returns:
        ndarray: Picture of shape (H, W, 3): BGR, uint8.
    """
    step = math.ceil(len(dataset) / MAX_IMAGES)
    indices = range(0, len(dataset), step)
    if hasattr(model, 'head') and not hasattr(model, 'bbox_head'):
        return draw_classes(model, dataset, indices)
    return draw_predictions(model, dataset, indices)


@torch.no_grad()
def draw_classes(
    model: nn.Module, dataset: BaseDataset, indices: Sequence[int], height: int = 256
) -> np.ndarray:
    """Draw images under their classes and what a classifier takes them for.

    Args:
        model (nn.Module): Classifier of mmpretrain.
        dataset (BaseDataset): Test set.
        indices (Sequence[int]): Numbers of the images to draw.
        height (int): Height of each image in pixels. Default: 256.

    Returns:
        ndarray: Picture of shape (H, W, 3): BGR, uint8.
    """
    # imported lazily: detectors and segmentors are drawn without mmpretrain
    from mmpretrain.visualization import UniversalVisualizer

    model.eval()
    visualizer = UniversalVisualizer()
    visualizer.dataset_meta = dataset.metainfo
    tiles = []
    for index in indices:
        sample = model.test_step(pseudo_collate([dataset[index]]))[0].cpu()
        image = enlarge(cv2.imread(sample.img_path, cv2.IMREAD_COLOR), height)
        # it takes and returns RGB
        visualizer.visualize_cls(image[..., ::-1], sample, rescale_factor=None)
        tiles.append(visualizer.get_image()[..., ::-1])
    return draw_row('ground truth and prediction', tiles, height)
