"""Multi-scale deformable attention: each query reads a few places that it chooses."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import without_autocast

from ..layers.heads import check_heads
from .levels import Sizes
from .sampling import sample_levels


class DeformableAttention(nn.Module):
    """Attention of tokens to places on several maps, without a shortcut of its own.

    Deformable DETR, https://arxiv.org/abs/2010.04159, equation 3, with the parameters
    of mmcv's ``MultiScaleDeformableAttention``. It computes in float32 at least, also
    under autocast: 16 bits are too few for places on a large map.

    Args:
        dim (int): Channels C of queries and values.
        num_heads (int): Number of heads, a divisor of C.
        num_levels (int): Number of maps.
        num_points (int): Places that a head reads on each map. Default: 4.

    Raises:
        ConfigError: If ``num_heads`` is no int, or no divisor of C.
    """

    def __init__(self, dim: int, num_heads: int, num_levels: int, num_points: int = 4) -> None:
        super().__init__()
        check_heads(dim, num_heads)
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        places = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(dim, 2 * places)
        self.attention_weights = nn.Linear(dim, places)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Let each head look in a direction of its own, with equal weights."""
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        # on the square of side 2 around a query, point k k times as far
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions /= directions.abs().amax(-1, keepdim=True)
        offsets = self.sampling_offsets.bias.view(self.num_heads, self.num_levels, -1, 2)
        distances = torch.arange(1, self.num_points + 1.0)
        offsets.copy_(directions[:, None, None] * distances[:, None])

    def forward(
        self, query: torch.Tensor, value: torch.Tensor, centres: torch.Tensor, sizes: Sizes
    ) -> torch.Tensor:
        """Attend.

        Args:
            query (Tensor): Queries of shape (B, Q, C).
            value (Tensor): Tokens of the maps, of shape (B, L, C).
            centres (Tensor): Places of the queries, of shape (Q, 2): x and y as parts of
                a map's width and height.
            sizes (Sizes): Sizes of the maps.

        Returns:
            Tensor: Tokens of shape (B, Q, C), in the dtype of ``query``.
        """
        dtype = torch.promote_types(query.dtype, torch.float32)
        return _attend(query.to(dtype), value.to(dtype), centres, sizes, self).to(query.dtype)


@without_autocast
def _attend(query, value, centres, sizes, attention):
    heads, levels = attention.num_heads, attention.num_levels
    value = _project(attention.value_proj, value).unflatten(2, (heads, -1))
    # (B, Q, heads, levels, points, 2), in cells
    offsets = _project(attention.sampling_offsets, query).unflatten(2, (heads, levels, -1, 2))
    weights = _project(attention.attention_weights, query).unflatten(2, (heads, -1))
    weights = weights.softmax(-1).unflatten(3, (levels, -1))
    xs, ys = centres.to(query.dtype)[:, None, None].unbind(-1)
    # one by one, because a tracer keeps a tensor of sizes as a constant
    places = [
        torch.stack([xs + dx / width, ys + dy / height], -1)
        for (height, width), (dx, dy) in zip(
            sizes, (offsets[:, :, :, i].unbind(-1) for i in range(levels))
        )
    ]
    return _project(attention.output_proj, sample_levels(value, sizes, places, weights))


def _project(layer, x):
    """Apply a linear layer, whose own tensors may have fewer bits."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))
