"""The forward pass of segmentors, and pooling that runtimes know for any size."""

import torch
import torch.nn.functional as F
from torch import nn


class Segmentor(nn.Module):
    """Encoder and decoder of mmseg.

    Args:
        model (nn.Module): The segmentor.
        labels (bool): Return classes instead of logits. Default: False.
    """

    def __init__(self, model: nn.Module, labels: bool = False) -> None:
        super().__init__()
        self.model, self.labels = model, labels
        self.outputs = ('labels',) if labels else ('logits',)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Segment.

        Args:
            images (Tensor): Normalised images of shape (B, 3, H, W).

        Returns:
            Tensor: Logits of shape (B, C, H, W), or classes of shape (B, H, W), int64.
        """
        head = self.model.decode_head
        logits, size = head(self.model.extract_feat(images)), images.shape[2:]
        if hasattr(head, 'fit_logits'):
            logits = head.fit_logits(logits, size)
        else:
            logits = F.interpolate(logits, size, mode='bilinear', align_corners=head.align_corners)
        if not self.labels:
            return logits
        if head.out_channels == 1:
            return (logits.sigmoid() > head.threshold).long()[:, 0]
        return logits.argmax(1)


class MatrixPool2d(nn.Module):
    """Adaptive average pooling as two matrix products, because ONNX has it to 1x1 alone.

    Args:
        size (int): Rows and columns of the result.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Average a (B, C, H, W) map over size * size windows."""
        rows, columns = (_windows(side, self.size).to(x) for side in x.shape[2:])
        return rows @ x @ columns.transpose(0, 1)


def _windows(side: int, size: int) -> torch.Tensor:
    """Return the weights (size, side) of windows that pooling averages over."""
    places = torch.arange(side)
    number = torch.arange(size).unsqueeze(1)
    start = number * side // size
    # rounded up, without the negative numbers of which runtimes round the quotient otherwise
    end = ((number + 1) * side + size - 1) // size
    inside = ((places >= start) & (places < end)).float()
    return inside / inside.sum(1, keepdim=True)


def replace_layers(model: nn.Module) -> nn.Module:
    """Replace, in place, the layers that a trace would make for one size of image.

    They are adaptive average pooling to more than one position, and mmseg's upsampling by a
    factor, whose sizes are integers of Python.

    Args:
        model (nn.Module): A model.

    Returns:
        nn.Module: The model.
    """
    # imported lazily, because detectors need no mmseg
    from mmseg.models.utils import Upsample

    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size not in (1, (1, 1)):
                size = child.output_size
                setattr(module, name, MatrixPool2d(size if isinstance(size, int) else size[0]))
            elif type(child) is Upsample and not child.size:
                factor = child.scale_factor
                setattr(module, name, nn.Upsample(None, factor, child.mode, child.align_corners))
    return model
