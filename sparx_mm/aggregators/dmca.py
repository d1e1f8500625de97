"""Dynamic Multi-layer Channel Aggregator; paper section 3.1, equation 1."""
from typing import Sequence, Union

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import nn

from sparx_mm.kernels import without_autocast

from ..layers import build_norm

# the released detectors' start value: tokens of a 1333x800 image at stride 4,
# reduced eightfold each way
_LEARNABLE_SCALE_INIT = ((800 * 1333 / 16) / 64)**-0.5


@MODELS.register_module()
class DMCA(nn.Module):
    """Dynamic Multi-layer Channel Aggregator.

    Channels of this layer attend to channels of earlier layers, in groups.
    The scale stands before the softmax, as in the released models (the
    paper prints it after).

    Args:
        dim (int): Number of channels C; a multiple of ``num_groups``.
        num_sources (int): Number of earlier layers read, at least 1.
        out_channels (int): Number of channels the mixer reads.
        reduction (int): Spatial reduction r of query and key per side;
            1 is none. Default: 1.
        attn_scale (str): ``'length'``: the inverse root of the number of
            reduced tokens; ``'learnable'``: a parameter, as in the released
            detectors. Default: ``'length'``.
        num_groups (int): Number of attention groups. Default: 4.
        norm_cfg (dict): Config of the batch norms.
            Default: ``dict(type='BN')``.

    Raises:
        ValueError: If ``dim`` cannot be grouped, ``num_sources`` is below 1
            or ``attn_scale`` is unknown.
    """

    def __init__(
        self,
        dim: int,
        num_sources: int,
        out_channels: int,
        reduction: int = 1,
        attn_scale: str = 'length',
        num_groups: int = 4,
        norm_cfg: dict = dict(type='BN')) -> None:
        super().__init__()
        if dim % num_groups:
            raise ValueError(f'dim must be a multiple of num_groups '
                             f'({num_groups}), got {dim}')
        if num_sources < 1:
            raise ValueError(
                f'num_sources must be at least 1, got {num_sources}')
        if attn_scale not in ('length', 'learnable'):
            raise ValueError("attn_scale must be 'length' or 'learnable', "
                             f'got {attn_scale!r}')
        self.num_groups = num_groups
        if attn_scale == 'learnable':
            self.scale = nn.Parameter(torch.tensor([_LEARNABLE_SCALE_INIT]))
        else:
            self.scale = None
        total = dim * num_sources
        self.source_norm = nn.GroupNorm(1, total)
        self.source_proj = nn.Sequential(
            nn.Conv2d(total, total, 3, padding=1, groups=total, bias=False),
            build_norm(norm_cfg, total), nn.GELU(),
            nn.Conv2d(total, 2 * dim, 1), nn.GELU())
        self.q = nn.Sequential(
            _reducer(dim, reduction, norm_cfg), *_pointwise(dim, norm_cfg))
        self.k = nn.Sequential(
            _reducer(dim, reduction, norm_cfg), *_pointwise(dim, norm_cfg))
        self.v = nn.Sequential(*_pointwise(dim, norm_cfg))
        self.fuse = _ShuffleFuse(dim, out_channels)

    def forward(self, x: torch.Tensor,
                sources: Sequence[torch.Tensor]) -> torch.Tensor:
        """Aggregate.

        Args:
            x (Tensor): This layer's normed map, (B, C, H, W).
            sources (Sequence[Tensor]): ``num_sources`` maps, each
                (B, C, H, W), in the order of the connection rule.

        Returns:
            Tensor: Map of shape (B, out_channels, H, W).
        """
        y = self.source_proj(self.source_norm(torch.cat(sources, dim=1)))
        key, value = y.chunk(2, dim=1)
        q, k, v = self.q(x), self.k(key), self.v(value)
        z = channel_attention(q, k, v, self.num_groups, self.scale)
        # as trained: a query of full size stands in for x, also where the
        # map is too small for the reduction to change it
        if q.shape == x.shape:
            x = q
        return self.fuse(x, z, v)


def channel_attention(q: torch.Tensor,
                      k: torch.Tensor,
                      v: torch.Tensor,
                      num_groups: int,
                      scale: Union[torch.Tensor, None] = None) -> torch.Tensor:
    """Attention between channels, within groups of channels.

    ``softmax(scale * q @ k.T) @ v`` for each contiguous group of c = C /
    num_groups channels; the attention map is (c, c) whatever the size of
    the image.

    Args:
        q (Tensor): Queries, (B, C, h, w).
        k (Tensor): Keys, (B, C, h, w).
        v (Tensor): Values, (B, C, H, W).
        num_groups (int): Number of groups.
        scale (Tensor, optional): Scale, of one element. None: the inverse
            root of h * w.

    Returns:
        Tensor: Map of shape (B, C, H, W), in the memory format of ``v``.
    """
    # (B, C, h, w) -> (B, groups, c, h*w)
    q, k, grouped = (
        t.flatten(2).unflatten(1, (num_groups, -1)) for t in (q, k, v))
    attention = _attention_map(q, k, scale).to(v.dtype)
    # (B, groups, c, c) @ (B, groups, c, H*W) -> (B, C, H, W)
    out = (attention @ grouped).view(v.shape)
    if v.is_contiguous():
        return out
    return out.contiguous(memory_format=torch.channels_last)


# logits are sums over a whole map: bfloat16 would round them before the
# exponential, and float16 overflow
@without_autocast
def _attention_map(q, k, scale):
    """(B, groups, c, h*w) queries and keys -> (B, groups, c, c)."""
    dtype = torch.promote_types(q.dtype, torch.float32)
    logits = q.to(dtype) @ k.to(dtype).transpose(-2, -1)
    logits = logits * (q.shape[-1]**-0.5 if scale is None else scale)
    return logits.softmax(dim=-1)


def _reducer(dim, reduction, norm_cfg):
    """Strided depthwise convolution, or nothing where r = 1."""
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
            bias=False), build_norm(norm_cfg, dim), nn.GELU())


def _pointwise(dim, norm_cfg):
    return nn.Conv2d(dim, dim, 1, bias=False), build_norm(norm_cfg, dim)


class _ShuffleFuse(nn.Sequential):
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
            nn.GELU(), nn.Conv2d(3 * dim, out_channels // 3 * 3, 1, groups=3))
        self.num_means = out_channels % 3

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        """Map three (B, C, H, W) maps to (B, out_channels, H, W)."""
        x = torch.cat(maps, dim=1)
        # channels (C, 3) -> (3, C), in either memory format
        x = super().forward(torch.channel_shuffle(x, x.shape[1] // 3))
        if self.num_means == 0:
            return x
        # (B, 3n, H, W) -> (B, H*W, 3n) -> (B, H*W, means)
        means = F.adaptive_avg_pool1d(
            x.permute(0, 2, 3, 1).flatten(1, 2), self.num_means)
        # -> (B, H, W, means) -> (B, means, H, W), channels-last also if one
        means = means.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return torch.cat([x, means], dim=1)
