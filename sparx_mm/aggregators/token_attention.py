"""Attention between positions, which several aggregators share."""

import torch
import torch.nn.functional as F

from ..layers.heads import check_heads

# minimum number of channels of a head, as in Swin
_HEAD_CHANNELS = 32


def choose_num_heads(dim: int, num_heads: int | None = None) -> int:
    """Choose the number of attention heads.

    Args:
        dim (int): Number of channels C.
        num_heads (int, optional): The number, if the user gave one. None: the
            largest number of equal heads of at least 32 channels, or one.
            Default: None.

    Returns:
        int: The number.

    Raises:
        ConfigError: If ``num_heads`` is no int, or no divisor of ``dim``.

    Example:
        >>> [choose_num_heads(dim) for dim in (96, 328, 636)]
        [3, 8, 12]
    """
    if num_heads is None:
        most = max(dim // _HEAD_CHANNELS, 1)
        return next(n for n in range(most, 0, -1) if dim % n == 0)
    check_heads(dim, num_heads)
    return num_heads


def to_tokens(x: torch.Tensor) -> torch.Tensor:
    """Make tokens of positions: (B, C, H, W) -> (B, H*W, C)."""
    return x.flatten(2).transpose(1, 2)


def token_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, num_heads: int
) -> torch.Tensor:
    """Let the positions of a map attend to tokens.

    Args:
        q (Tensor): Queries, (B, D, H, W).
        k (Tensor): Keys, (B, N, D).
        v (Tensor): Values, (B, N, C).
        num_heads (int): Number of heads, a divisor of C and D.

    Returns:
        Tensor: Map of shape (B, C, H, W), in the memory format of ``q``.
    """
    # contiguous, because fused kernels need a head's channels side by side
    # (B, N, C) -> (B, heads, N, c)
    heads = (
        t.contiguous().unflatten(2, (num_heads, -1)).transpose(1, 2) for t in (to_tokens(q), k, v)
    )
    out = F.scaled_dot_product_attention(*heads)
    # (B, heads, H*W, c) -> (B, H*W, C) -> (B, C, H, W)
    out = out.transpose(1, 2).flatten(2).unflatten(1, q.shape[2:])
    out = out.permute(0, 3, 1, 2)
    if q.is_contiguous():
        return out.contiguous()
    return out.contiguous(memory_format=torch.channels_last)
