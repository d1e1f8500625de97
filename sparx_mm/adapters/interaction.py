"""How the tokens of a backbone and those of its adapter read each other."""

import torch
from torch import nn

from ..layers import DepthwiseConv, DropPath
from .deformable_attention import DeformableAttention
from .levels import Sizes, cell_centres, pyramid_sizes, to_maps, to_tokens

_EPS = 1e-6


class Injector(nn.Module):
    """Let a backbone's map read the adapter's three: ``x = x + gamma * DA(LN(x), LN(c))``.

    ViT-Adapter, https://arxiv.org/abs/2205.08534, equation 1. gamma starts at 0, so that
    the pretrained backbone computes at first what it did.

    Args:
        dim (int): Channels C.
        num_heads (int): Heads of the attention.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(dim, eps=_EPS)
        self.feat_norm = nn.LayerNorm(dim, eps=_EPS)
        self.attn = DeformableAttention(dim, num_heads, num_levels=3)
        self.gamma = nn.Parameter(torch.zeros(dim))

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """Read.

        Args:
            x (Tensor): The backbone's map, of shape (B, C, H, W).
            c (Tensor): The adapter's tokens, of shape (B, L, C); see `pyramid_sizes`.

        Returns:
            Tensor: Map of shape (B, C, H, W).
        """
        size = tuple(x.shape[2:])
        tokens = to_tokens(x)
        read = self.attn(
            self.query_norm(tokens), self.feat_norm(c), cell_centres([size], c), pyramid_sizes(x)
        )
        return to_maps(tokens + self.gamma * read, [size])[0]


class Extractor(nn.Module):
    """Let an adapter's maps read the backbone's: ``c = c + DA(LN(c), LN(x))``, ``c + FFN(LN(c))``.

    ViT-Adapter, https://arxiv.org/abs/2205.08534, equations 2 and 3.

    Args:
        dim (int): Channels C.
        num_heads (int): Heads of the attention.
        ratio (float): Hidden channels of the FFN as a multiple of C. Default: 0.25.
        drop_path_rate (float): Stochastic depth rate of the FFN. Default: 0.
    """

    def __init__(
        self, dim: int, num_heads: int, ratio: float = 0.25, drop_path_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(dim, eps=_EPS)
        self.feat_norm = nn.LayerNorm(dim, eps=_EPS)
        self.attn = DeformableAttention(dim, num_heads, num_levels=1)
        self.ffn_norm = nn.LayerNorm(dim, eps=_EPS)
        self.ffn = PyramidFFN(dim, ratio)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, c: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Read.

        Args:
            c (Tensor): The adapter's tokens, of shape (B, L, C); see `pyramid_sizes`.
            x (Tensor): The backbone's map, of shape (B, C, H, W).

        Returns:
            Tensor: Tokens of shape (B, L, C).
        """
        sizes = pyramid_sizes(x)
        values = self.feat_norm(to_tokens(x))
        c = c + self.attn(self.query_norm(c), values, cell_centres(sizes, c), [x.shape[2:]])
        return c + self.drop_path(self.ffn(self.ffn_norm(c), sizes))


class PyramidFFN(nn.Module):
    """Feed-forward network with a depthwise 3x3 convolution on each map of the tokens.

    Args:
        dim (int): Channels C.
        ratio (float): Hidden channels as a multiple of C.
    """

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        hidden = int(dim * ratio)
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConv(hidden, 3)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: torch.Tensor, sizes: Sizes) -> torch.Tensor:
        """Run the network.

        Args:
            tokens (Tensor): Tokens of shape (B, L, C).
            sizes (Sizes): Sizes of their maps.

        Returns:
            Tensor: Tokens of shape (B, L, C).
        """
        maps = to_maps(self.fc1(tokens), sizes)
        return self.fc2(to_tokens(*(self.dwconv(one, 'gelu') for one in maps)))
