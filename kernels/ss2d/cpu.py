"""The four-direction scan without a GPU kernel.

numba kernels for float32 on the CPU, and the two-level scan in plain torch
for everything else: float64, other devices, no numba.
"""

import math

import torch
import torch.nn.functional as F

from .._numba.pool import backward_shares, block_lanes, num_threads
from .._torch.two_level import scan_backward, scan_forward
from ..dispatch import runs_numba

# the directions as the two-level scan names them
_DIRECTIONS = (dict(), dict(column=True), dict(reverse=True), dict(column=True, reverse=True))


def states_shape(x, A):
    """Shape of the states at the entry of each row, kept for backward."""
    batch, channels, height, width = x.shape
    return batch, 2 * (height + width), A.shape[-1], channels


def forward(x, p, dt_weight, dt_bias, A, D):
    """The scan in the dtype of A; see :func:`sparx_mm.kernels.ss2d`.

    Returns:
        tuple[Tensor, Tensor]: y (B, D, H, W), channels-last or not, and the
        states at the entry of each row, (B, 2 (H + W), N, D): the rows of
        direction 0, the columns of 1, the rows of 2, the columns of 3.
    """
    x, p = x.to(A.dtype), p.to(A.dtype)
    run = _fused_forward if runs_numba(x) else two_level_forward
    return run(x, p, dt_weight, dt_bias, A, D)


def backward(dy, states, x, p, dt_weight, dt_bias, A, D):
    """Gradients of x, p, dt_weight, dt_bias, A and D; as :func:`forward`."""
    dy, x, p = (t.to(A.dtype) for t in (dy, x, p))
    run = _fused_backward if runs_numba(x) else two_level_backward
    return run(dy, states, x, p, dt_weight, dt_bias, A, D)


def _arrays(x, p, dt_weight, dt_bias, A, D):
    """The inputs as the numba kernels read them."""
    tensors = (
        x.permute(0, 2, 3, 1),
        p,
        dt_weight.transpose(1, 2),
        dt_bias,
        A.transpose(1, 2) * math.log2(math.e),
        D,
    )
    return [t.detach().contiguous().numpy() for t in tensors]


def _fused_forward(x, p, dt_weight, dt_bias, A, D):
    from . import fused

    batch, channels, height, width = x.shape
    arrays = _arrays(x, p, dt_weight, dt_bias, A, D)
    y = torch.empty(batch, height, width, channels)
    states = torch.empty(states_shape(x, A))
    threads = num_threads(4 * x.numel() * A.shape[-1])
    lanes = block_lanes(channels, -(-threads // batch))
    fused.forward(threads, batch * -(-channels // lanes), *arrays, y.numpy(), states.numpy(), lanes)
    return y.permute(0, 3, 1, 2), states


def _fused_backward(dy, states, x, p, dt_weight, dt_bias, A, D):
    from . import fused

    batch, channels, height, width = x.shape
    arrays = _arrays(x, p, dt_weight, dt_bias, A, D)
    dy = dy.detach().permute(0, 2, 3, 1).contiguous().numpy()
    threads = num_threads(8 * x.numel() * A.shape[-1])
    # the slices' partial gradients of p: two maps together at most
    groups, slices = backward_shares(threads, batch, channels // (2 * p.shape[-1]))
    lanes = block_lanes(channels, slices)
    dx = torch.empty(batch, height, width, channels)
    dp = torch.zeros(slices, *p.shape)
    partial = [torch.zeros(groups, *array.shape) for array in arrays[2:]]
    fused.backward(
        threads,
        groups * slices,
        dy,
        states.detach().contiguous().numpy(),
        *arrays,
        dx.numpy(),
        dp.numpy(),
        *(t.numpy() for t in partial),
        lanes,
    )
    d_weight, d_bias, dA, dD = (t.sum(0) for t in partial)
    return (
        dx.permute(0, 3, 1, 2),
        dp.sum(0),
        d_weight.transpose(1, 2),
        d_bias,
        dA.transpose(1, 2),
        dD,
    )


def _low_rank(p, dt_weight, dt_bias, k):
    """Of direction k: dt, B, C and the step before its softplus."""
    rank = dt_weight.shape[-1]
    state = (p.shape[-1] - rank) // 2
    dt, B, C = p[:, :, :, k].split([rank, state, state], dim=-1)
    z = dt @ dt_weight[k].t() + dt_bias[k]
    return dt, B.unsqueeze(3), C.unsqueeze(3), z


def two_level_forward(x, p, dt_weight, dt_bias, A, D):
    """:func:`forward` in plain torch."""
    y, states = 0, []
    u = x.permute(0, 2, 3, 1).unsqueeze(3)
    for k, direction in enumerate(_DIRECTIONS):
        _, B, C, z = _low_rank(p, dt_weight, dt_bias, k)
        delta = F.softplus(z, threshold=30).unsqueeze(3)
        y_k, entry = scan_forward(u, delta, A[k, None], B, C, D[k, None], **direction)
        y = y + y_k.squeeze(3)
        states.append(entry.squeeze(2).transpose(2, 3))
    return y.permute(0, 3, 1, 2), torch.cat(states, 1)


def two_level_backward(dy, states, x, p, dt_weight, dt_bias, A, D):
    """:func:`backward` in plain torch."""
    height, width = x.shape[2:]
    u = x.permute(0, 2, 3, 1).unsqueeze(3)
    dy = dy.permute(0, 2, 3, 1).unsqueeze(3)
    entries = states.transpose(2, 3).unsqueeze(2).split([height, width] * 2, 1)
    dx, dp, d_weight, d_bias, dA, dD = 0, [], [], [], [], []
    for k, direction in enumerate(_DIRECTIONS):
        dt, B, C, z = _low_rank(p, dt_weight, dt_bias, k)
        delta = F.softplus(z, threshold=30).unsqueeze(3)
        du, ddelta, dA_k, dB, dC, dD_k = scan_backward(
            dy, entries[k], u, delta, A[k, None], B, C, D[k, None], **direction
        )
        dz = ddelta.squeeze(3) * torch.sigmoid(z)
        dx = dx + du.squeeze(3)
        dp.append(torch.cat([dz @ dt_weight[k], dB.squeeze(3), dC.squeeze(3)], -1))
        d_weight.append(dz.flatten(0, 2).t() @ dt.flatten(0, 2))
        d_bias.append(dz.sum((0, 1, 2)))
        dA.append(dA_k.squeeze(0))
        dD.append(dD_k.squeeze(0))
    return (
        dx.permute(0, 3, 1, 2),
        torch.stack(dp, 3),
        torch.stack(d_weight),
        torch.stack(d_bias),
        torch.stack(dA),
        torch.stack(dD),
    )


class TwoLevel(torch.autograd.Function):
    """The plain torch form for any device and dtype, to compare with."""

    @staticmethod
    def forward(ctx, *inputs):
        y, states = two_level_forward(*inputs)
        ctx.save_for_backward(states, *inputs)
        return y

    @staticmethod
    def backward(ctx, dy):
        return two_level_backward(dy, *ctx.saved_tensors)
