"""What several aggregators are built of."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..layers import GroupNorm, build_norm


def check_num_sources(num_sources: int) -> None:
    """Refuse an aggregator that has nothing to aggregate.

    Args:
        num_sources (int): Number of earlier layers read.

    Raises:
        ValueError: If it is below 1.
    """
    if num_sources < 1:
        raise ValueError(f'num_sources must be at least 1, got {num_sources}')


class SourceProjection(nn.Module):
    """Base of aggregators that make keys or values of all earlier layers.

    The sources are concatenated, group-normed and projected by a depthwise
    3x3 convolution, norm, GELU, a 1x1 convolution and GELU.

    Args:
        dim (int): Number of channels C.
        num_sources (int): Number of earlier layers read, at least 1.
        num_maps (int): Number of maps that are made of them.
        norm_cfg (dict): Config of the batch norm.

    Raises:
        ValueError: If ``num_sources`` is below 1.
    """

    def __init__(self, dim: int, num_sources: int, num_maps: int, norm_cfg: dict) -> None:
        super().__init__()
        check_num_sources(num_sources)
        total = dim * num_sources
        self.num_maps = num_maps
        self.source_norm = GroupNorm(1, total)
        self.source_proj = nn.Sequential(
            nn.Conv2d(total, total, 3, padding=1, groups=total, bias=False),
            build_norm(norm_cfg, total),
            nn.GELU(),
            nn.Conv2d(total, num_maps * dim, 1),
            nn.GELU(),
        )

    def project_sources(self, sources: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Make ``num_maps`` maps of the sources, each (B, C, H, W)."""
        y = self.source_proj(self.source_norm(torch.cat(sources, dim=1)))
        return y.chunk(self.num_maps, dim=1)


def conv_norm(in_channels: int, out_channels: int, norm_cfg: dict) -> tuple[nn.Module, nn.Module]:
    """1x1 convolution without bias, and its norm."""
    conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return conv, build_norm(norm_cfg, out_channels)


def spatial_reducer(dim: int, reduction: int, norm_cfg: dict) -> nn.Module:
    """Strided depthwise convolution whose windows overlap by one.

    Args:
        dim (int): Number of channels C.
        reduction (int): Stride r; its kernel has the side r + 1.
        norm_cfg (dict): Config of the batch norm.

    Returns:
        nn.Module: Convolution, norm and GELU, from (B, C, H, W) to
        (B, C, ceil(H / r), ceil(W / r)), or nothing where r = 1.
    """
    if reduction == 1:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(
            dim,
            dim,
            reduction + 1,
            stride=reduction,
            padding=(reduction + 1) // 2,
            groups=dim,
            bias=False,
        ),
        build_norm(norm_cfg, dim),
        nn.GELU(),
    )


class ShuffleFuse(nn.Sequential):
    """Shuffle three maps' channels together and project them.

    The last convolution has three groups, so it makes a multiple of three
    channels; the one or two that are then missing are means over its output.

    Args:
        dim (int): Number of channels C of each map.
        out_channels (int): Number of output channels.
    """

    def __init__(self, dim: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim),
            nn.GELU(),
            nn.Conv2d(3 * dim, out_channels // 3 * 3, 1, groups=3),
        )
        self.num_means = out_channels % 3

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        """Map three (B, C, H, W) maps to (B, out_channels, H, W)."""
        x = torch.cat(maps, dim=1)
        # channels (C, 3) -> (3, C), in either memory format
        x = super().forward(torch.channel_shuffle(x, x.shape[1] // 3))
        if self.num_means == 0:
            return x
        # (B, 3n, H, W) -> (B, H*W, 3n) -> (B, H*W, means)
        means = F.adaptive_avg_pool1d(x.permute(0, 2, 3, 1).flatten(1, 2), self.num_means)
        # -> (B, H, W, means) -> (B, means, H, W), channels-last also if one
        means = means.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return torch.cat([x, means], dim=1)
