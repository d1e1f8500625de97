"""Gaps between positions, over which states only decay, folded into a scan without gaps.

So every backend passes over what was left out, without steps for it.
"""

import torch

from ..autocast import without_autocast
from ..softplus import softplus


@without_autocast
def fold_gaps(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    delta_bias: torch.Tensor | None,
    delta_softplus: bool,
    gap: torch.Tensor,
) -> tuple:
    """Find the scan without gaps that has the same states.

    A state decays by delta + gap and takes delta B u in, which is
    (delta + gap) B u' with u' = u delta / (delta + gap).

    Args:
        u, delta, A, B, C, delta_bias, delta_softplus, gap: As for
            `sparx_mm.kernels.selective_scan`, only the bias optional.

    Returns:
        tuple: The arguments of that scan, without ``gap`` and without the direct path, which
        is of the inputs as they were; inputs and step sizes in the dtype of A.
    """
    # wide, because a scan multiplies the rounding error of its step sizes
    u, delta, gap = (t.to(A.dtype) for t in (u, delta, gap))
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = softplus(delta)
    # of an infinite gap the state is gone, and 0 times infinity would be NaN
    whole = (delta + gap).clamp_max(torch.finfo(delta.dtype).max)
    # a step of 0 takes nothing in, and must not become NaN
    share = delta / whole.clamp_min(torch.finfo(whole.dtype).tiny)
    none = A.new_zeros(len(A))
    return u * share, whole, A, B, C, none, none, False
