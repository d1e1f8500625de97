"""Four-direction scan kernels for the CPU, in numba and float32.

Lanes are channels: for a block of channels the map is walked in each of the
four orders, directions being nothing but addresses, and every inner loop runs
over the block. Maps are channels-last, (B, H, W, D). A row is what direction
0 scans along, so a column in directions 1 and 3.
"""

import numpy as np
from numba import njit

from .._numba.math import keep_row, scan_row, scan_row_backward, softplus, softplus_and_slope
from .._numba.pool import FASTMATH, Kernel

_ZERO = np.float32(0)


@njit(fastmath=FASTMATH, forceinline=True)
def _step_sizes(lanes, low, own, z):
    """z = dt . dt_weight + dt_bias at one position, before the softplus."""
    rank = own.shape[0] - 2
    for c in range(lanes):
        z[c] = own[rank, c]
    r = 0
    # four at a time: z is loaded and stored less often
    while r + 3 < rank:
        d0, d1, d2, d3 = low[r], low[r + 1], low[r + 2], low[r + 3]
        for c in range(lanes):
            z[c] += d0 * own[r, c] + d1 * own[r + 1, c] + d2 * own[r + 2, c] + d3 * own[r + 3, c]
        r += 4
    while r < rank:
        d0 = low[r]
        for c in range(lanes):
            z[c] += d0 * own[r, c]
        r += 1


@njit(fastmath=FASTMATH)
def _load(k, start, used, dt_weight, dt_bias, A, D, own, own_A):
    """Copy a block's parameters: (R, lanes) weights, bias, D; (N, lanes) A."""
    rank = own.shape[0] - 2
    for c in range(used):
        own[rank, c] = dt_bias[k, start + c]
        own[rank + 1, c] = D[k, start + c]
    for r in range(rank):
        for c in range(used):
            own[r, c] = dt_weight[k, r, start + c]
    for n in range(own_A.shape[0]):
        for c in range(used):
            own_A[n, c] = A[k, n, start + c]


@njit(fastmath=FASTMATH)
def _add(k, start, used, own, own_A, dt_weight, dt_bias, A, D):
    """The adjoint of :func:`_load`."""
    rank = own.shape[0] - 2
    for c in range(used):
        dt_bias[k, start + c] += own[rank, c]
        D[k, start + c] += own[rank + 1, c]
    for r in range(rank):
        for c in range(used):
            dt_weight[k, r, start + c] += own[r, c]
    for n in range(own_A.shape[0]):
        for c in range(used):
            A[k, n, start + c] += own_A[n, c]


