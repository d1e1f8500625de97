"""The selective scan on the CPU: numba kernels in float32.

Lanes are channels, all of one group; sequences are (B, L, D). A sequence is
cut into chunks of ``chunk`` positions; the states at their entry are kept for
the backward pass, which scans a chunk again before walking it back.
"""

import functools
import math

import numpy as np
import torch

from .._numba.math import (
    replay_position,
    scan_position,
    scan_position_backward,
    softplus,
    softplus_and_slope,
    use_widest_vectors,
)
from .._numba.parallel import Kernel, backward_shares, block_lanes, num_threads
from .torch import CHUNK, states_shape

_ZERO, _ONE = np.float32(0), np.float32(1)


@Kernel
def selective_scan_fwd_kernel(
    u, delta, A, B, C, D, delta_bias, delta_softplus, y, states, chunk, lanes, first, last
):
    """Scan blocks first to last: one sequence by ``lanes`` channels each.

    Args:
        u (ndarray): Inputs of shape (B, L, D).
        delta (ndarray): Step sizes of shape (B, L, D).
        A (ndarray): Decay rates times log2(e), of shape (N, D).
        B (ndarray): Input weights of shape (B, L, G, N).
        C (ndarray): Output weights of shape (B, L, G, N).
        D (ndarray): Weight of the direct path, of shape (D,).
        delta_bias (ndarray): Bias of the step sizes, of shape (D,).
        delta_softplus (bool): Apply softplus to the step sizes.
        y (ndarray): Outputs of shape (B, L, D), written.
        states (ndarray): States at the entry of every chunk, of shape
            (B, chunks, N, D), written.
        chunk (int): Number of positions to a chunk.
        lanes (int): Number of channels to a block.
        first (int): First block.
        last (int): Block after the last one.
    """
    use_widest_vectors()
    _, length, channels = u.shape
    groups, state = B.shape[2:]
    per_group = channels // groups
    blocks = -(-per_group // lanes)
    own_A = np.zeros((state, lanes), np.float32)
    h = np.zeros((state, lanes), np.float32)
    u_t = np.zeros(lanes, np.float32)
    delta_t = np.zeros(lanes, np.float32)
    y_t = np.zeros(lanes, np.float32)
    for job in range(first, last):
        b, group = job // (groups * blocks), job // blocks % groups
        start = group * per_group + job % blocks * lanes
        used = min(lanes, (group + 1) * per_group - start)
        stop = start + used
        for n in range(state):
            for c in range(used):
                own_A[n, c] = A[n, start + c]
        own_D, own_bias = D[start:stop], delta_bias[start:stop]
        h[:] = _ZERO
        for t in range(length):
            if t % chunk == 0:
                for n in range(state):
                    for c in range(used):
                        states[b, t // chunk, n, start + c] = h[n, c]
            u_now, delta_now = u[b, t, start:stop], delta[b, t, start:stop]
            for c in range(used):
                u_t[c] = u_now[c]
                y_t[c] = own_D[c] * u_now[c]
                delta_t[c] = delta_now[c] + own_bias[c]
            if delta_softplus:
                for c in range(lanes):
                    delta_t[c] = softplus(delta_t[c])
            scan_position(lanes, u_t, delta_t, own_A, B[b, t, group], C[b, t, group], h, y_t)
            y_now = y[b, t, start:stop]
            for c in range(used):
                y_now[c] = y_t[c]


@Kernel
def selective_scan_bwd_kernel(
    dy,
    states,
    u,
    delta,
    A,
    B,
    C,
    D,
    delta_bias,
    delta_softplus,
    du,
    ddelta,
    dB,
    dC,
    dA,
    dD,
    dbias,
    chunk,
    lanes,
    first,
    last,
):
    """Compute the gradients of `selective_scan_fwd_kernel`, for shares first to last.

    A share is a part of the batch by a slice of channel blocks; slices write
    partial sums of ``dB`` and ``dC``, parts write partial sums of the parameters'
    gradients.

    Args:
        dy (ndarray): Gradient of y, of shape (B, L, D).
        states, u, delta, A, B, C, D, delta_bias, delta_softplus: As for
            `selective_scan_fwd_kernel`.
        du (ndarray): Gradient of u, of shape (B, L, D), written.
        ddelta (ndarray): Gradient of delta, of shape (B, L, D), written.
        dB (ndarray): Gradient of B, of shape (slices, B, L, G, N), zero before,
            added to; so are the next four.
        dC (ndarray): Gradient of C, like dB.
        dA (ndarray): Gradient of A, of shape (parts, N, D).
        dD (ndarray): Gradient of D, of shape (parts, D).
        dbias (ndarray): Gradient of delta_bias, of shape (parts, D).
        chunk (int): Number of positions to a chunk.
        lanes (int): Number of channels to a block.
        first (int): First share.
        last (int): Share after the last one.
    """
    use_widest_vectors()
    batch, length, channels = u.shape
    groups, state = B.shape[2:]
    slices, parts = dB.shape[0], dA.shape[0]
    per_group = channels // groups
    blocks = -(-per_group // lanes)
    own_A = np.zeros((state, lanes), np.float32)
    d_own_A = np.zeros((state, lanes), np.float32)
    carry = np.zeros((state, lanes), np.float32)
    u_t = np.zeros(lanes, np.float32)
    dy_t = np.zeros(lanes, np.float32)
    du_t = np.zeros(lanes, np.float32)
    ddelta_t = np.zeros(lanes, np.float32)
    # of one chunk
    deltas = np.zeros((chunk, lanes), np.float32)
    slope = np.zeros((chunk, lanes), np.float32)
    a = np.zeros((chunk, state, lanes), np.float32)
    h = np.zeros((chunk + 1, state, lanes), np.float32)
    for share in range(first, last):
        part, i_slice = share // slices, share % slices
        for job in range(
            batch * part // parts * groups * blocks, batch * (part + 1) // parts * groups * blocks
        ):
            b, place = job // (groups * blocks), job % (groups * blocks)
            if place * slices // (groups * blocks) != i_slice:
                continue
            group = place // blocks
            start = group * per_group + place % blocks * lanes
            used = min(lanes, (group + 1) * per_group - start)
            stop = start + used
            own_D, own_bias = D[start:stop], delta_bias[start:stop]
            # lanes past the last channel are zero, because they are summed too
            u_t[:] = _ZERO
            dy_t[:] = _ZERO
            own_A[:] = _ZERO
            deltas[:] = _ZERO
            h[0] = _ZERO
            for n in range(state):
                for c in range(used):
                    own_A[n, c] = A[n, start + c]
            d_own_A[:] = _ZERO
            carry[:] = _ZERO
            for i_chunk in range((length - 1) // chunk, -1, -1):
                first_t, end_t = i_chunk * chunk, min(i_chunk * chunk + chunk, length)
                for n in range(state):
                    for c in range(used):
                        h[0, n, c] = states[b, i_chunk, n, start + c]
                for t in range(first_t, end_t):
                    i = t - first_t
                    u_now = u[b, t, start:stop]
                    delta_now = delta[b, t, start:stop]
                    for c in range(used):
                        u_t[c] = u_now[c]
                        deltas[i, c] = delta_now[c] + own_bias[c]
                    for c in range(lanes):
                        if delta_softplus:
                            deltas[i, c], slope[i, c] = softplus_and_slope(deltas[i, c])
                        else:
                            slope[i, c] = _ONE
                    replay_position(
                        lanes, u_t, deltas[i], own_A, B[b, t, group], h[i], a[i], h[i + 1]
                    )
                for t in range(end_t - 1, first_t - 1, -1):
                    i = t - first_t
                    u_now, dy_now = u[b, t, start:stop], dy[b, t, start:stop]
                    for c in range(used):
                        u_t[c] = u_now[c]
                        dy_t[c] = dy_now[c]
                        du_t[c] = own_D[c] * dy_now[c]
                        dD[part, start + c] += u_now[c] * dy_now[c]
                    for c in range(lanes):
                        ddelta_t[c] = _ZERO
                    scan_position_backward(
                        lanes,
                        u_t,
                        deltas[i],
                        own_A,
                        B[b, t, group],
                        C[b, t, group],
                        dy_t,
                        a[i],
                        h[i],
                        h[i + 1],
                        carry,
                        du_t,
                        ddelta_t,
                        d_own_A,
                        dB[i_slice, b, t, group],
                        dC[i_slice, b, t, group],
                    )
                    du_now = du[b, t, start:stop]
                    ddelta_now = ddelta[b, t, start:stop]
                    for c in range(used):
                        du_now[c] = du_t[c]
                        ddelta_now[c] = ddelta_t[c] * slope[i, c]
                        dbias[part, start + c] += ddelta_t[c] * slope[i, c]
            for n in range(state):
                for c in range(used):
                    dA[part, n, start + c] += d_own_A[n, c]


def _arrays(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
) -> list[np.ndarray]:
    """Lay the inputs out as the kernels read them."""
    u, delta, B, C = (t.to(A.dtype) for t in (u, delta, B, C))
    tensors = (
        # (B, D, L) -> (B, L, D)
        u.transpose(1, 2),
        delta.transpose(1, 2),
        # (D, N) -> (N, D)
        A.t() * math.log2(math.e),
        # (B, G, N, L) -> (B, L, G, N)
        B.permute(0, 3, 1, 2),
        C.permute(0, 3, 1, 2),
        # copies, because FSDP frees the storage of parameters, and cannot free what an
        # array looks at
        D.clone(),
        delta_bias.clone(),
    )
    return [t.detach().contiguous().numpy() for t in tensors]


def forward(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan sequences in float32.

    Args:
        u, delta, A, D, delta_bias, delta_softplus: As for
            `sparx_mm.kernels.selective_scan`, none optional.
        B (Tensor): Input weights of shape (B, G, N, L).
        C (Tensor): Output weights of shape (B, G, N, L).

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, D, L), in any strides, and the states
        at the entry of each chunk, of shape (B, ceil(L / CHUNK), N, D).
    """
    batch, channels, length = u.shape
    groups, state = B.shape[1:3]
    arrays = _arrays(u, delta, A, B, C, D, delta_bias)
    y = torch.empty(batch, length, channels, dtype=torch.float32)
    states = torch.empty(states_shape(u, A), dtype=torch.float32)
    threads = num_threads(u.numel() * state)
    lanes = block_lanes(channels // groups, -(-threads // (batch * groups)))
    selective_scan_fwd_kernel(
        threads,
        batch * groups * -(-channels // groups // lanes),
        *arrays,
        delta_softplus,
        y.numpy(),
        states.numpy(),
        CHUNK,
        lanes,
    )
    return y.transpose(1, 2), states


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor,
    delta_bias: torch.Tensor,
    delta_softplus: bool,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward` in float32.

    Args:
        dy (Tensor): Gradient of y, of shape (B, D, L).
        states (Tensor): States from `forward`.
        u, delta, A, B, C, D, delta_bias, delta_softplus: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of u, delta, A, B, C, D and delta_bias, of
        their shapes.
    """
    batch, channels, length = u.shape
    groups, state = B.shape[1:3]
    arrays = _arrays(u, delta, A, B, C, D, delta_bias)
    # (B, D, L) -> (B, L, D)
    dy = dy.to(A.dtype).detach().transpose(1, 2).contiguous()
    threads = num_threads(2 * u.numel() * state)
    # so few slices that their partial gradients of B and C are half of u at most
    parts, slices = backward_shares(threads, batch, channels // (4 * groups * state))
    lanes = block_lanes(channels // groups, -(-slices // groups))
    # whatever the default dtype is
    empty, zeros = (functools.partial(f, dtype=torch.float32) for f in (torch.empty, torch.zeros))
    du, ddelta = (empty(batch, length, channels) for _ in range(2))
    dB, dC = (zeros(slices, batch, length, groups, state) for _ in range(2))
    dA = zeros(parts, state, channels)
    dD, dbias = (zeros(parts, channels) for _ in range(2))
    selective_scan_bwd_kernel(
        threads,
        parts * slices,
        dy.numpy(),
        states.detach().contiguous().numpy(),
        *arrays,
        delta_softplus,
        *(t.numpy() for t in (du, ddelta, dB, dC, dA, dD, dbias)),
        CHUNK,
        lanes,
    )
    return (
        du.transpose(1, 2),
        ddelta.transpose(1, 2),
        dA.sum(0).t(),
        dB.sum(0).permute(0, 2, 3, 1),
        dC.sum(0).permute(0, 2, 3, 1),
        dD.sum(0),
        dbias.sum(0),
    )
