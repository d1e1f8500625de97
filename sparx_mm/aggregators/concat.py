"""Aggregators without attention; SparX's paper, section 4.4, Table 6."""

from collections.abc import Sequence

import torch
from torch import nn

from ..layers import ConvFFN
from ..registry import MODELS
from .parts import Aggregator, SourceProjection, conv_norm


@MODELS.register_module()
class ConcatAggregator(Aggregator):
    """Concatenate all maps and fuse them with a `ConvFFN` ("Concat").

    The FFN has ``out_channels`` hidden and output channels, which gives the
    paper's number of parameters.

    Args:
        dim (int): Number of channels C.
        num_sources (int): Number of earlier layers read, at least 1.
        out_channels (int): Number of channels that the mixer reads.

    Raises:
        ConfigError: If ``num_sources`` is below 1.
    """

    def __init__(
        self,
        dim: int,
        num_sources: int,
        out_channels: int,
    ) -> None:
        super().__init__(num_sources)
        self.fuse = ConvFFN(
            dim * (1 + num_sources), hidden_channels=out_channels, out_channels=out_channels
        )

    def forward(self, x: torch.Tensor, sources: Sequence[torch.Tensor]) -> torch.Tensor:
        return self.fuse(torch.cat([x, *sources], dim=1))


@MODELS.register_module()
class ValueAggregator(SourceProjection):
    """`DMCA` without its attention ("w/o CGCA").

    Query and value remain, each a 1x1 convolution and a norm. They are
    concatenated and fused with a `ConvFFN` of C hidden channels. The paper does
    not print that number; it was chosen because its count of parameters is
    nearest to the paper's.

    Args:
        dim (int): Number of channels C.
        num_sources (int): Number of earlier layers read, at least 1.
        out_channels (int): Number of channels that the mixer reads.
        norm_cfg (dict): Config of the batch norms.
            Default: ``dict(type='BN')``.

    Raises:
        ConfigError: If ``num_sources`` is below 1.
    """

    def __init__(
        self,
        dim: int,
        num_sources: int,
        out_channels: int,
        norm_cfg: dict = dict(type='BN'),
    ) -> None:
        super().__init__(dim, num_sources, 1, norm_cfg)
        self.q = nn.Sequential(*conv_norm(dim, dim, norm_cfg))
        self.v = nn.Sequential(*conv_norm(dim, dim, norm_cfg))
        self.fuse = ConvFFN(2 * dim, hidden_channels=dim, out_channels=out_channels)

    def forward(self, x: torch.Tensor, sources: Sequence[torch.Tensor]) -> torch.Tensor:
        (value,) = self.project_sources(sources)
        return self.fuse(torch.cat([self.q(x), self.v(value)], dim=1))