@Kernel
def forward(x, p, dt_weight, dt_bias, A, D, y, states, lanes, first, last):
    """Scan blocks first to last; a block is one image by ``lanes`` channels.

    Args:
        x (ndarray): (B, H, W, D).
        p (ndarray): (B, H, W, 4, R + 2N).
        dt_weight (ndarray): (4, R, D).
        dt_bias (ndarray): (4, D).
        A (ndarray): (4, N, D), times log2(e).
        D (ndarray): (4, D).
        y (ndarray): (B, H, W, D), written.
        states (ndarray): (B, 2 (H + W), N, D) states at the entry of every
            row of the four directions, written.
        lanes (int): Channels to a block.
        first (int): First block.
        last (int): The block after the last one.
    """
    _, height, width, channels = x.shape
    rank, state = dt_weight.shape[1], A.shape[1]
    blocks = -(-channels // lanes)
    # (rank + 2, lanes): dt_weight, dt_bias and D of the block
    own = np.zeros((rank + 2, lanes), np.float32)
    own_A = np.zeros((state, lanes), np.float32)
    h = np.zeros((state, lanes), np.float32)
    u = np.zeros(lanes, np.float32)
    delta = np.zeros(lanes, np.float32)
    out = np.zeros(lanes, np.float32)
    for block in range(first, last):
        b, start = block // blocks, block % blocks * lanes
        used = min(lanes, channels - start)
        stop = start + used
        for k in range(4):
            _load(k, start, used, dt_weight, dt_bias, A, D, own, own_A)
            h[:] = _ZERO
            rows, steps = (height, width) if k % 2 == 0 else (width, height)
            offset = (k % 2) * height + (k // 2) * (height + width)
            for row in range(rows):
                row = row if k < 2 else rows - 1 - row
                for n in range(state):
                    for c in range(used):
                        states[b, offset + row, n, start + c] = h[n, c]
                for step in range(steps):
                    step = step if k < 2 else steps - 1 - step
                    i, j = (row, step) if k % 2 == 0 else (step, row)
                    low = p[b, i, j, k]
                    x_ij = x[b, i, j, start:stop]
                    y_ij = y[b, i, j, start:stop]
                    for c in range(used):
                        u[c] = x_ij[c]
                    _step_sizes(lanes, low, own, delta)
                    for c in range(lanes):
                        delta[c] = softplus(delta[c])
                        out[c] = own[rank + 1, c] * u[c]
                    scan_row(
                        lanes,
                        u,
                        delta,
                        own_A,
                        low[rank : rank + state],
                        low[rank + state :],
                        h,
                        out,
                    )
                    if k == 0:
                        for c in range(used):
                            y_ij[c] = out[c]
                    else:
                        for c in range(used):
                            y_ij[c] += out[c]


@njit(fastmath=FASTMATH, forceinline=True)
def _step_sizes_backward(lanes, steps, reverse, low, own, dz, dlow, d_own):
    """Gradients of :func:`_step_sizes` for a row.

    Args:
        lanes (int): Channels in the block.
        steps (int): Positions in the row.
        reverse (bool): Whether ``dz`` has the last position first.
        low (ndarray): (steps, R + 2N), the row of p.
        own (ndarray): (R + 2, lanes).
        dz (ndarray): (steps, lanes).
        dlow (ndarray): Gradient of ``low``, added to.
        d_own (ndarray): Gradient of ``own``, added to.
    """
    rank = own.shape[0] - 2
    for t in range(steps):
        i = steps - 1 - t if reverse else t
        r = 0
        while r + 3 < rank:
            s0 = s1 = s2 = s3 = _ZERO
            for c in range(lanes):
                s0 += dz[t, c] * own[r, c]
                s1 += dz[t, c] * own[r + 1, c]
                s2 += dz[t, c] * own[r + 2, c]
                s3 += dz[t, c] * own[r + 3, c]
            dlow[i, r] += s0
            dlow[i, r + 1] += s1
            dlow[i, r + 2] += s2
            dlow[i, r + 3] += s3
            r += 4
        while r < rank:
            s0 = _ZERO
            for c in range(lanes):
                s0 += dz[t, c] * own[r, c]
            dlow[i, r] += s0
            r += 1
        for c in range(lanes):
            d_own[rank, c] += dz[t, c]
    for r in range(rank):
        t = 0
        while t + 3 < steps:
            i = steps - 1 - t if reverse else t
            j = -1 if reverse else 1
            d0, d1 = low[i, r], low[i + j, r]
            d2, d3 = low[i + 2 * j, r], low[i + 3 * j, r]
            for c in range(lanes):
                d_own[r, c] += (
                    d0 * dz[t, c] + d1 * dz[t + 1, c] + d2 * dz[t + 2, c] + d3 * dz[t + 3, c]
                )
            t += 4
        while t < steps:
            d0 = low[steps - 1 - t if reverse else t, r]
            for c in range(lanes):
                d_own[r, c] += d0 * dz[t, c]
            t += 1


@Kernel
def backward(
    dy, states, x, p, dt_weight, dt_bias, A, D, dx, dp, d_weight, d_bias, dA, dD, lanes, first, last
):
    """Gradients of :func:`forward`, for shares first to last.

    A share is a group of images by a slice of channel blocks; slices write
    partial sums of ``dp``, groups partial sums of the parameters' gradients.
    A row is scanned again from its entry state, then walked back.

    Args:
        dy (ndarray): (B, H, W, D).
        states, x, p, dt_weight, dt_bias, A, D: As for :func:`forward`.
        dx (ndarray): (B, H, W, D), written.
        dp (ndarray): (slices, B, H, W, 4, R + 2N), zero, added to.
        d_weight (ndarray): (groups, 4, R, D), zero, added to; likewise:
        d_bias (ndarray): (groups, 4, D).
        dA (ndarray): (groups, 4, N, D).
        dD (ndarray): (groups, 4, D).
        lanes (int): Channels to a block.
        first (int): First share.
        last (int): The share after the last one.
    """
    batch, height, width, channels = x.shape
    rank, state = dt_weight.shape[1], A.shape[1]
    slices, groups = dp.shape[0], dA.shape[0]
    blocks = -(-channels // lanes)
    longest = max(height, width)
    own = np.zeros((rank + 2, lanes), np.float32)
    d_own = np.zeros((rank + 2, lanes), np.float32)
    own_A = np.zeros((state, lanes), np.float32)
    d_own_A = np.zeros((state, lanes), np.float32)
    carry = np.zeros((state, lanes), np.float32)
    u = np.zeros(lanes, np.float32)
    d_out = np.zeros(lanes, np.float32)
    du = np.zeros(lanes, np.float32)
    ddelta = np.zeros(lanes, np.float32)
    # kept for a row, in the order of the scan
    delta = np.zeros((longest, lanes), np.float32)
    dz = np.zeros((longest, lanes), np.float32)
    a = np.zeros((longest, state, lanes), np.float32)
    h = np.zeros((longest + 1, state, lanes), np.float32)
    for share in range(first, last):
        group, part = share // slices, share % slices
        for job in range(batch * group // groups * blocks, batch * (group + 1) // groups * blocks):
            b, block = job // blocks, job % blocks
            if block * slices // blocks != part:
                continue
            start = block * lanes
            used = min(lanes, channels - start)
            stop = start + used
            # lanes past the last channel are zero, and add nothing to sums
            u[:] = _ZERO
            d_out[:] = _ZERO
            own[:] = _ZERO
            own_A[:] = _ZERO
            h[0] = _ZERO
            for k in range(4):
                _load(k, start, used, dt_weight, dt_bias, A, D, own, own_A)
                d_own[:] = _ZERO
                d_own_A[:] = _ZERO
                carry[:] = _ZERO
                reverse, column = k >= 2, k % 2 == 1
                rows, steps = (width, height) if column else (height, width)
                offset = (k % 2) * height + (k // 2) * (height + width)
                for row in range(rows):
                    row = row if reverse else rows - 1 - row
                    if column:
                        low, dlow = p[b, :, row, k], dp[part, b, :, row, k]
                        x_row = x[b, :, row, start:stop]
                        dy_row = dy[b, :, row, start:stop]
                        dx_row = dx[b, :, row, start:stop]
                    else:
                        low, dlow = p[b, row, :, k], dp[part, b, row, :, k]
                        x_row = x[b, row, :, start:stop]
                        dy_row = dy[b, row, :, start:stop]
                        dx_row = dx[b, row, :, start:stop]
                    for n in range(state):
                        for c in range(used):
                            h[0, n, c] = states[b, offset + row, n, start + c]
                    for t in range(steps):
                        i = steps - 1 - t if reverse else t
                        for c in range(used):
                            u[c] = x_row[i, c]
                        _step_sizes(lanes, low[i], own, dz[t])
                        for c in range(lanes):
                            delta[t, c], dz[t, c] = softplus_and_slope(dz[t, c])
                        keep_row(
                            lanes,
                            u,
                            delta[t],
                            own_A,
                            low[i, rank : rank + state],
                            h[t],
                            a[t],
                            h[t + 1],
                        )
                    for t in range(steps - 1, -1, -1):
                        i = steps - 1 - t if reverse else t
                        for c in range(used):
                            u[c] = x_row[i, c]
                            d_out[c] = dy_row[i, c]
                        for c in range(lanes):
                            du[c] = own[rank + 1, c] * d_out[c]
                            d_own[rank + 1, c] += u[c] * d_out[c]
                            ddelta[c] = _ZERO
                        scan_row_backward(
                            lanes,
                            u,
                            delta[t],
                            own_A,
                            low[i, rank : rank + state],
                            low[i, rank + state :],
                            d_out,
                            a[t],
                            h[t],
                            h[t + 1],
                            carry,
                            du,
                            ddelta,
                            d_own_A,
                            dlow[i, rank : rank + state],
                            dlow[i, rank + state :],
                        )
                        for c in range(lanes):
                            dz[t, c] *= ddelta[c]
                        if k == 0:
                            for c in range(used):
                                dx_row[i, c] = du[c]
                        else:
                            for c in range(used):
                                dx_row[i, c] += du[c]
                    _step_sizes_backward(lanes, steps, reverse, low, own, dz, dlow, d_own)
                _add(
                    k,
                    start,
                    used,
                    d_own,
                    d_own_A,
                    d_weight[group],
                    d_bias[group],
                    dA[group],
                    dD[group],
                )
