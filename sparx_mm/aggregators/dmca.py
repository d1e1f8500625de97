"""Dynamic Multi-layer Channel Aggregator; SparX's paper, section 3.1, equation 1."""

from collections.abc import Sequence

import torch
from torch import nn

from sparx_mm.kernels import without_autocast

from ..errors import ConfigError
from ..layers import DepthwiseConv, PointwiseConv
from ..registry import MODELS
from .parts import ShuffleFuse, SourceProjection, conv_norm, spatial_reducer

# initial value of the released detectors, because their attention sees the
# tokens of a 1333x800 image at stride 4, reduced eightfold per side
_LEARNABLE_SCALE_INIT = ((800 * 1333 / 16) / 64) ** -0.5


@MODELS.register_module()
class DMCA(SourceProjection):
    """Dynamic Multi-layer Channel Aggregator.

    Channels of this layer attend to channels of earlier layers, in groups.
    The scale multiplies the logits, as in the released models; the paper prints
    it after the softmax.

    Args:
        dim (int): Number of channels C; a multiple of ``num_groups``.
        num_sources (int): Number of earlier layers read, at least 1.
        out_channels (int): Number of channels that the mixer reads.
        reduction (int): Spatial reduction r of query and key per side;
            1 is none. Default: 1.
        attn_scale (str): Scale of the logits. ``'length'``: the inverse root of
            the number of reduced tokens; ``'learnable'``: a parameter, as in the
            released detectors. Default: ``'length'``.
        num_groups (int): Number of attention groups. Default: 4.
        skip (bool): Fuse this layer's map and the values with the attention's
            output. False: project that output alone ("w/o Skip" in the paper's
            Table 8). Default: True.
        norm_cfg (dict): Config of the batch norms.
            Default: ``dict(type='BN')``.

    Raises:
        ConfigError: If ``dim`` cannot be grouped, ``num_sources`` is below 1
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
        skip: bool = True,
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        super().__init__(dim, num_sources, 2, norm_cfg)
        if dim % num_groups:
            raise ConfigError(f'dim must be a multiple of num_groups ({num_groups}), got {dim}')
        if attn_scale not in ('length', 'learnable'):
            raise ConfigError(f"attn_scale must be 'length' or 'learnable', got {attn_scale!r}")
        self.num_groups = num_groups
        self.reduction = reduction
        self.skip = skip
        if attn_scale == 'learnable':
            self.scale = nn.Parameter(torch.tensor([_LEARNABLE_SCALE_INIT]))
        else:
            self.scale = None
        self.q = nn.Sequential(
            spatial_reducer(dim, reduction, norm_cfg), *conv_norm(dim, dim, norm_cfg)
        )
        self.k = nn.Sequential(
            spatial_reducer(dim, reduction, norm_cfg), *conv_norm(dim, dim, norm_cfg)
        )
        self.v = nn.Sequential(*conv_norm(dim, dim, norm_cfg))
        if skip:
            self.fuse = ShuffleFuse(dim, out_channels)
        else:
            self.fuse = nn.Sequential(
                DepthwiseConv(dim, 3),
                nn.GELU(),
                PointwiseConv(dim, out_channels),
            )

    def forward(self, x: torch.Tensor, sources: Sequence[torch.Tensor]) -> torch.Tensor:
        key, value = self.project_sources(sources)
        q, k, v = self.q(x), self.k(key), self.v(value)
        z = channel_attention(q, k, v, self.num_groups, self.scale)
        if not self.skip:
            return self.fuse(z)
        # a query of full size replaces x, because the released models were
        # trained so; also if the map is too small for the reduction to change it
        if self.reduction == 1 or (x.shape[2] == 1 and x.shape[3] == 1):
            x = q
        return self.fuse(x, z, v)


def channel_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    num_groups: int,
    scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """Let channels attend to each other, within groups of channels.

    ``softmax(scale * q @ k.T) @ v`` for each contiguous group of c = C /
    num_groups channels; the attention map is (c, c) for any size of image.

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
    # (B, C, H, W) -> (B, groups, c, H*W)
    grouped = v.flatten(2).unflatten(1, (num_groups, -1))
    attention = attention_map(q, k, num_groups, scale).to(v.dtype)
    # (B, groups, c, c) @ (B, groups, c, H*W) -> (B, C, H, W)
    out = (attention @ grouped).view(v.shape)
    if v.is_contiguous():
        return out
    return out.contiguous(memory_format=torch.channels_last)


# in float32, because logits are sums over a whole map: bfloat16 would round them
# before the exponential, and float16 would overflow
@without_autocast
def attention_map(
    q: torch.Tensor, k: torch.Tensor, num_groups: int, scale: torch.Tensor | None = None
) -> torch.Tensor:
    """Weigh the channels of each group for every channel of the group.

    Args:
        q (Tensor): Queries, (B, C, h, w).
        k (Tensor): Keys, (B, C, h, w).
        num_groups (int): Number of groups.
        scale (Tensor, optional): Scale, of one element. None: the inverse
            root of h * w.

    Returns:
        Tensor: Weights of shape (B, groups, c, c), float32 at least; each row sums to 1.
    """
    # of the map, because an exporter to ONNX takes the sizes of what is unflattened for constants
    length = q.shape[2] * q.shape[3]
    # (B, C, h, w) -> (B, groups, c, h*w)
    q, k = (t.flatten(2).unflatten(1, (num_groups, -1)) for t in (q, k))
    dtype = torch.promote_types(q.dtype, torch.float32)
    logits = q.to(dtype) @ k.to(dtype).transpose(-2, -1)
    logits = logits * (length**-0.5 if scale is None else scale)
    return logits.softmax(dim=-1)
