"""Spatial cross-attention instead of DMCA; SparX's paper, Table 6."""

from collections.abc import Sequence

import torch
from torch import nn

from ..layers import GroupNorm, PointwiseConv
from ..registry import MODELS
from .parts import Aggregator, spatial_reducer
from .token_attention import choose_num_heads, to_tokens, token_attention


@MODELS.register_module()
class SCA(Aggregator):
    """Spatial cross-attention, FcaFormer's (https://arxiv.org/abs/2211.07198).

    Positions of this layer attend to each other and to merged positions of
    every earlier layer; the result is added to this layer's map and projected
    for the mixer. Unlike `SRA` and `CSA` it replaces all of `DMCA`.

    FcaFormer projects the tokens of all layers with the same weights and
    tells the layers apart by a learned scale for each channel. SparX's paper
    gives no detail, and this form has 24.7 M parameters where the paper prints
    27.9 M for the whole model. So each earlier layer has a projection of its own
    here, of which those scales are a special case.

    Args:
        dim (int): Number of channels C.
        num_sources (int): Number of earlier layers read, at least 1.
        out_channels (int): Number of channels that the mixer reads.
        reduction (int): Spatial reduction r per side of the earlier layers'
            maps; 1 is none. Default: 1.
        num_heads (int, optional): Number of heads, a divisor of ``dim``.
            None: see `choose_num_heads`. Default: None.
        norm_cfg (dict): Config of the batch norms.
            Default: ``dict(type='BN')``.

    Raises:
        ConfigError: If ``num_sources`` is below 1 or ``num_heads`` does not
            divide ``dim``.
    """

    def __init__(
        self,
        dim: int,
        num_sources: int,
        out_channels: int,
        reduction: int = 1,
        num_heads: int | None = None,
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        super().__init__(num_sources)
        self.num_heads = choose_num_heads(dim, num_heads)
        total = dim * num_sources
        # one group for each earlier layer, here and in the projection
        self.source_norm = GroupNorm(num_sources, total)
        self.source_merge = spatial_reducer(total, reduction, norm_cfg)
        self.source_kv = nn.Conv2d(total, 2 * total, 1, groups=num_sources)
        self.q = PointwiseConv(dim, dim)
        self.kv = PointwiseConv(dim, 2 * dim)
        self.proj = PointwiseConv(dim, dim)
        self.out_proj = PointwiseConv(dim, out_channels)

    def forward(self, x: torch.Tensor, sources: Sequence[torch.Tensor]) -> torch.Tensor:
        y = self.source_merge(self.source_norm(torch.cat(sources, dim=1)))
        # (B, 2C, H, W), and (B, 2C, h, w) of each earlier layer
        maps = [self.kv(x), *self.source_kv(y).chunk(len(sources), dim=1)]
        # -> (B, H*W + L*h*w, 2C)
        tokens = torch.cat([to_tokens(m) for m in maps], dim=1)
        k, v = tokens.chunk(2, dim=2)
        z = token_attention(self.q(x), k, v, self.num_heads)
        return self.out_proj(x + self.proj(z))
