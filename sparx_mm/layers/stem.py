"""Stem and downsampling: what makes maps smaller, before and between stages.

Maps of any size are halved upwards, ceil(H / 2): convolutions pad all around,
patches at the bottom and the right.
"""

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from .norm import LayerNorm2d, build_norm


def _conv(in_channels, out_channels, stride):
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


@MODELS.register_module()
class ConvStem(nn.Sequential):
    """Image to features at a quarter of its size, by 3x3 convolutions.

    The first and the last convolution have stride 2; each is followed by a
    norm, all but the last by GELU. (B, in_channels, H, W) becomes
    (B, dim, ceil(H / 4), ceil(W / 4)).

    Args:
        dim (int): Number of output channels; half as many inside.
        norm_cfg (dict): Config of the norms.
        in_channels (int): Number of image channels. Default: 3.
        num_convs (int): Number of convolutions, at least 2. Default: 2.
    """

    def __init__(self, dim: int, norm_cfg: dict, in_channels: int = 3, num_convs: int = 2) -> None:
        if num_convs < 2:
            raise ValueError(
                f'num_convs must be at least 2 (two of them halve the size), got {num_convs}'
            )
        inner = dim // 2
        layers = [_conv(in_channels, inner, 2), build_norm(norm_cfg, inner), nn.GELU()]
        for _ in range(num_convs - 2):
            layers += [_conv(inner, inner, 1), build_norm(norm_cfg, inner), nn.GELU()]
        layers += [_conv(inner, dim, 2), build_norm(norm_cfg, dim)]
        super().__init__(*layers)


@MODELS.register_module()
class ConvDownsample(nn.Sequential):
    """3x3 convolution of stride 2 and a norm, between two stages.

    (B, in_channels, H, W) becomes (B, dim, ceil(H / 2), ceil(W / 2)).

    Args:
        in_channels (int): Number of input channels.
        dim (int): Number of output channels.
        norm_cfg (dict): Config of the norm.
    """

    def __init__(self, in_channels: int, dim: int, norm_cfg: dict) -> None:
        super().__init__(_conv(in_channels, dim, 2), build_norm(norm_cfg, dim))


def _pad_to_multiple(x, side):
    """Zeros at the bottom and right, up to multiples of ``side``."""
    height, width = x.shape[2:]
    return F.pad(x, (0, -width % side, 0, -height % side))


@MODELS.register_module()
class PatchEmbed(nn.Module):
    """Image to features at a quarter of its size: patches of 4x4, embedded.

    As in Swin Transformer (https://arxiv.org/abs/2103.14030).
    (B, in_channels, H, W) becomes (B, dim, ceil(H / 4), ceil(W / 4)).

    Args:
        dim (int): Number of output channels.
        norm_cfg (dict, optional): Unused: patches are layer-normed.
        in_channels (int): Number of image channels. Default: 3.
    """

    def __init__(self, dim: int, norm_cfg: dict | None = None, in_channels: int = 3) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, 4, stride=4)
        self.norm = LayerNorm2d(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed the patches of an image."""
        return self.norm(self.proj(_pad_to_multiple(x, 4)))


@MODELS.register_module()
class PatchMerging(nn.Module):
    """Neighbours of 2x2 joined, layer-normed and projected, between stages.

    As in Swin Transformer (https://arxiv.org/abs/2103.14030).
    (B, in_channels, H, W) becomes (B, dim, ceil(H / 2), ceil(W / 2)).

    Args:
        in_channels (int): Number of input channels C.
        dim (int): Number of output channels.
        norm_cfg (dict, optional): Unused: neighbours are layer-normed.
    """

    def __init__(self, in_channels: int, dim: int, norm_cfg: dict | None = None) -> None:
        super().__init__()
        self.norm = LayerNorm2d(4 * in_channels)
        self.reduction = nn.Conv2d(4 * in_channels, dim, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Merge a (B, C, H, W) map."""
        x = _pad_to_multiple(x, 2)
        height, width = (side // 2 for side in x.shape[2:])
        # (B, C, H, W) -> (B, H/2, W/2, C*2*2), as pixel_unshuffle orders them
        x = x.unflatten(3, (width, 2)).unflatten(2, (height, 2))
        x = x.permute(0, 2, 4, 1, 3, 5).flatten(3)
        # -> (B, C*2*2, H/2, W/2), channels-last
        return self.reduction(self.norm(x.permute(0, 3, 1, 2)))
