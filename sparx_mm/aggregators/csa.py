"""Cross-scale attention instead of DMCA's; SparX's paper, Table 6."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import ConfigError
from ..registry import MODELS
from .parts import ShuffleFuse, SourceProjection, check_reduction, conv_norm
from .token_attention import choose_num_heads, to_tokens, token_attention


@MODELS.register_module()
class CSA(SourceProjection):
    """Cross-scale attention, MSCSA's (https://arxiv.org/abs/2308.05872).

    `DMCA` with attention between positions instead of channels. As in MSCSA, it
    works on reduced maps: positions of this layer attend to positions of the
    concatenated earlier layers at several scales, and the result is enlarged
    again.

    The paper names the attention and no more. Two details were chosen because
    they meet its count of the whole model: scales are means over windows,
    without parameters, and queries and keys have half as many channels as
    values.

    Args:
        dim (int): Number of channels C.
        num_sources (int): Number of earlier layers read, at least 1.
        out_channels (int): Number of channels that the mixer reads.
        reduction (int): Spatial reduction r per side of queries, keys and
            values; 1 is none. Default: 1.
        num_heads (int, optional): Number of heads, a divisor of ``dim``.
            None: see `choose_num_heads`. Default: None.
        scales (Sequence[int]): Further reductions per side of keys and
            values, all of which attention sees at once. Default: (1, 2, 4).
        norm_cfg (dict): Config of the batch norms.
            Default: ``dict(type='BN')``.

    Raises:
        ConfigError: If ``num_sources`` is below 1, ``num_heads`` does not
            divide ``dim`` or ``scales`` are not numbers from 1.
    """

    def __init__(
        self,
        dim: int,
        num_sources: int,
        out_channels: int,
        reduction: int = 1,
        num_heads: int | None = None,
        scales: Sequence[int] = (1, 2, 4),
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        super().__init__(dim, num_sources, 2, norm_cfg)
        if not scales or min(scales) < 1:
            raise ConfigError(f'scales must be one number or more, each at least 1, got {scales}')
        self.num_heads = choose_num_heads(dim, num_heads)
        check_reduction(reduction)
        self.reduction = reduction
        self.scales = tuple(scales)
        # per head, because a head's channels may be odd
        key_dim = max(dim // self.num_heads // 2, 1) * self.num_heads
        self.q = nn.Sequential(*conv_norm(dim, key_dim, norm_cfg))
        self.k = nn.Sequential(*conv_norm(dim, key_dim, norm_cfg))
        self.v = nn.Sequential(*conv_norm(dim, dim, norm_cfg))
        self.fuse = ShuffleFuse(dim, out_channels)

    def forward(self, x: torch.Tensor, sources: Sequence[torch.Tensor]) -> torch.Tensor:
        key, value = self.project_sources(sources)
        v = self.v(value)
        q = self.q(_shrink(x, self.reduction))
        k = self.k(_shrink(key, self.reduction))
        z = token_attention(
            q, self._at_scales(k), self._at_scales(_shrink(v, self.reduction)), self.num_heads
        )
        if z.shape != v.shape:
            z = F.interpolate(z, v.shape[2:], mode='bilinear')
        return self.fuse(x, z, v)

    def _at_scales(self, x):
        """Make tokens of all scales: (B, C, H, W) -> (B, tokens, C)."""
        return torch.cat([to_tokens(_shrink(x, s)) for s in self.scales], dim=1)


def _shrink(x, factor):
    """Average windows; those at the border average what they have."""
    if factor == 1:
        return x
    return F.avg_pool2d(x, factor, ceil_mode=True)
