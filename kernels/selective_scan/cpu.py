"""The selective scan without a GPU kernel.

numba kernels for float32 on the CPU, and the two-level scan in plain torch
for everything else: float64, other devices, no numba.
"""

import math

import torch
import torch.nn.functional as F

from .._numba.pool import backward_shares, block_lanes, num_threads
from .._torch.two_level import scan_backward, scan_forward
from ..dispatch import runs_numba

# positions to a row; the states at the rows' entries are kept for backward
ROW = 64


def states_shape(u, A):
    """Shape of the states at the entry of each row, kept for backward."""
    batch, channels, length = u.shape
    # in this form for the sizes of a traced graph
    return batch, (length + ROW - 1) // ROW, A.shape[1], channels


def forward(u, delta, A, B, C, D, delta_bias, delta_softplus):
    """The scan in the dtype of A; see :func:`sparx_mm.kernels.selective_scan`.

    Args:
        u, delta, A, D, delta_bias, delta_softplus: As there, none optional.
        B (Tensor): (B, G, N, L).
        C (Tensor): (B, G, N, L).

    Returns:
        tuple[Tensor, Tensor]: y (B, D, L) in any strides, and the states at
        the entry of each row of 64, (B, ceil(L / 64), N, D).
    """
    u, delta, B, C = (t.to(A.dtype) for t in (u, delta, B, C))
    run = _fused_forward if runs_numba(u) else two_level_forward
    return run(u, delta, A, B, C, D, delta_bias, delta_softplus)


def backward(dy, states, u, delta, A, B, C, D, delta_bias, delta_softplus):
    """Gradients of u, delta, A, B, C, D and delta_bias."""
    dy, u, delta, B, C = (t.to(A.dtype) for t in (dy, u, delta, B, C))
    run = _fused_backward if runs_numba(u) else two_level_backward
    return run(dy, states, u, delta, A, B, C, D, delta_bias, delta_softplus)


def _arrays(u, delta, A, B, C, D, delta_bias):
    """The inputs as the numba kernels read them."""
    tensors = (
        u.transpose(1, 2),
        delta.transpose(1, 2),
        A.t() * math.log2(math.e),
        B.permute(0, 3, 1, 2),
        C.permute(0, 3, 1, 2),
        D,
        delta_bias,
    )
    return [t.detach().contiguous().numpy() for t in tensors]


def _fused_forward(u, delta, A, B, C, D, delta_bias, delta_softplus):
    from . import fused

    batch, channels, length = u.shape
    groups, state = B.shape[1:3]
    arrays = _arrays(u, delta, A, B, C, D, delta_bias)
    y = torch.empty(batch, length, channels)
    states = torch.empty(states_shape(u, A))
    threads = num_threads(u.numel() * state)
    lanes = block_lanes(channels // groups, -(-threads // (batch * groups)))
    blocks = -(-channels // groups // lanes)
    fused.forward(
        threads,
        batch * groups * blocks,
        *arrays,
        delta_softplus,
        y.numpy(),
        states.numpy(),
        ROW,
        lanes,
    )
    return y.transpose(1, 2), states


def _fused_backward(dy, states, u, delta, A, B, C, D, delta_bias, delta_softplus):
    from . import fused

    batch, channels, length = u.shape
    groups, state = B.shape[1:3]
    arrays = _arrays(u, delta, A, B, C, D, delta_bias)
    dy = dy.detach().transpose(1, 2).contiguous().numpy()
    threads = num_threads(2 * u.numel() * state)
    # the slices' partial gradients of B and C: half of u together at most
    parts, slices = backward_shares(threads, batch, channels // (4 * groups * state))
    lanes = block_lanes(channels // groups, -(-slices // groups))
    du = torch.empty(batch, length, channels)
    ddelta = torch.empty(batch, length, channels)
    dB = torch.zeros(slices, batch, length, groups, state)
    dC = torch.zeros(slices, batch, length, groups, state)
    dA = torch.zeros(parts, state, channels)
    dD = torch.zeros(parts, channels)
    d_bias = torch.zeros(parts, channels)
    fused.backward(
        threads,
        parts * slices,
        dy,
        states.detach().contiguous().numpy(),
        *arrays,
        delta_softplus,
        *(t.numpy() for t in (du, ddelta, dB, dC, dA, dD, d_bias)),
        ROW,
        lanes,
    )
    return (
        du.transpose(1, 2),
        ddelta.transpose(1, 2),
        dA.sum(0).t(),
        dB.sum(0).permute(0, 2, 3, 1),
        dC.sum(0).permute(0, 2, 3, 1),
        dD.sum(0),
        d_bias.sum(0),
    )


def _to_rows(sequence, groups):
    """(B, D, L) -> (B, rows, steps, G, D / G), zeros after the end."""
    batch, channels, length = sequence.shape
    steps = min(ROW, length)
    sequence = F.pad(sequence, (0, -length % steps))
    return sequence.permute(0, 2, 1).reshape(batch, -1, steps, groups, channels // groups)


def _from_rows(rows, length):
    """The inverse of :func:`_to_rows`."""
    return rows.flatten(1, 2).flatten(2)[:, :length].transpose(1, 2)


def _as_rows(u, delta, A, B, C, D, delta_bias, delta_softplus):
    """What the two-level scan takes, and the slope of the softplus."""
    groups, state = B.shape[1:3]
    z = delta + delta_bias[:, None]
    delta = F.softplus(z, threshold=30) if delta_softplus else z
    slope = torch.sigmoid(z) if delta_softplus else None
    return (
        _to_rows(u, groups),
        _to_rows(delta, groups),
        A.unflatten(0, (groups, -1)),
        _to_rows(B.flatten(1, 2), groups),
        _to_rows(C.flatten(1, 2), groups),
        D.unflatten(0, (groups, -1)),
    ), slope


def two_level_forward(u, delta, A, B, C, D, delta_bias, delta_softplus):
    """:func:`forward` in plain torch."""
    rows, _ = _as_rows(u, delta, A, B, C, D, delta_bias, delta_softplus)
    y, entry = scan_forward(*rows)
    # (B, rows, G, D / G, N) -> (B, rows, N, D)
    return _from_rows(y, u.shape[2]), entry.flatten(2, 3).transpose(2, 3)


def two_level_backward(dy, states, u, delta, A, B, C, D, delta_bias, delta_softplus):
    """:func:`backward` in plain torch."""
    length, groups = u.shape[2], B.shape[1]
    rows, slope = _as_rows(u, delta, A, B, C, D, delta_bias, delta_softplus)
    entry = states.transpose(2, 3).unflatten(2, (groups, -1))
    du, ddelta, dA, dB, dC, dD = scan_backward(_to_rows(dy, groups), entry, *rows)
    ddelta = _from_rows(ddelta, length)
    if delta_softplus:
        ddelta = ddelta * slope
    dB, dC = (_from_rows(t, length).unflatten(1, (groups, -1)) for t in (dB, dC))
    return (
        _from_rows(du, length),
        ddelta,
        dA.flatten(0, 1),
        dB,
        dC,
        dD.flatten(),
        ddelta.sum((0, 2)),
    )
