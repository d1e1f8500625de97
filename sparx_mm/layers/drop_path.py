"""Stochastic depth."""

import torch
from torch import nn


class DropPath(nn.Module):
    """Drop a residual branch per sample while training.

    Deep Networks with Stochastic Depth, https://arxiv.org/abs/1603.09382.

    Args:
        drop_prob (float): Chance that a sample's branch is dropped; those
            kept are divided by ``1 - drop_prob``. Default: 0.
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, ...) to the same shape."""
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep = 1 - self.drop_prob
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1))
        return x * mask.bernoulli_(keep).div_(keep)

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob:.3f}'
