"""The definition of the four-direction scan: a plain loop over positions.

Slow, and made to be read: it runs in any dtype, float64 too, and autograd
gives its gradients. Every other backend is held to it.
"""

import torch
import torch.nn.functional as F

from ..autocast import without_autocast


def scan_order(height, width, device=None):
    """Positions of a flattened map in the order of each direction.

    Args:
        height (int): Rows of the map.
        width (int): Columns of the map.
        device (torch.device, optional): Where the result lies.

    Returns:
        Tensor: (4, height * width) indices: 0 row-major, 1 column-major, 2 the
        reverse of 0, 3 the reverse of 1.
    """
    rows = torch.arange(height * width, device=device)
    columns = rows.view(height, width).t().flatten()
    return torch.stack([rows, columns, rows.flip(0), columns.flip(0)])


@without_autocast
def ss2d(x, p, dt_weight, dt_bias, A, D):
    """:func:`sparx_mm.kernels.ss2d` by its definition."""
    batch, channels, height, width = x.shape
    rank, state = dt_weight.shape[-1], A.shape[-1]
    # 16-bit inputs: steps and states are at least float32
    out_dtype, dtype = x.dtype, torch.promote_types(x.dtype, A.dtype)
    x, p = x.to(dtype).flatten(2), p.to(dtype).flatten(1, 2)
    y = torch.zeros_like(x)
    for k, order in enumerate(scan_order(height, width, x.device)):
        u = x[:, :, order]
        dt, B, C = p[:, order, k].split([rank, state, state], dim=-1)
        z = torch.einsum('blr,dr->bld', dt, dt_weight[k]) + dt_bias[k]
        # threshold: linear beyond it, where exp(z) would overflow
        delta = F.softplus(z, threshold=30)
        h = x.new_zeros(batch, channels, state)
        outputs = []
        for t in range(height * width):
            step = delta[:, t, :, None]
            h = torch.exp(step * A[k]) * h + step * B[:, t, None] * u[:, :, t, None]
            outputs.append((h * C[:, t, None]).sum(-1) + D[k] * u[:, :, t])
        y = y.index_add(2, order, torch.stack(outputs, -1))
    return y.view(batch, channels, height, width).to(out_dtype)
