"""The projection of a normal layer."""

from collections.abc import Sequence

import torch
from mmengine.registry import MODELS
from torch import nn


@MODELS.register_module()
class LinearProjection(nn.Conv2d):
    """1x1 convolution that reads no other layer.

    Args:
        dim (int): Number of channels C.
        out_channels (int): Number of channels the mixer reads.
    """

    def __init__(self, dim: int, out_channels: int) -> None:
        super().__init__(dim, out_channels, 1)

    def forward(self, x: torch.Tensor, sources: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        """Project.

        Args:
            x (Tensor): Map of shape (B, C, H, W).
            sources (Sequence[Tensor]): Ignored: a normal layer has none.

        Returns:
            Tensor: Map of shape (B, out_channels, H, W).
        """
        return super().forward(x)
