"""Gates of CBAM (https://arxiv.org/abs/1807.06521), which scale channels and positions."""

import torch
from torch import nn

from .depthwise import check_side
from .pointwise import PointwiseConv


class ChannelMLP(nn.Sequential):
    """Two linear layers over channels with ReLU between them, without biases.

    Args:
        dim (int): Number of channels C.
        reduction (int): C as a multiple of the hidden channels, rounded down to one at
            least. Default: 16.
    """

    def __init__(self, dim: int, reduction: int = 16) -> None:
        hidden = max(dim // reduction, 1)
        super().__init__(
            PointwiseConv(dim, hidden, bias=False),
            nn.ReLU(),
            PointwiseConv(hidden, dim, bias=False),
        )


class ChannelGate(nn.Module):
    """Scale each channel by a weight from its mean and its maximum.

    Args:
        dim (int): Number of channels C.
        reduction (int): C as a multiple of the hidden channels. Default: 16.
    """

    def __init__(self, dim: int, reduction: int = 16) -> None:
        super().__init__()
        self.mlp = ChannelMLP(dim, reduction)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        mean, largest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return x * (self.mlp(mean) + self.mlp(largest)).sigmoid()


class SpatialGate(nn.Module):
    """Scale each position by a weight from the mean and the maximum of channels around it.

    Args:
        kernel_size (int): Side of the convolution's kernel, odd. Default: 7.

    Raises:
        ConfigError: If ``kernel_size`` is not odd.
    """

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        check_side(kernel_size, "a spatial gate's kernel (gate_kernel of a mixer)")
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.conv(pooled).sigmoid()
