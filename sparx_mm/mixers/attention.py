"""Attention of all positions of a map as a token mixer."""

import torch
import torch.nn.functional as F
from torch import nn

from ..layers import PointwiseConv
from ..layers.heads import check_heads
from ..registry import MODELS


@MODELS.register_module()
class Attention(nn.Module):
    """Attention of each position to all others, without position biases.

    Attention Is All You Need, https://arxiv.org/abs/1706.03762. The cost grows
    with the square of the number of positions.

    Args:
        dim (int): Number of output channels C.
        num_heads (int): Number of heads, a divisor of ``dim``.

    Attributes:
        in_channels (int): Number of channels 3C that ``forward`` takes.

    Raises:
        ConfigError: If ``dim`` is not a multiple of ``num_heads``.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        check_heads(dim, num_heads)
        self.in_channels = 3 * dim
        self.num_heads = num_heads
        self.out_proj = PointwiseConv(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (Tensor): Queries, keys and values, (B, 3C, H, W): in this
                order along the channels, each with its heads one after the
                other.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        # (B, 3C, H, W) -> (B, L, 3, heads, d) -> (3, B, heads, L, d)
        tokens = x.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, (3, self.num_heads, -1))
        q, k, v = tokens.permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v)
        # (B, heads, L, d) -> (B, C, L) -> (B, C, H, W), channels-last
        out = out.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(2, x.shape[2:])
        return self.out_proj(out)
