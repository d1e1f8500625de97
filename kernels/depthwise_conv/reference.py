"""The definition of the depthwise convolution: a sum over the kernel's positions."""

import torch
import torch.nn.functional as F

from ..autocast import without_autocast

ACTIVATIONS = dict(none=lambda z: z, silu=F.silu, gelu=F.gelu)


@without_autocast
def depthwise_conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, residual: bool, activation: str
) -> torch.Tensor:
    """Compute `sparx_mm.kernels.depthwise_conv` by its definition.

    Args:
        x, weight, bias, residual, activation: As for that function.

    Returns:
        Tensor: Map of shape (B, C, H, W) in the dtype of x.
    """
    (height, width), side = x.shape[2:], weight.shape[-1]
    wide = x.to(weight.dtype)
    padded = F.pad(wide, (side // 2,) * 4)
    z = bias.view(-1, 1, 1) + (wide if residual else 0)
    for i in range(side):
        for j in range(side):
            z = z + weight[:, :, i, j, None] * padded[:, :, i : i + height, j : j + width]
    return ACTIVATIONS[activation](z).to(x.dtype)
