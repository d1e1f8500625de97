"""What a residual layer puts on its shortcut and on its branch."""

import torch
from torch import nn


class ChannelAffine(nn.Module):
    """Per-channel scale (init 1) and bias (init 0), put on a shortcut.

    Args:
        dim (int): Number of channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        # a depthwise 1x1 kernel's shape, as in the released files
        self.weight = nn.Parameter(torch.ones(dim, 1, 1, 1))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and shift a (B, C, H, W) map; the shape stays."""
        return torch.addcmul(self.bias.view(-1, 1, 1), x, self.weight.view(-1, 1, 1))


class DropPath(nn.Module):
    """Drop a residual branch per sample while training.

    Deep Networks with Stochastic Depth, https://arxiv.org/abs/1603.09382.

    Args:
        drop_prob (float): Probability that a sample's branch is dropped; those
            kept are divided by ``1 - drop_prob``. Default: 0.
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, ...) to the same shape."""
        if not self.training or self.drop_prob == 0.0:
            return x
        keep = 1 - self.drop_prob
        # compared, because a compiler would make code anew for each rate of bernoulli_
        mask = torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), device=x.device) < keep
        return x * (mask.to(x.dtype) / keep if keep else mask.to(x.dtype))

    def extra_repr(self) -> str:
        """Return the rate for the module's printed form."""
        return f'drop_prob={self.drop_prob:.3f}'
