"""Feed-forward networks, which follow the token mixer in a layer."""

import torch
import torch.nn.functional as F
from torch import nn

from ..registry import MODELS
from .depthwise import DepthwiseConv, ResidualDepthwiseConv
from .norm import build_norm
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


@MODELS.register_module()
class EFFN(nn.Module):
    """Feed-forward network of few channels with two sizes of depthwise convolutions.

    E-FFN of CVMH-UNet (https://arxiv.org/abs/2410.05624): 1x1 to the hidden channels,
    depthwise 3x3 and 5x5 side by side, their sum, 1x1 back. A norm and ReLU6 follow each
    convolution. Inferred, because no code is public: C / 4 hidden channels, with which the
    printed parameters are met, and the norms and activations, which are those of CMTFNet's
    block of the same name.

    Args:
        dim (int): Number of channels C.
        ratio (float): Hidden channels as a multiple of C. Default: 0.25.
        last_activation (bool): End with ReLU6, so that what is added is never negative.
            False: with the norm. Default: True.
        norm_cfg (dict): Config of the norms. Default: ``dict(type='BN')``.

    Attributes:
        owns_norm (bool): True: a layer has no norm before this network.
    """

    owns_norm = True

    def __init__(
        self,
        dim: int,
        ratio: float = 0.25,
        last_activation: bool = True,
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        super().__init__()
        hidden = max(int(dim * ratio), 1)

        def block(conv):
            return nn.Sequential(conv, build_norm(norm_cfg, conv.out_channels), nn.ReLU6())

        self.fc1 = block(PointwiseConv(dim, hidden, bias=False, linear=False))
        self.dwconvs = nn.ModuleList(
            block(DepthwiseConv(hidden, side, bias=False)) for side in (3, 5)
        )
        self.fc2 = block(PointwiseConv(hidden, dim, bias=False, linear=False))
        if not last_activation:
            self.fc2 = self.fc2[:-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to the same shape."""
        x = self.fc1(x)
        return self.fc2(sum(conv(x) for conv in self.dwconvs))
