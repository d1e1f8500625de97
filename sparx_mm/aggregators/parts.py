"""Parts that several aggregators are built of."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import is_traced

from ..errors import ConfigError
from ..layers import DepthwiseConv, GroupNorm, PointwiseConv, build_norm


class Aggregator(nn.Module):
    """Base of the aggregators here; one of a user's own needs no base.

    Args:
        num_sources (int): Number of earlier layers read.

    Raises:
        ConfigError: If ``num_sources`` is below 1.
    """

    def __init__(self, num_sources: int) -> None:
        super().__init__()
        check_num_sources(num_sources)

    def forward(self, x: torch.Tensor, sources: Sequence[torch.Tensor]) -> torch.Tensor:
        """Make the mixer's input of this layer's and earlier layers' maps.

        Args:
            x (Tensor): This layer's normed map, (B, C, H, W).
            sources (Sequence[Tensor]): ``num_sources`` maps, each
                (B, C, H, W), in the order of the connection rule.

        Returns:
            Tensor: Map of shape (B, out_channels, H, W).
        """
        raise NotImplementedError


def check_num_sources(num_sources: int) -> None:
    """Raise unless an aggregator has sources.

    Args:
        num_sources (int): Number of earlier layers read.

    Raises:
        ConfigError: If it is below 1.
    """
    if num_sources < 1:
        raise ConfigError(f'num_sources must be at least 1, got {num_sources}')


def check_reduction(reduction: int) -> None:
    """Check a spatial reduction.

    Args:
        reduction (int): Factor by which each side shrinks.

    Raises:
        ConfigError: If it is not an int from 1.
    """
    if not isinstance(reduction, int) or reduction < 1:
        raise ConfigError(
            'reduction of an aggregator must be an int from 1, or in connections.aggregator of an '
            f'arch a sequence with one for each stage, got {reduction!r}'
        )


class SourceProjection(Aggregator):
    """Base of aggregators that make keys or values of all earlier layers.

    The sources are concatenated, group-normed and projected by a depthwise
    3x3 convolution, norm, GELU, a 1x1 convolution and GELU.

    Args:
        dim (int): Number of channels C.
        num_sources (int): Number of earlier layers read, at least 1.
        num_maps (int): Number of maps to make of them.
        norm_cfg (dict): Config of the batch norm.

    Raises:
        ConfigError: If ``num_sources`` is below 1.
    """

    def __init__(self, dim: int, num_sources: int, num_maps: int, norm_cfg: dict) -> None:
        super().__init__(num_sources)
        total = dim * num_sources
        self.num_maps = num_maps
        self.source_norm = GroupNorm(1, total)
        self.source_proj = nn.Sequential(
            DepthwiseConv(total, 3, bias=False),
            build_norm(norm_cfg, total),
            nn.GELU(),
            PointwiseConv(total, num_maps * dim),
            nn.GELU(),
        )

    def project_sources(self, sources: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Make ``num_maps`` maps of the sources, each (B, C, H, W).

        Args:
            sources (Sequence[Tensor]): Maps of shape (B, C, H, W).

        Returns:
            tuple[Tensor]: The maps.
        """
        y = self.source_proj(self.source_norm(torch.cat(sources, dim=1)))
        return y.chunk(self.num_maps, dim=1)


def conv_norm(in_channels: int, out_channels: int, norm_cfg: dict) -> tuple[nn.Module, nn.Module]:
    """Make a 1x1 convolution without bias, and its norm.

    Args:
        in_channels (int): Number of input channels.
        out_channels (int): Number of output channels.
        norm_cfg (dict): Config of the norm.

    Returns:
        tuple[nn.Module, nn.Module]: Convolution and norm.
    """
    conv = PointwiseConv(in_channels, out_channels, bias=False)
    return conv, build_norm(norm_cfg, out_channels)


def spatial_reducer(dim: int, reduction: int, norm_cfg: dict) -> nn.Module:
    """Make a strided depthwise convolution whose windows overlap by one.

    Args:
        dim (int): Number of channels C.
        reduction (int): Stride r; its kernel has the side r + 1.
        norm_cfg (dict): Config of the batch norm.

    Returns:
        nn.Module: Convolution, norm and GELU, from (B, C, H, W) to
        (B, C, ceil(H / r), ceil(W / r)), for odd r floor(H / r) + 1 and likewise; the
        identity if r = 1.
    """
    check_reduction(reduction)
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
            DepthwiseConv(3 * dim, 3),
            # GELU's place, which the convolution computes
            nn.Identity(),
            nn.Conv2d(3 * dim, out_channels // 3 * 3, 1, groups=3),
        )
        self.num_means = out_channels % 3

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        """Map three (B, C, H, W) maps to (B, out_channels, H, W)."""
        conv, _, proj = self
        x = proj(conv(shuffle_channels(torch.cat(maps, dim=1)), 'gelu'))
        if self.num_means == 0:
            return x
        if is_traced():
            # the same windows, because ONNX pools to one mean alone
            count, side = self.num_means, proj.out_channels
            windows = [x[:, i * side // count : -(-(i + 1) * side // count)] for i in range(count)]
            return torch.cat([x, *(w.mean(1, keepdim=True) for w in windows)], dim=1)
        # (B, 3n, H, W) -> (B, H*W, 3n) -> (B, H*W, means)
        means = F.adaptive_avg_pool1d(x.permute(0, 2, 3, 1).flatten(1, 2), self.num_means)
        # -> (B, H, W, means) -> (B, means, H, W), channels-last also if one
        means = means.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return torch.cat([x, means], dim=1)


def shuffle_channels(x: torch.Tensor) -> torch.Tensor:
    """Reorder channels (C, 3) to (3, C).

    Args:
        x (Tensor): Map of shape (B, 3C, H, W).

    Returns:
        Tensor: Map of the same shape, in the memory format of ``x``.
    """
    if is_traced():
        # ONNX has no shuffle. With sizes, because torch's exporter takes those of an
        # unflattened map for constants
        batch, channels, height, width = x.shape
        # (B, 3C, H, W) -> (B, C, 3, H, W) -> (B, 3C, H, W)
        x = x.reshape(batch, channels // 3, 3, height, width).transpose(1, 2)
        return x.reshape(batch, channels, height, width)
    if x.is_contiguous():
        return torch.channel_shuffle(x, x.shape[1] // 3)
    # torch's own makes a contiguous map of a channels-last one on a GPU
    # (B, 3C, H, W) -> (B, H, W, C, 3) -> (B, H, W, 3C) -> (B, 3C, H, W)
    x = x.permute(0, 2, 3, 1).unflatten(-1, (-1, 3)).transpose(-1, -2).flatten(-2)
    return x.permute(0, 3, 1, 2)
