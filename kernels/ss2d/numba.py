"""The four-direction scan on the CPU: numba kernels in float32.

Lanes are channels: for a block of channels the map is walked in each of the
four orders, because directions are nothing but addresses, and every inner loop runs
over the block. Maps are channels-last, (B, H, W, D). A line is what a direction runs
along: a row of the map in directions 0 and 2, a column in 1 and 3.
"""

import math

import numpy as np
import torch
from numba import njit

from .._numba.math import (
    replay_position,
    scan_position,
    scan_position_backward,
    softplus,
    softplus_and_slope,
    use_widest_vectors,
)
from .._numba.parallel import FASTMATH, Kernel, backward_shares, block_lanes, num_threads
from .torch import states_shape

_ZERO = np.float32(0)


@njit(fastmath=FASTMATH, forceinline=True)
def _project(lanes, low, own, z):
    """Compute z = dt . dt_weight + dt_bias at one position, before softplus."""
    use_widest_vectors()
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
    """Copy a block's parameters: dt_weight, dt_bias and D to (R + 2, lanes), A to (N, lanes)."""
    rank = own.shape[0] - 2
    for c in range(used):
        own[rank, c] = dt_bias[k, start + c]
        own[rank + 1, c] = D[k, start + c]
    for r in range(rank):
        for c in range(used):
            own[r, c] = dt_weight[k, start + c, r]
    for n in range(own_A.shape[0]):
        for c in range(used):
            own_A[n, c] = A[k, start + c, n]


@njit(fastmath=FASTMATH)
def _add(k, start, used, own, own_A, dt_weight, dt_bias, A, D):
    """Add a block's gradients to those of the parameters: the adjoint of `_load`."""
    rank = own.shape[0] - 2
    for c in range(used):
        dt_bias[k, start + c] += own[rank, c]
        D[k, start + c] += own[rank + 1, c]
    for r in range(rank):
        for c in range(used):
            dt_weight[k, start + c, r] += own[r, c]
    for n in range(own_A.shape[0]):
        for c in range(used):
            A[k, start + c, n] += own_A[n, c]


