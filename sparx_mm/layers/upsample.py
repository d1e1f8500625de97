"""Upsampling: what enlarges the map between two stages of a decoder."""

import torch
import torch.nn.functional as F
from torch import nn

from .norm import LayerNorm2d
from .pointwise import PointwiseConv


class PatchExpand(nn.Module):
    """Each position projected to a square of positions, then layer-normed.

    As in VM-UNet (https://arxiv.org/abs/2402.02491), the inverse of patch merging.
    (B, C, H, W) becomes (B, C / factor, H * factor, W * factor).

    Args:
        dim (int): Number of input channels C, a multiple of ``factor``.
        factor (int): Rows and columns of the square. Default: 2.
    """

    def __init__(self, dim: int, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        self.expand = PointwiseConv(dim, factor * dim, bias=False)
        self.norm = LayerNorm2d(dim // factor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C / factor, H * factor, W * factor)."""
        # (B, c*P*P, H, W) -> (B, c, H*P, W*P)
        return self.norm(F.pixel_shuffle(self.expand(x), self.factor))
