"""The state that a scan ends in, read from its outputs, so that every backend gives it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

# a step size before softplus that is 0 after it, whatever the bias
_NO_STEP = -1e4


def scan_with_last_state(
    scan: Callable[..., torch.Tensor],
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan N positions more, at each of which C reads one of the N states.

    A step size of 0 leaves the states as they are.

    Args:
        scan (Callable): The scan, from the other arguments to y.
        u, delta, A, D, delta_bias, delta_softplus: As for
            `sparx_mm.kernels.selective_scan`, none optional.
        B (Tensor): Input weights of shape (B, G, N, L).
        C (Tensor): Output weights of shape (B, G, N, L).

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, D, L), contiguous, and the last state of
        shape (B, D, N), in the dtype of A.
    """
    # wide, because the state is read as an output, which has the dtype of u
    u, delta, B, C = (t.to(A.dtype) for t in (u, delta, B, C))
    batch, channels, length = u.shape
    states = A.shape[1]
    still = torch.full_like(delta_bias, _NO_STEP) if delta_softplus else -delta_bias
    still = still[:, None].expand(batch, channels, states)
    read = torch.eye(states, dtype=C.dtype, device=C.device).expand(*C.shape[:3], states)
    y = scan(
        F.pad(u, (0, states)),
        torch.cat([delta, still], -1),
        A,
        F.pad(B, (0, states)),
        torch.cat([C, read], -1),
        D,
        delta_bias,
        delta_softplus,
    )
    y, last = y.split([length, states], -1)
    return y.contiguous(), last.contiguous()