@Kernel
def ss2d_fwd_kernel(
    x, dt_B_C, dt_weight, dt_bias, A, D, y, y_columns, states, sets, lanes, first, last
):
    """Scan for shares first to last.

    A share is one image by a block of ``lanes`` channels by one of the sets of
    directions: all, or the directions along rows and those along columns.

    Args:
        x (ndarray): Map of shape (B, H, W, D).
        dt_B_C (ndarray): Projection of shape (B, H, W, 4, R + 2N).
        dt_weight (ndarray): Weight of shape (4, D, R).
        dt_bias (ndarray): Bias of shape (4, D).
        A (ndarray): Decay rates times log2(e), of shape (4, D, N).
        D (ndarray): Weight of the direct path, of shape (4, D).
        y (ndarray): Sum over the first set, of shape (B, H, W, D), written.
        y_columns (ndarray): Sum over the second set, if there is one.
        states (ndarray): States at the entry of every line of the four
            directions, of shape (B, 2 (H + W), N, D), written.
        sets (int): Number of sets, 1 or 2.
        lanes (int): Number of channels to a block.
        first (int): First share.
        last (int): Share after the last one.
    """
    use_widest_vectors()
    _, height, width, channels = x.shape
    rank, state = dt_weight.shape[2], A.shape[2]
    blocks = -(-channels // lanes)
    # (rank + 2, lanes): dt_weight, dt_bias and D of the block
    own = np.zeros((rank + 2, lanes), np.float32)
    own_A = np.zeros((state, lanes), np.float32)
    h = np.zeros((state, lanes), np.float32)
    u = np.zeros(lanes, np.float32)
    delta = np.zeros(lanes, np.float32)
    out = np.zeros(lanes, np.float32)
    for share in range(first, last):
        first_k, block = share % sets, share // sets
        b, start = block // blocks, block % blocks * lanes
        y_set = y if first_k == 0 else y_columns
        used = min(lanes, channels - start)
        stop = start + used
        for k in range(first_k, 4, sets):
            _load(k, start, used, dt_weight, dt_bias, A, D, own, own_A)
            h[:] = _ZERO
            lines, positions = (height, width) if k % 2 == 0 else (width, height)
            offset = (k % 2) * height + (k // 2) * (height + width)
            for line in range(lines):
                line = line if k < 2 else lines - 1 - line
                for n in range(state):
                    for c in range(used):
                        states[b, offset + line, n, start + c] = h[n, c]
                for position in range(positions):
                    position = position if k < 2 else positions - 1 - position
                    i, j = (line, position) if k % 2 == 0 else (position, line)
                    low = dt_B_C[b, i, j, k]
                    x_ij = x[b, i, j, start:stop]
                    y_ij = y_set[b, i, j, start:stop]
                    for c in range(used):
                        u[c] = x_ij[c]
                    _project(lanes, low, own, delta)
                    for c in range(lanes):
                        delta[c] = softplus(delta[c])
                        out[c] = own[rank + 1, c] * u[c]
                    scan_position(
                        lanes,
                        u,
                        delta,
                        own_A,
                        low[rank : rank + state],
                        low[rank + state :],
                        h,
                        out,
                    )
                    if k == first_k:
                        for c in range(used):
                            y_ij[c] = out[c]
                    else:
                        for c in range(used):
                            y_ij[c] += out[c]


@njit(fastmath=FASTMATH, forceinline=True)
def _project_backward(lanes, positions, reverse, low, own, dz, dlow, d_own):
    """Compute the gradients of `_project` for a line.

    Args:
        lanes (int): Number of channels in the block.
        positions (int): Number of positions in the line.
        reverse (bool): ``dz`` has the last position first.
        low (ndarray): Line of dt_B_C, of shape (positions, R + 2N).
        own (ndarray): Parameters of the block, of shape (R + 2, lanes).
        dz (ndarray): Gradient of z, of shape (positions, lanes).
        dlow (ndarray): Gradient of ``low``, added to.
        d_own (ndarray): Gradient of ``own``, added to.
    """
    use_widest_vectors()
    rank = own.shape[0] - 2
    for t in range(positions):
        i = positions - 1 - t if reverse else t
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
        while t + 3 < positions:
            i = positions - 1 - t if reverse else t
            j = -1 if reverse else 1
            d0, d1 = low[i, r], low[i + j, r]
            d2, d3 = low[i + 2 * j, r], low[i + 3 * j, r]
            for c in range(lanes):
                d_own[r, c] += (
                    d0 * dz[t, c] + d1 * dz[t + 1, c] + d2 * dz[t + 2, c] + d3 * dz[t + 3, c]
                )
            t += 4
        while t < positions:
            d0 = low[positions - 1 - t if reverse else t, r]
            for c in range(lanes):
                d_own[r, c] += d0 * dz[t, c]
            t += 1


@Kernel
def ss2d_bwd_kernel(
    dy,
    states,
    x,
    dt_B_C,
    dt_weight,
    dt_bias,
    A,
    D,
    dx,
    dx_columns,
    ddt_B_C,
    dweight,
    dbias,
    dA,
    dD,
    sets,
    lanes,
    first,
    last,
):
    """Compute the gradients of `ss2d_fwd_kernel`, for shares first to last.

    A share is a part of the batch by a slice of channel blocks by a set of directions;
    slices write partial sums of ``ddt_B_C``, parts write partial sums of the
    parameters' gradients. A line is scanned again from its entry state, then walked back.

    Args:
        dy (ndarray): Gradient of y, of shape (B, H, W, D).
        states, x, dt_B_C, dt_weight, dt_bias, A, D: As for `ss2d_fwd_kernel`.
        dx (ndarray): Gradient of x through the first set, of shape (B, H, W, D), written.
        dx_columns (ndarray): Gradient of x through the second set, if there is one.
        ddt_B_C (ndarray): Gradient of dt_B_C, of shape
            (slices, B, H, W, 4, R + 2N), zero before, added to.
        dweight (ndarray): Gradient of dt_weight, of shape (parts, 4, D, R), zero
            before, added to; so are the next three.
        dbias (ndarray): Gradient of dt_bias, of shape (parts, 4, D).
        dA (ndarray): Gradient of A, of shape (parts, 4, D, N).
        dD (ndarray): Gradient of D, of shape (parts, 4, D).
        sets (int): Number of sets, 1 or 2.
        lanes (int): Number of channels to a block.
        first (int): First share.
        last (int): Share after the last one.
    """
    use_widest_vectors()
    batch, height, width, channels = x.shape
    rank, state = dt_weight.shape[2], A.shape[2]
    slices, parts = ddt_B_C.shape[0], dA.shape[0]
    blocks = -(-channels // lanes)
    longest = max(height, width)
    own = np.zeros((rank + 2, lanes), np.float32)
    d_own = np.zeros((rank + 2, lanes), np.float32)
    own_A = np.zeros((state, lanes), np.float32)
    d_own_A = np.zeros((state, lanes), np.float32)
    carry = np.zeros((state, lanes), np.float32)
    u = np.zeros(lanes, np.float32)
    dy_c = np.zeros(lanes, np.float32)
    du = np.zeros(lanes, np.float32)
    ddelta = np.zeros(lanes, np.float32)
    # of one line, in the order of the scan
    delta = np.zeros((longest, lanes), np.float32)
    dz = np.zeros((longest, lanes), np.float32)
    a = np.zeros((longest, state, lanes), np.float32)
    h = np.zeros((longest + 1, state, lanes), np.float32)
    for share in range(first, last):
        first_k, part, i_slice = share % sets, share // sets // slices, share // sets % slices
        dx_set = dx if first_k == 0 else dx_columns
        for job in range(batch * part // parts * blocks, batch * (part + 1) // parts * blocks):
            b, block = job // blocks, job % blocks
            if block * slices // blocks != i_slice:
                continue
            start = block * lanes
            used = min(lanes, channels - start)
            stop = start + used
            # lanes past the last channel are zero, because they are summed too
            u[:] = _ZERO
            dy_c[:] = _ZERO
            own[:] = _ZERO
            own_A[:] = _ZERO
            h[0] = _ZERO
            for k in range(first_k, 4, sets):
                _load(k, start, used, dt_weight, dt_bias, A, D, own, own_A)
                d_own[:] = _ZERO
                d_own_A[:] = _ZERO
                carry[:] = _ZERO
                reverse, column = k >= 2, k % 2 == 1
                lines, positions = (width, height) if column else (height, width)
                offset = (k % 2) * height + (k // 2) * (height + width)
                for line in range(lines):
                    line = line if reverse else lines - 1 - line
                    if column:
                        low, dlow = dt_B_C[b, :, line, k], ddt_B_C[i_slice, b, :, line, k]
                    else:
                        low, dlow = dt_B_C[b, line, :, k], ddt_B_C[i_slice, b, line, :, k]
                    for n in range(state):
                        for c in range(used):
                            h[0, n, c] = states[b, offset + line, n, start + c]
                    for t in range(positions):
                        i = positions - 1 - t if reverse else t
                        row, col = (i, line) if column else (line, i)
                        x_ij = x[b, row, col, start:stop]
                        for c in range(used):
                            u[c] = x_ij[c]
                        _project(lanes, low[i], own, dz[t])
                        for c in range(lanes):
                            delta[t, c], dz[t, c] = softplus_and_slope(dz[t, c])
                        replay_position(
                            lanes,
                            u,
                            delta[t],
                            own_A,
                            low[i, rank : rank + state],
                            h[t],
                            a[t],
                            h[t + 1],
                        )
                    for t in range(positions - 1, -1, -1):
                        i = positions - 1 - t if reverse else t
                        row, col = (i, line) if column else (line, i)
                        x_ij = x[b, row, col, start:stop]
                        dy_ij = dy[b, row, col, start:stop]
                        dx_ij = dx_set[b, row, col, start:stop]
                        for c in range(used):
                            u[c] = x_ij[c]
                            dy_c[c] = dy_ij[c]
                        for c in range(lanes):
                            du[c] = own[rank + 1, c] * dy_c[c]
                            d_own[rank + 1, c] += u[c] * dy_c[c]
                            ddelta[c] = _ZERO
                        scan_position_backward(
                            lanes,
                            u,
                            delta[t],
                            own_A,
                            low[i, rank : rank + state],
                            low[i, rank + state :],
                            dy_c,
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
                        if k == first_k:
                            for c in range(used):
                                dx_ij[c] = du[c]
                        else:
                            for c in range(used):
                                dx_ij[c] += du[c]
                    _project_backward(lanes, positions, reverse, low, own, dz, dlow, d_own)
                _add(
                    k,
                    start,
                    used,
                    d_own,
                    d_own_A,
                    dweight[part],
                    dbias[part],
                    dA[part],
                    dD[part],
                )


def _arrays(
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
) -> list[np.ndarray]:
    """Lay the inputs out as the kernels read them."""
    tensors = (
        # (B, D, H, W) -> (B, H, W, D)
        x.to(A.dtype).permute(0, 2, 3, 1),
        dt_B_C.to(A.dtype),
        # copies, because FSDP frees the storage of parameters, and cannot free what an
        # array looks at
        dt_weight.clone(),
        dt_bias.clone(),
        A * math.log2(math.e),
        D.clone(),
    )
    return [t.detach().contiguous().numpy() for t in tensors]


def _direction_sets(threads: int, batch: int, channels: int) -> int:
    """Choose between one map that all directions add to and two, rows' and columns'.

    Threads share an image by channels, unless their blocks would be short: an element
    of 96 channels takes up to a quarter longer than one of 192.
    """
    return 2 if threads > batch * -(-channels // block_lanes(channels)) else 1


def _sum(total: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    for other in others:
        total += other
    return total


def forward(
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan a map in float32.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D (Tensor): As for
            `sparx_mm.kernels.ss2d`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, D, H, W), channels-last, and the states
        at the entry of each line, of shape (B, 2 (H + W), N, D).
    """
    batch, channels, height, width = x.shape
    arrays = _arrays(x, dt_B_C, dt_weight, dt_bias, A, D)
    states = torch.empty(states_shape(x, A))
    threads = num_threads(4 * x.numel() * A.shape[-1])
    sets = _direction_sets(threads, batch, channels)
    sums = [torch.empty(batch, height, width, channels) for _ in range(sets)]
    lanes = block_lanes(channels, -(-threads // (batch * sets)))
    shares = sets * batch * -(-channels // lanes)
    outputs = (t.numpy() for t in (sums[0], sums[-1], states))
    ss2d_fwd_kernel(threads, shares, *arrays, *outputs, sets, lanes)
    return _sum(*sums).permute(0, 3, 1, 2), states


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward` in float32.

    Args:
        dy (Tensor): Gradient of y, of shape (B, D, H, W).
        states (Tensor): States from `forward`.
        x, dt_B_C, dt_weight, dt_bias, A, D (Tensor): As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of x, dt_B_C, dt_weight, dt_bias, A and D, of
        their shapes.
    """
    batch, channels, height, width = x.shape
    arrays = _arrays(x, dt_B_C, dt_weight, dt_bias, A, D)
    # (B, D, H, W) -> (B, H, W, D)
    dy = dy.to(A.dtype).detach().permute(0, 2, 3, 1).contiguous()
    threads = num_threads(8 * x.numel() * A.shape[-1])
    sets = _direction_sets(threads, batch, channels)
    # so few slices that their partial gradients of dt_B_C are two maps at most
    max_slices = channels // (2 * dt_B_C.shape[-1])
    parts, slices = backward_shares(-(-threads // sets), batch, max_slices)
    lanes = block_lanes(channels, slices)
    sums = [torch.empty(batch, height, width, channels) for _ in range(sets)]
    ddt_B_C = torch.zeros(slices, *dt_B_C.shape)
    partial = [torch.zeros(parts, *array.shape) for array in arrays[2:]]
    ss2d_bwd_kernel(
        threads,
        sets * parts * slices,
        dy.numpy(),
        states.detach().contiguous().numpy(),
        *arrays,
        *(t.numpy() for t in (sums[0], sums[-1], ddt_B_C, *partial)),
        sets,
        lanes,
    )
    return _sum(*sums).permute(0, 3, 1, 2), ddt_B_C.sum(0), *(t.sum(0) for t in partial)
