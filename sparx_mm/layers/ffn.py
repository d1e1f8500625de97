"""Feed-forward networks, which follow the token mixer in a layer."""

import torch
import torch.nn.functional as F
from torch import nn

from ..registry import MODELS
from .depthwise import DepthwiseConv, ResidualDepthwiseConv
from .pointwise import PointwiseConv


@MODELS.register_module()
class ConvFFN(nn.Module):
    """Feed-forward network with a depthwise 3x3 convolution.

    As in PVT v2 (https://arxiv.org/abs/2106.13797); SparX adds the depthwise
    convolution to its input, paper section 3.1.

    Args:
        dim (int): Number of channels C.
        ratio (float): Hidden channels as a multiple of C. Default: 4.
        hidden_channels (int, optional): Hidden channels. None: by ``ratio``.
            Default: None.
        out_channels (int, optional): Number of output channels. None: C.
            Default: None.
        shortcut (bool): Add the depthwise convolution to its input.
            Default: True.
    """

    def __init__(
        self,
        dim: int,
        ratio: float = 4.0,
        hidden_channels: int | None = None,
        out_channels: int | None = None,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        hidden = hidden_channels or int(dim * ratio)
        self.fc1 = PointwiseConv(dim, hidden)
        self.dwconv = ResidualDepthwiseConv(hidden) if shortcut else DepthwiseConv(hidden, 3)
        self.fc2 = PointwiseConv(hidden, out_channels or dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, out_channels, H, W)."""
        return self.fc2(self.dwconv(self.fc1(x), 'gelu'))


@MODELS.register_module()
class MLP(nn.Module):
    """Feed-forward network that sees each position by itself.

    As in Swin Transformer (https://arxiv.org/abs/2103.14030).

    Args:
        dim (int): Number of channels C.
        ratio (float): Hidden channels as a multiple of C. Default: 4.
    """

    def __init__(self, dim: int, ratio: float = 4.0) -> None:
        super().__init__()
        hidden = int(dim * ratio)
        self.fc1 = PointwiseConv(dim, hidden)
        self.fc2 = PointwiseConv(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.fc2(F.gelu(self.fc1(x)))
