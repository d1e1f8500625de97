"""The definition of the layer norm."""

import torch

from ..autocast import without_autocast


@without_autocast
def layer_norm(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
) -> torch.Tensor:
    """Compute `sparx_mm.kernels.layer_norm` by its definition.

    Args:
        x, weight, bias, eps: As for that function.

    Returns:
        Tensor: Map of shape (B, C, H, W) in the dtype of x.
    """
    wide = x.to(weight.dtype)
    deviation = wide - wide.mean(1, keepdim=True)
    variance = deviation.square().mean(1, keepdim=True)
    normed = deviation / (variance + eps).sqrt()
    return (normed * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)).to(x.dtype)
