"""Selective-scan kernels for the CPU, in numba and float32.

Lanes are channels, all of one group; sequences are (B, L, D). A sequence is
cut into rows of ``steps`` positions; the states at their entry are kept for
the backward pass, which scans a row again before walking it back.
"""

import numpy as np

from .._numba.math import keep_row, scan_row, scan_row_backward, softplus, softplus_and_slope
from .._numba.pool import Kernel

_ZERO, _ONE = np.float32(0), np.float32(1)


@Kernel
def forward(u, delta, A, B, C, D, delta_bias, soft, y, states, steps, lanes, first, last):
    """Scan blocks first to last: one sequence by ``lanes`` channels each.

    Args:
        u (ndarray): (B, L, D).
        delta (ndarray): (B, L, D).
        A (ndarray): (N, D), times log2(e).
        B (ndarray): (B, L, G, N).
        C (ndarray): (B, L, G, N).
        D (ndarray): (D,).
        delta_bias (ndarray): (D,).
        soft (bool): Whether softplus is applied to the steps.
        y (ndarray): (B, L, D), written.
        states (ndarray): (B, rows, N, D), written.
        steps (int): Positions to a row.
        lanes (int): Channels to a block.
        first (int): First block.
        last (int): The block after the last one.
    """
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
            if t % steps == 0:
                for n in range(state):
                    for c in range(used):
                        states[b, t // steps, n, start + c] = h[n, c]
            u_row, delta_row = u[b, t, start:stop], delta[b, t, start:stop]
            for c in range(used):
                u_t[c] = u_row[c]
                y_t[c] = own_D[c] * u_row[c]
                delta_t[c] = delta_row[c] + own_bias[c]
            if soft:
                for c in range(lanes):
                    delta_t[c] = softplus(delta_t[c])
            scan_row(lanes, u_t, delta_t, own_A, B[b, t, group], C[b, t, group], h, y_t)
            y_row = y[b, t, start:stop]
            for c in range(used):
                y_row[c] = y_t[c]


@Kernel
def backward(
    dy,
    states,
    u,
    delta,
    A,
    B,
    C,
    D,
    delta_bias,
    soft,
    du,
    ddelta,
    dB,
    dC,
    dA,
    dD,
    d_bias,
    steps,
    lanes,
    first,
    last,
):
    """Gradients of :func:`forward`, for shares first to last.

    A share is a group of sequences by a slice of channel blocks; slices write
    partial sums of ``dB`` and ``dC``, groups of sequences partial sums of the
    parameters' gradients.

    Args:
        dy (ndarray): (B, L, D).
        states, u, delta, A, B, C, D, delta_bias, soft: As for
            :func:`forward`.
        du (ndarray): (B, L, D), written.
        ddelta (ndarray): (B, L, D), written.
        dB (ndarray): (slices, B, L, G, N), zero, added to.
        dC (ndarray): Like dB.
        dA (ndarray): (parts, N, D), zero, added to; likewise:
        dD (ndarray): (parts, D).
        d_bias (ndarray): (parts, D).
        steps (int): Positions to a row.
        lanes (int): Channels to a block.
        first (int): First share.
        last (int): The share after the last one.
    """
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
    # kept for a row
    step = np.zeros((steps, lanes), np.float32)
    slope = np.zeros((steps, lanes), np.float32)
    a = np.zeros((steps, state, lanes), np.float32)
    h = np.zeros((steps + 1, state, lanes), np.float32)
    for share in range(first, last):
        part, piece = share // slices, share % slices
        for job in range(
            batch * part // parts * groups * blocks, batch * (part + 1) // parts * groups * blocks
        ):
            b, place = job // (groups * blocks), job % (groups * blocks)
            if place * slices // (groups * blocks) != piece:
                continue
            group = place // blocks
            start = group * per_group + place % blocks * lanes
            used = min(lanes, (group + 1) * per_group - start)
            stop = start + used
            own_D, own_bias = D[start:stop], delta_bias[start:stop]
            # lanes past the last channel are zero, and add nothing to sums
            u_t[:] = _ZERO
            dy_t[:] = _ZERO
            own_A[:] = _ZERO
            step[:] = _ZERO
            h[0] = _ZERO
            for n in range(state):
                for c in range(used):
                    own_A[n, c] = A[n, start + c]
            d_own_A[:] = _ZERO
            carry[:] = _ZERO
            for row in range((length - 1) // steps, -1, -1):
                begin, end = row * steps, min(row * steps + steps, length)
                for n in range(state):
                    for c in range(used):
                        h[0, n, c] = states[b, row, n, start + c]
                for t in range(begin, end):
                    i = t - begin
                    u_row = u[b, t, start:stop]
                    delta_row = delta[b, t, start:stop]
                    for c in range(used):
                        u_t[c] = u_row[c]
                        step[i, c] = delta_row[c] + own_bias[c]
                    for c in range(lanes):
                        if soft:
                            step[i, c], slope[i, c] = softplus_and_slope(step[i, c])
                        else:
                            slope[i, c] = _ONE
                    keep_row(lanes, u_t, step[i], own_A, B[b, t, group], h[i], a[i], h[i + 1])
                for t in range(end - 1, begin - 1, -1):
                    i = t - begin
                    u_row, dy_row = u[b, t, start:stop], dy[b, t, start:stop]
                    for c in range(used):
                        u_t[c] = u_row[c]
                        dy_t[c] = dy_row[c]
                        du_t[c] = own_D[c] * dy_row[c]
                        dD[part, start + c] += u_row[c] * dy_row[c]
                    for c in range(lanes):
                        ddelta_t[c] = _ZERO
                    scan_row_backward(
                        lanes,
                        u_t,
                        step[i],
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
                        dB[piece, b, t, group],
                        dC[piece, b, t, group],
                    )
                    du_row = du[b, t, start:stop]
                    ddelta_row = ddelta[b, t, start:stop]
                    for c in range(used):
                        du_row[c] = du_t[c]
                        ddelta_row[c] = ddelta_t[c] * slope[i, c]
                        d_bias[part, start + c] += ddelta_t[c] * slope[i, c]
            for n in range(state):
                for c in range(used):
                    dA[part, n, start + c] += d_own_A[n, c]
