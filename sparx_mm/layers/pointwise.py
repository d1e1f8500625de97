"""Convolution of 1x1: a linear layer at each position."""

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import is_traced


def pointwise(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Convolve a map with kernels of 1x1.

    A channels-last map on a CPU is a matrix of tokens, and its convolution one
    product, where torch's takes a slower way, image by image. Elsewhere it is
    torch's, also in a traced or exported network, whose runtimes know convolutions.

    Args:
        x (Tensor): Map of shape (B, C, H, W).
        weight (Tensor): Kernels of shape (out_channels, C, 1, 1).
        bias (Tensor, optional): Bias of shape (out_channels,). Default: None.

    Returns:
        Tensor: Map of shape (B, out_channels, H, W), in the memory format of ``x``.
    """
    if x.device.type != 'cpu' or x.stride(1) != 1 or is_traced():
        return F.conv2d(x, weight, bias)
    # (B, C, H, W) -> (B, H, W, out_channels) -> (B, out_channels, H, W)
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


class PointwiseConv(nn.Conv2d):
    """1x1 convolution, from (B, C, H, W) to (B, out_channels, H, W).

    Args:
        in_channels (int): Number of input channels C.
        out_channels (int): Number of output channels.
        bias (bool): Learn a bias. Default: True.
        linear (bool): Start as a backbone's linear layers do. False: as its
            convolutions. Default: True.
    """

    def __init__(
        self, in_channels: int, out_channels: int, bias: bool = True, linear: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, 1, bias=bias)
        self.linear = linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, out_channels, H, W)."""
        return pointwise(x, self.weight, self.bias)
