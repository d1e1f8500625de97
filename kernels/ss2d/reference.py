"""The definition of the four-direction scan: a plain loop over positions.

Slow, and made to be read: it runs in any dtype, float64 too, and autograd
gives its gradients. Every other backend is held to it.
"""

import torch

from ..autocast import without_autocast
from ..softplus import softplus
from .orders import ORDERS


@without_autocast
def ss2d(
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    orders: str = 'cross',
) -> torch.Tensor:
    """Compute `sparx_mm.kernels.ss2d` by its definition.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D, orders: As for that function.

    Returns:
        Tensor: Map of shape (B, D, H, W) in the dtype of x.
    """
    batch, channels, height, width = x.shape
    rank, state = dt_weight.shape[-1], A.shape[-1]
    # 16-bit inputs: step sizes and states are at least float32
    out_dtype, dtype = x.dtype, torch.promote_types(x.dtype, A.dtype)
    # (B, D, H, W) -> (B, D, L), (B, H, W, 4, R + 2N) -> (B, L, 4, R + 2N)
    x, dt_B_C = x.to(dtype).flatten(2), dt_B_C.to(dtype).flatten(1, 2)
    y = torch.zeros_like(x)
    for k, order in enumerate(ORDERS[orders](height, width, x.device)):
        u = x[:, :, order]
        dt, B, C = dt_B_C[:, order, k].split([rank, state, state], dim=-1)
        delta = softplus(torch.einsum('blr,dr->bld', dt, dt_weight[k]) + dt_bias[k])
        h = x.new_zeros(batch, channels, state)
        outputs = []
        for t in range(height * width):
            delta_t = delta[:, t, :, None]
            h = torch.exp(delta_t * A[k]) * h + delta_t * B[:, t, None] * u[:, :, t, None]
            outputs.append((h * C[:, t, None]).sum(-1) + D[k] * u[:, :, t])
        if outputs:
            y = y.index_add(2, order, torch.stack(outputs, -1))
    return y.view(batch, channels, height, width).to(out_dtype)
