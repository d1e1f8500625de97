"""Spatial-reduction attention instead of DMCA's; SparX's paper, Table 6."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ..layers import build_norm
from ..registry import MODELS
from .parts import ShuffleFuse, SourceProjection, check_reduction, conv_norm
from .token_attention import choose_num_heads, to_tokens, token_attention


@MODELS.register_module()
class SRA(SourceProjection):
    """Spatial-reduction attention, PVT's (https://arxiv.org/abs/2102.12122).

    `DMCA` with attention between positions instead of channels: every position
    of this layer attends to regions of r by r positions of earlier layers. As in
    PVT, a convolution of kernel and stride r and a norm make the keys and values
    of a region; the convolution is depthwise, as in `DMCA`.

    The paper names the attention and no more. One detail was chosen because it
    meets the count of the whole model: the reduced values are made of the
    full-size values, which are fused with this layer's map and the attention's
    output.

    Args:
        dim (int): Number of channels C.
        num_sources (int): Number of earlier layers read, at least 1.
        out_channels (int): Number of channels that the mixer reads.
        reduction (int): Spatial reduction r of keys and values per side;
            1 is none. Default: 1.
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
        super().__init__(dim, num_sources, 2, norm_cfg)
        self.num_heads = choose_num_heads(dim, num_heads)
        self.q = nn.Sequential(*conv_norm(dim, dim, norm_cfg))
        self.k = nn.Sequential(
            _region_reducer(dim, reduction, norm_cfg), *conv_norm(dim, dim, norm_cfg)
        )
        self.v = nn.Sequential(*conv_norm(dim, dim, norm_cfg))
        self.v_reducer = _region_reducer(dim, reduction, norm_cfg)
        self.fuse = ShuffleFuse(dim, out_channels)

    def forward(self, x: torch.Tensor, sources: Sequence[torch.Tensor]) -> torch.Tensor:
        key, value = self.project_sources(sources)
        q, k, v = self.q(x), self.k(key), self.v(value)
        z = token_attention(q, to_tokens(k), to_tokens(self.v_reducer(v)), self.num_heads)
        return self.fuse(x, z, v)


def _region_reducer(dim, reduction, norm_cfg):
    """Make PVT's reduction; the identity if r = 1."""
    check_reduction(reduction)
    if reduction == 1:
        return nn.Identity()
    return _RegionReducer(dim, reduction, norm_cfg)


class _RegionReducer(nn.Sequential):
    """Depthwise convolution of regions side by side, and a norm.

    Args:
        dim (int): Number of channels C.
        reduction (int): Side r of a region.
        norm_cfg (dict): Config of the norm.
    """

    def __init__(self, dim: int, reduction: int, norm_cfg: dict) -> None:
        super().__init__(
            nn.Conv2d(dim, dim, reduction, stride=reduction, groups=dim, bias=False),
            build_norm(norm_cfg, dim),
        )
        self.reduction = reduction

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to (B, C, ceil(H / r), ceil(W / r))."""
        height, width = (-side % self.reduction for side in x.shape[2:])
        return super().forward(F.pad(x, (0, width, 0, height)))
