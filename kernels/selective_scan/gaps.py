"""Gaps between positions, over which states only decay, folded into a scan without gaps.

So every backend passes over what was left out, without steps for it.
"""

import torch

from ..autocast import without_autocast
from ..softplus import softplus
from .reference import LONGEST

# a step in which no state decays
SHORTEST = 1e-20


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
    # a step and a gap of 0 take nothing in, but the gradient by that step is not 0. Both bounds
    # leave room in float32 for what they multiply
    whole = (delta + gap + SHORTEST).clamp_max(LONGEST)
    share = delta / whole
    none = A.new_zeros(len(A))
    return u * share, whole, A, B, C, none, none, False
