"""Heads that classify images or pixels: what they return, their losses and their metrics."""

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads import SegformerHead
from torch import nn

from .data import IGNORED


class Classifier(nn.Linear):
    """Linear classifier of the mean of the last map; its metric is the accuracy.

    Of uneven classes it is the mean of theirs, so that a constant answer has 1 / K.

    Args:
        maps (Sequence[Tensor]): Maps of the backbone, for their channels.
        data (Data): Data set of the task.
    """

    def __init__(self, maps, data):
        super().__init__(maps[-1].shape[1], len(data.classes))
        self.is_uneven = data.is_uneven

    def forward(self, maps, size):
        """Return scores of the classes, (B, K).

        Args:
            maps (Sequence[Tensor]): Maps of the backbone.
            size (tuple[int, int]): Height and width of the images.
        """
        return super().forward(maps[-1].mean((2, 3)))

    def loss(self, scores, labels):
        """Return the loss.

        Args:
            scores (Tensor): From `forward`.
            labels (Tensor): Classes, (B,).
        """
        return F.cross_entropy(scores.float(), labels)

    def predict(self, scores):
        """Return the class of each image.

        Args:
            scores (Tensor): From `forward`.
        """
        return scores.argmax(1)

    def metric(self, predicted, labels):
        """Return the accuracy.

        Args:
            predicted (list[Tensor]): From `predict`, for each image.
            labels (Tensor): Classes, (N,).
        """
        right = (torch.stack(predicted) == labels).float()
        if self.is_uneven:
            right = torch.stack([right[labels == c].mean() for c in labels.unique()])
        return right.mean().item()


class Segmentor(nn.Module):
    """Segformer's head; its metric is the mean IoU of the classes that occur.

    Args:
        maps (Sequence[Tensor]): Maps of the backbone, for their channels.
        data (Data): Data set of the task.
    """

    def __init__(self, maps, data):
        super().__init__()
        self.head = SegformerHead(
            in_channels=[m.shape[1] for m in maps],
            in_index=list(range(len(maps))),
            channels=32,
            num_classes=len(data.classes),
            dropout_ratio=0,
            norm_cfg=dict(type='BN'),
        )
        self.register_buffer('weights', class_weights(data))

    def forward(self, maps, size):
        """Return scores of the classes, (B, K, H, W).

        Args:
            maps (Sequence[Tensor]): Maps of the backbone.
            size (tuple[int, int]): Height and width of the images.
        """
        return F.interpolate(self.head(maps), size, mode='bilinear')

    def loss(self, scores, labels):
        """Return the loss.

        Args:
            scores (Tensor): From `forward`.
            labels (Tensor): Label maps, (B, H, W).
        """
        return F.cross_entropy(scores.float(), labels, self.weights, ignore_index=IGNORED)

    def predict(self, scores):
        """Return the class of each pixel, (B, H, W).

        Args:
            scores (Tensor): From `forward`.
        """
        return scores.argmax(1).byte()

    def metric(self, predicted, labels):
        """Return the mean IoU.

        Args:
            predicted (list[Tensor]): From `predict`, for each image.
            labels (Tensor): Label maps, (N, H, W).
        """
        known = labels != IGNORED
        return mean_iou(labels[known].long(), torch.stack(predicted)[known].long())


def class_weights(data):
    """Return weights of the classes of pixels: 1 over the root of how many there are.

    Args:
        data (Data): Data set of a segmentation.
    """
    labels = data.train.labels
    counts = torch.bincount(labels[labels != IGNORED].long(), minlength=len(data.classes))
    return counts.clamp(min=1).float().rsqrt() * counts.max().sqrt()


def mean_iou(labels, predicted):
    """Return the mean, over the classes that labels or predictions have, of their IoU.

    Args:
        labels (Tensor): Classes of pixels, (N,).
        predicted (Tensor): Predictions of them.
    """
    size = int(max(labels.max(), predicted.max())) + 1
    table = torch.bincount(labels * size + predicted, minlength=size**2).view(size, size)
    union = table.sum(0) + table.sum(1) - table.diag()
    return (table.diag()[union > 0] / union[union > 0]).mean().item()
