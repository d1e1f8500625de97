"""The definition of the selective scan: a plain loop over positions.

Slow, and made to be read: it runs in any dtype, float64 too, and autograd
gives its gradients. Every other backend is held to it.
"""

import torch
import torch.nn.functional as F

from ..autocast import without_autocast


@without_autocast
def selective_scan(u, delta, A, B, C, D=None, delta_bias=None, delta_softplus=False):
    """:func:`sparx_mm.kernels.selective_scan` by its definition."""
    out_dtype, dtype = u.dtype, torch.promote_types(u.dtype, A.dtype)
    u, delta, B, C = (t.to(dtype) for t in (u, delta, B, C))
    batch, channels, length = u.shape
    if B.dim() == 3:
        B, C = B.unsqueeze(1), C.unsqueeze(1)
    # (B, G, N, L) -> (B, D, N, L)
    B, C = (t.repeat_interleave(channels // t.shape[1], 1) for t in (B, C))
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        # threshold: linear beyond it, where exp would overflow
        delta = F.softplus(delta, threshold=30)
    h = u.new_zeros(batch, channels, A.shape[1])
    outputs = []
    for t in range(length):
        step = delta[:, :, t, None]
        h = torch.exp(step * A) * h + step * B[..., t] * u[:, :, t, None]
        outputs.append((h * C[..., t]).sum(-1))
    y = torch.stack(outputs, -1) if outputs else torch.zeros_like(u)
    return (y if D is None else y + D[:, None] * u).to(out_dtype)
