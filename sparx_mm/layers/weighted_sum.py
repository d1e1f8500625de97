"""Sum of maps with a learned weight each."""

from collections.abc import Sequence

import torch
from torch import nn


class WeightedSum(nn.Module):
    """Sum of maps, each times a learned scalar; it starts as the last of them alone.

    Args:
        num_maps (int): Number of maps.
    """

    def __init__(self, num_maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_maps))
        with torch.no_grad():
            self.weight[-1] = 1.0

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Add maps of shape (B, C, H, W) to one of the shape and dtype of the last."""
        *earlier, last = maps
        *weights, own = self.weight.unbind()
        total = last * own
        for x, weight in zip(earlier, weights, strict=True):
            # in one dtype, because autocast on a GPU widens addcmul to that of a weight
            total = torch.addcmul(total, x.to(last.dtype), weight.to(last.dtype))
        return total
