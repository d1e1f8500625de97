"""Tokens that are kept of a map, and their places on it."""

import torch

from ..errors import ConfigError

GAPS = ('decay', 'copy')


class KeptTokens:
    """Places of the tokens that are kept of each map, row by row.

    Kept tokens are a map of one column, (B, C, k, 1), so that norms and projections
    take them as they take maps.

    Args:
        positions (Tensor): Ascending positions of shape (B, k), from 0 to H*W - 1.
        like (Tensor): A map of shape (B, ., H, W), whose sizes are read.
        gap (str): What a scan does at the positions that are not kept: ``'decay'``, its
            state decays by the step size of the last kept token; ``'copy'``, its state
            stays.

    Raises:
        ConfigError: If ``gap`` is neither.
    """

    def __init__(self, positions: torch.Tensor, like: torch.Tensor, gap: str) -> None:
        if gap not in GAPS:
            raise ConfigError(f'gap must be one of {GAPS}, got {gap!r}')
        self.positions, self.like, self.gap = positions, like, gap

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """Take the kept tokens of a map.

        Args:
            x (Tensor): Map of shape (B, C, H, W).

        Returns:
            Tensor: Tokens of shape (B, C, k, 1).
        """
        # (B, C, H, W) -> (B, H*W, C) -> (B, k, C)
        tokens = take_tokens(x.flatten(2).transpose(1, 2), self.positions)
        return tokens.transpose(1, 2).unsqueeze(3)

    def scatter(self, tokens: torch.Tensor, others: torch.Tensor | None = None) -> torch.Tensor:
        """Put the kept tokens at their places on a map.

        Args:
            tokens (Tensor): Tokens of shape (B, C, k, 1).
            others (Tensor, optional): Map of shape (B, C, H, W) that has the other
                tokens. Default: zeros.

        Returns:
            Tensor: Map of shape (B, C, H, W), channels-last.
        """
        batch, _, height, width = self.like.shape
        channels = tokens.shape[1]
        if others is None:
            flat = tokens.new_zeros(batch * height * width, channels)
        else:
            # (B, C, H, W) -> (B*H*W, C)
            flat = others.to(tokens.dtype).permute(0, 2, 3, 1).reshape(-1, channels)
        # (B, C, k, 1) -> (B*k, C)
        rows = tokens.permute(0, 2, 3, 1).reshape(-1, channels)
        flat = flat.index_copy(0, number_rows(self.positions, height * width), rows)
        return flat.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def select(self, importance: torch.Tensor, count: int) -> 'KeptTokens':
        """Keep the most important ones of the tokens that are kept.

        Args:
            importance (Tensor): Importance of each, of shape (B, k).
            count (int): Number of tokens that stay.

        Returns:
            KeptTokens: Their places.
        """
        chosen = importance.topk(count, dim=1).indices
        positions = self.positions.gather(1, chosen).sort(1).values
        return KeptTokens(positions, self.like, self.gap)


def take_tokens(tokens: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Take tokens of each sequence by their indices.

    Args:
        tokens (Tensor): Tokens of shape (B, L, C).
        index (Tensor): Indices of shape (B, m), from 0 to L - 1.

    Returns:
        Tensor: Tokens of shape (B, m, C).
    """
    # rows of one matrix, which takes a fifth of the time of torch.gather
    batch, length, channels = tokens.shape
    flat = tokens.reshape(-1, channels).index_select(0, number_rows(index, length))
    return flat.view(batch, -1, channels)


def number_rows(index: torch.Tensor, length: int) -> torch.Tensor:
    """Index the tokens of all sequences of a batch consecutively.

    Args:
        index (Tensor): Indices in each sequence, of shape (B, m).
        length (int): Number of tokens L of a sequence.

    Returns:
        Tensor: Indices of shape (B*m,), from 0 to B*L - 1.
    """
    first = torch.arange(index.shape[0], device=index.device) * length
    return (index + first.unsqueeze(1)).flatten()
