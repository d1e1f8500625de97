"""Maps as the kernels take them: channels-last, without a copy if they lie so."""

import torch


def flatten_map(x: torch.Tensor) -> torch.Tensor:
    """Flatten a map's positions: a view if it is channels-last.

    Args:
        x (Tensor): Map of shape (B, C, H, W).

    Returns:
        Tensor: Contiguous tensor of shape (B, H W, C).
    """
    # (B, C, H, W) -> (B, H W, C)
    return x.permute(0, 2, 3, 1).flatten(1, 2).contiguous()


def unflatten_map(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """View what `flatten_map` makes as a channels-last map again.

    Args:
        x (Tensor): Tensor of shape (B, H W, C).
        size (tuple[int, int]): H and W.

    Returns:
        Tensor: View of shape (B, C, H, W).
    """
    # (B, H W, C) -> (B, C, H, W)
    return x.unflatten(1, size).permute(0, 3, 1, 2)
