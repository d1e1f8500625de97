"""Position encodings, with which a layer may start."""

import torch
from torch import nn


class DynamicPositionEncoding(nn.Conv2d):
    """Residual depthwise 3x3 convolution (DPE).

    Conditional positional encodings, https://arxiv.org/abs/2102.10882;
    paper section 3.1.

    Args:
        dim (int): Number of channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + super().forward(x)
