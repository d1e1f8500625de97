"""The definition of the selective scan: a plain loop over positions.

Slow, and made to be read: it runs in any dtype, float64 too, and autograd
gives its gradients. Every other backend is held to it.
"""

import torch
import torch.nn.functional as F

from ..autocast import without_autocast
from ..softplus import softplus

# a step after which no state is left; an infinite one would give gradients of NaN
LONGEST = 1e20


@without_autocast
def selective_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    *,
    z: torch.Tensor | None = None,
    gap: torch.Tensor | None = None,
    return_last_state: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Compute `sparx_mm.kernels.selective_scan` by its definition.

    Args:
        u, delta, A, B, C, D, delta_bias, delta_softplus, z, gap, return_last_state: As
            for that function.

    Returns:
        Tensor or tuple[Tensor, Tensor]: Outputs of shape (B, D, L) in the dtype of u,
        and the last state where asked for.
    """
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
        delta = softplus(delta)
    decayed = delta if gap is None else (delta + gap.to(dtype)).clamp_max(LONGEST)
    h = u.new_zeros(batch, channels, A.shape[1])
    outputs = []
    for t in range(length):
        delta_t, decayed_t = delta[:, :, t, None], decayed[:, :, t, None]
        h = torch.exp(decayed_t * A) * h + delta_t * B[..., t] * u[:, :, t, None]
        outputs.append((h * C[..., t]).sum(-1))
    y = torch.stack(outputs, -1) if outputs else torch.zeros_like(u)
    y = y if D is None else y + D[:, None] * u
    y = (y if z is None else y * F.silu(z.to(dtype))).to(out_dtype)
    return (y, h) if return_last_state else y
