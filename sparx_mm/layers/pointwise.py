"""Convolution of 1x1: a linear layer at each position."""

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import is_traced


def pointwise(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Convolve a map with kernels of 1x1.

    A channels-last map is a matrix of tokens, and its convolution one product, where
    torch's goes image by image on a CPU, and adds the bias in a pass of its own on a GPU.
    A float32 network on a GPU keeps torch's convolution, because the convolution may
    round to TF32, and so does a traced or exported one, whose runtimes know
    convolutions.

    Args:
        x (Tensor): Map of shape (B, C, H, W).
        weight (Tensor): Kernels of shape (out_channels, C, 1, 1).
        bias (Tensor, optional): Bias of shape (out_channels,). Default: None.

    Returns:
        Tensor: Map of shape (B, out_channels, H, W), in the memory format of ``x``.
    """
    if x.stride(1) != 1 or not _suits_product(x):
        return F.conv2d(x, weight, bias)
    # (B, C, H, W) -> (B, H, W, out_channels) -> (B, out_channels, H, W)
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def _suits_product(x: torch.Tensor) -> bool:
    if is_traced():
        return False
    narrow = x.is_cuda and (x.itemsize == 2 or torch.is_autocast_enabled('cuda'))
    return x.device.type == 'cpu' or narrow


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
