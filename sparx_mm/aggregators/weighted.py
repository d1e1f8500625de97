"""The aggregator that learns a scalar for each map, and nothing else of its own."""

from collections.abc import Sequence

import torch
from torch import nn

from ..layers import LinearProjection, WeightedSum
from ..registry import MODELS
from .parts import check_num_sources


@MODELS.register_module()
class WeightedAverage(LinearProjection):
    """Sum of all maps, each times a learned scalar, normed and projected.

    ``proj(norm1(sum_i w_i source_i + w x))`` with learned scalars, at first w = 1 and all
    w_i = 0: the network starts as one whose layers read no other. Names and shapes of the
    projection are those of `LinearProjection`, so files of plain networks fit.

    Args:
        dim (int): Number of channels C.
        num_sources (int): Number of earlier layers read, at least 1.
        out_channels (int): Number of channels that the mixer reads.
        bias (bool): Learn a bias of the projection. Default: True.

    Attributes:
        takes_norm (bool): True: a layer gives it the map as it is, and its norm.

    Raises:
        ConfigError: If ``num_sources`` is below 1.
    """

    takes_norm = True

    def __init__(self, dim: int, num_sources: int, out_channels: int, bias: bool = True) -> None:
        check_num_sources(num_sources)
        super().__init__(dim, out_channels, bias)
        self.weighted_sum = WeightedSum(num_sources + 1)

    def forward(
        self, x: torch.Tensor, sources: Sequence[torch.Tensor], norm: nn.Module | None = None
    ) -> torch.Tensor:
        """Make the mixer's input of this layer's and earlier layers' maps.

        Args:
            x (Tensor): This layer's map, (B, C, H, W).
            sources (Sequence[Tensor]): ``num_sources`` maps, each (B, C, H, W), in the
                order of the connection rule.
            norm (Module, optional): Norm of the sum. Default: none.

        Returns:
            Tensor: Map of shape (B, out_channels, H, W).
        """
        x = self.weighted_sum([*sources, x])
        return super().forward(x if norm is None else norm(x))
