"""Downsampling: what halves the map between two stages, ceil(H / 2)."""

from collections import OrderedDict

import torch
from torch import nn

from ..registry import MODELS
from .norm import LayerNorm2d, build_norm
from .pointwise import PointwiseConv
from .stem import conv3x3, pad_to_multiple


@MODELS.register_module()
class ConvDownsample(nn.Sequential):
    """3x3 convolution of stride 2 and a norm.

    (B, in_channels, H, W) becomes (B, dim, ceil(H / 2), ceil(W / 2)).

    Args:
        in_channels (int): Number of input channels.
        dim (int): Number of output channels.
        bias (bool): Learn a bias of the convolution. Default: False.
        norm_cfg (dict): Config of the norm. Default: ``dict(type='BN')``.
    """

    def __init__(
        self, in_channels: int, dim: int, bias: bool = False, norm_cfg: dict = dict(type='BN')
    ) -> None:
        super().__init__(conv3x3(in_channels, dim, 2, bias), build_norm(norm_cfg, dim))


@MODELS.register_module()
class InvertedDownsample(nn.Sequential):
    """Widening, depthwise convolution of stride 2 and narrowing, then a norm.

    As in VSSD (https://arxiv.org/abs/2407.18559). ReLU follows the first two
    convolutions. (B, in_channels, H, W) becomes (B, dim, ceil(H / 2), ceil(W / 2)).

    Args:
        in_channels (int): Number of input channels.
        dim (int): Number of output channels.
        ratio (float): Channels inside as a multiple of ``dim``. Default: 4.
        norm_cfg (dict): Config of the norm. Default: ``dict(type='BN')``.
    """

    def __init__(
        self, in_channels: int, dim: int, ratio: float = 4.0, norm_cfg: dict = dict(type='BN')
    ) -> None:
        hidden = int(dim * ratio)
        super().__init__(
            OrderedDict(
                expand=PointwiseConv(in_channels, hidden, linear=False),
                act1=nn.ReLU(),
                depthwise=nn.Conv2d(hidden, hidden, 3, stride=2, padding=1, groups=hidden),
                act2=nn.ReLU(),
                reduce=PointwiseConv(hidden, dim, linear=False),
                norm=build_norm(norm_cfg, dim),
            )
        )


@MODELS.register_module()
class PatchMerging(nn.Module):
    """2x2 neighbours joined, layer-normed and projected.

    As in Swin Transformer (https://arxiv.org/abs/2103.14030).
    (B, in_channels, H, W) becomes (B, dim, ceil(H / 2), ceil(W / 2)).

    Args:
        in_channels (int): Number of input channels C.
        dim (int): Number of output channels.
    """

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(4 * in_channels)
        self.reduction = PointwiseConv(4 * in_channels, dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, dim, ceil(H / 2), ceil(W / 2))."""
        x = pad_to_multiple(x, 2)
        if torch.jit.is_tracing():
            # torch's exporter to ONNX takes the sizes below as constants
            parts = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
            # (B, C, 2*2, H/2, W/2) -> (B, C*2*2, H/2, W/2)
            return self.reduction(self.norm(torch.stack(parts, 2).flatten(1, 2)))
        height, width = (side // 2 for side in x.shape[2:])
        # (B, C, H, W) -> (B, H/2, W/2, C*2*2), as pixel_unshuffle orders them
        x = x.unflatten(3, (width, 2)).unflatten(2, (height, 2))
        x = x.permute(0, 2, 4, 1, 3, 5).flatten(3)
        # -> (B, C*2*2, H/2, W/2), channels-last
        return self.reduction(self.norm(x.permute(0, 3, 1, 2)))
