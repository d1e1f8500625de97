"""The definition of the group norm."""

import torch

from ..autocast import without_autocast


@without_autocast
def group_norm(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, num_groups: int, eps: float
) -> torch.Tensor:
    """Compute `sparx_mm.kernels.group_norm` by its definition.

    Args:
        x, weight, bias, num_groups, eps: As for that function.

    Returns:
        Tensor: Map of shape (B, C, H, W) in the dtype of x.
    """
    # (B, C, H, W) -> (B, G, C / G, H, W)
    groups = x.to(weight.dtype).unflatten(1, (num_groups, -1))
    deviation = groups - groups.mean((2, 3, 4), keepdim=True)
    variance = deviation.square().mean((2, 3, 4), keepdim=True)
    normed = (deviation / (variance + eps).sqrt()).flatten(1, 2)
    return (normed * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)).to(x.dtype)
