"""The four-direction scan on the CPU: numba kernels in float32.

Lanes are channels: for a block of channels the map is walked in each of the
four orders, because directions are nothing but addresses, and every inner loop runs
over the block. Maps are channels-last and flat, (B, L, D) with L = H W. A line is what a
direction runs along: a row of the map in directions 0 and 2, a column in 1 and 3. Other
orders than these come as a table, of which W positions are a line.
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
from ..maps import flatten_map, unflatten_map
from .orders import order_table
from .torch import states_shape

_ZERO = np.float32(0)


@njit(fastmath=FASTMATH, forceinline=True)
def _count_lines(k, height, width, table):
    """Count the lines of direction k, the positions in each, and the lines before them."""
    if table.shape[1]:
        return height, width, k * height
    offset = k // 2 * (height + width)
    if k % 2:
        return width, height, offset + height
    return height, width, offset


@njit(fastmath=FASTMATH, forceinline=True)
def _locate(k, line, height, width, table, places):
    """List the places on the map of a line's positions, in the order of the scan.

    Args:
        k (int): Direction.
        line (int): Number of the line, in the order of the scan.
        height (int): Number of rows of the map.
        width (int): Number of columns of the map.
        table (ndarray): Places of shape (4, L), or of shape (4, 0) for rows, columns
            and their reverses.
        places (ndarray): Places, written.

    Returns:
        int: Number of the line on the map, or in the table's order.
    """
    lines, positions, _ = _count_lines(k, height, width, table)
    if table.shape[1]:
        for t in range(positions):
            places[t] = table[k, line * positions + t]
        return line
    line = lines - 1 - line if k >= 2 else line
    for t in range(positions):
        position = positions - 1 - t if k >= 2 else t
        places[t] = position * width + line if k % 2 else line * width + position
    return line


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
    x,
    dt_B_C,
    dt_weight,
    dt_bias,
    A,
    D,
    y,
    y_odd,
    states,
    table,
    height,
    width,
    sets,
    lanes,
    first,
    last,
):
    """Scan for shares first to last.

    A share is one image by a block of ``lanes`` channels by one of the sets of
    directions: all, or 0 and 2, or 1 and 3.

    Args:
        x (ndarray): Map of shape (B, L, D).
        dt_B_C (ndarray): Projection of shape (B, L, 4, R + 2N).
        dt_weight (ndarray): Weight of shape (4, D, R).
        dt_bias (ndarray): Bias of shape (4, D).
        A (ndarray): Decay rates times log2(e), of shape (4, D, N).
        D (ndarray): Weight of the direct path, of shape (4, D).
        y (ndarray): Sum over the first set, of shape (B, L, D), written.
        y_odd (ndarray): Sum over the second set, if there is one.
        states (ndarray): States at the entry of every line of the four
            directions, of shape (B, lines, N, D), written.
        table (ndarray): Order of each direction, of shape (4, L), int32, or (4, 0) for
            rows, columns and their reverses.
        height (int): Number of rows of the map.
        width (int): Number of columns of the map.
        sets (int): Number of sets, 1 or 2.
        lanes (int): Number of channels to a block.
        first (int): First share.
        last (int): Share after the last one.
    """
    use_widest_vectors()
    channels = x.shape[2]
    rank, state = dt_weight.shape[2], A.shape[2]
    blocks = -(-channels // lanes)
    # (rank + 2, lanes): dt_weight, dt_bias and D of the block
    own = np.zeros((rank + 2, lanes), np.float32)
    own_A = np.zeros((state, lanes), np.float32)
    h = np.zeros((state, lanes), np.float32)
    u = np.zeros(lanes, np.float32)
    delta = np.zeros(lanes, np.float32)
    out = np.zeros(lanes, np.float32)
    places = np.zeros(max(height, width), np.int64)
    for share in range(first, last):
        first_k, block = share % sets, share // sets
        b, start = block // blocks, block % blocks * lanes
        y_set = y if first_k == 0 else y_odd
        used = min(lanes, channels - start)
        stop = start + used
        for k in range(first_k, 4, sets):
            _load(k, start, used, dt_weight, dt_bias, A, D, own, own_A)
            h[:] = _ZERO
            lines, positions, offset = _count_lines(k, height, width, table)
            for line in range(lines):
                slot = offset + _locate(k, line, height, width, table, places)
                for n in range(state):
                    for c in range(used):
                        states[b, slot, n, start + c] = h[n, c]
                for t in range(positions):
                    low = dt_B_C[b, places[t], k]
                    x_t = x[b, places[t], start:stop]
                    y_t = y_set[b, places[t], start:stop]
                    for c in range(used):
                        u[c] = x_t[c]
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
                            y_t[c] = out[c]
                    else:
                        for c in range(used):
                            y_t[c] += out[c]


@njit(fastmath=FASTMATH, forceinline=True)
def _project_backward(lanes, positions, places, low, own, dz, dlow, d_own):
    """Compute the gradients of `_project` for a line.

    Args:
        lanes (int): Number of channels in the block.
        positions (int): Number of positions in the line.
        places (ndarray): Their places on the map.
        low (ndarray): A direction of dt_B_C, of shape (L, R + 2N).
        own (ndarray): Parameters of the block, of shape (R + 2, lanes).
        dz (ndarray): Gradient of z, of shape (positions, lanes).
        dlow (ndarray): Gradient of ``low``, added to.
        d_own (ndarray): Gradient of ``own``, added to.
    """
    use_widest_vectors()
    rank = own.shape[0] - 2
    for t in range(positions):
        i = places[t]
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
            d0, d1 = low[places[t], r], low[places[t + 1], r]
            d2, d3 = low[places[t + 2], r], low[places[t + 3], r]
            for c in range(lanes):
                d_own[r, c] += (
                    d0 * dz[t, c] + d1 * dz[t + 1, c] + d2 * dz[t + 2, c] + d3 * dz[t + 3, c]
                )
            t += 4
        while t < positions:
            d0 = low[places[t], r]
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
    dx_odd,
    ddt_B_C,
    dweight,
    dbias,
    dA,
    dD,
    table,
    height,
    width,
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
        dy (ndarray): Gradient of y, of shape (B, L, D).
        states, x, dt_B_C, dt_weight, dt_bias, A, D: As for `ss2d_fwd_kernel`.
        dx (ndarray): Gradient of x through the first set, of shape (B, L, D), written.
        dx_odd (ndarray): Gradient of x through the second set, if there is one.
        ddt_B_C (ndarray): Gradient of dt_B_C, of shape
            (slices, B, L, 4, R + 2N), zero before, added to.
        dweight (ndarray): Gradient of dt_weight, of shape (parts, 4, D, R), zero
            before, added to; so are the next three.
        dbias (ndarray): Gradient of dt_bias, of shape (parts, 4, D).
        dA (ndarray): Gradient of A, of shape (parts, 4, D, N).
        dD (ndarray): Gradient of D, of shape (parts, 4, D).
        table, height, width, sets, lanes, first, last: As for `ss2d_fwd_kernel`.
    """
    use_widest_vectors()
    batch, _, channels = x.shape
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
    places = np.zeros(longest, np.int64)
    delta = np.zeros((longest, lanes), np.float32)
    dz = np.zeros((longest, lanes), np.float32)
    a = np.zeros((longest, state, lanes), np.float32)
    h = np.zeros((longest + 1, state, lanes), np.float32)
    for share in range(first, last):
        first_k, part, i_slice = share % sets, share // sets // slices, share // sets % slices
        dx_set = dx if first_k == 0 else dx_odd
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
                low, dlow = dt_B_C[b, :, k], ddt_B_C[i_slice, b, :, k]
                lines, positions, offset = _count_lines(k, height, width, table)
                for line in range(lines - 1, -1, -1):
                    slot = offset + _locate(k, line, height, width, table, places)
                    for n in range(state):
                        for c in range(used):
                            h[0, n, c] = states[b, slot, n, start + c]
                    for t in range(positions):
                        i = places[t]
                        x_t = x[b, i, start:stop]
                        for c in range(used):
                            u[c] = x_t[c]
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
                        i = places[t]
                        x_t = x[b, i, start:stop]
                        dy_t = dy[b, i, start:stop]
                        dx_t = dx_set[b, i, start:stop]
                        for c in range(used):
                            u[c] = x_t[c]
                            dy_c[c] = dy_t[c]
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
                                dx_t[c] = du[c]
                        else:
                            for c in range(used):
                                dx_t[c] += du[c]
                    _project_backward(lanes, positions, places, low, own, dz, dlow, d_own)
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
        flatten_map(x.to(A.dtype)),
        # (B, H, W, 4, R + 2N) -> (B, L, 4, R + 2N)
        dt_B_C.to(A.dtype).flatten(1, 2),
        # copies, because FSDP frees the storage of parameters, and cannot free what an
        # array looks at
        dt_weight.clone(),
        dt_bias.clone(),
        A * math.log2(math.e),
        D.clone(),
    )
    return [t.detach().contiguous().numpy() for t in tensors]


def _table(x: torch.Tensor, orders: str) -> np.ndarray:
    """Return the orders as the kernels read them: nothing for rows and columns."""
    if orders == 'cross':
        return np.empty((4, 0), np.int32)
    return order_table(orders, *x.shape[2:], x.device).numpy()


def _direction_sets(threads: int, batch: int, channels: int) -> int:
    """Choose between one map that all directions add to and two, of 0, 2 and of 1, 3.

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
    orders: str = 'cross',
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scan a map in float32.

    Args:
        x, dt_B_C, dt_weight, dt_bias, A, D, orders: As for `sparx_mm.kernels.ss2d`.

    Returns:
        tuple[Tensor, Tensor]: y of shape (B, D, H, W), channels-last, and the states
        at the entry of each line, of the shape of `states_shape`.
    """
    batch, channels, *size = x.shape
    arrays = _arrays(x, dt_B_C, dt_weight, dt_bias, A, D)
    states = torch.empty(states_shape(x, A, orders), dtype=torch.float32)
    threads = num_threads(4 * x.numel() * A.shape[-1])
    sets = _direction_sets(threads, batch, channels)
    sums = [torch.empty(arrays[0].shape, dtype=torch.float32) for _ in range(sets)]
    lanes = block_lanes(channels, -(-threads // (batch * sets)))
    shares = sets * batch * -(-channels // lanes)
    outputs = (t.numpy() for t in (sums[0], sums[-1], states))
    ss2d_fwd_kernel(threads, shares, *arrays, *outputs, _table(x, orders), *size, sets, lanes)
    return unflatten_map(_sum(*sums), size), states


def backward(
    dy: torch.Tensor,
    states: torch.Tensor,
    x: torch.Tensor,
    dt_B_C: torch.Tensor,
    dt_weight: torch.Tensor,
    dt_bias: torch.Tensor,
    A: torch.Tensor,
    D: torch.Tensor,
    orders: str = 'cross',
) -> tuple[torch.Tensor, ...]:
    """Compute the gradients of `forward` in float32.

    Args:
        dy (Tensor): Gradient of y, of shape (B, D, H, W).
        states (Tensor): States from `forward`.
        x, dt_B_C, dt_weight, dt_bias, A, D, orders: As given to `forward`.

    Returns:
        tuple[Tensor, ...]: Gradients of x, dt_B_C, dt_weight, dt_bias, A and D, of
        their shapes.
    """
    batch, channels, *size = x.shape
    arrays = _arrays(x, dt_B_C, dt_weight, dt_bias, A, D)
    dy = flatten_map(dy.to(A.dtype).detach())
    threads = num_threads(8 * x.numel() * A.shape[-1])
    sets = _direction_sets(threads, batch, channels)
    # so few slices that their partial gradients of dt_B_C are two maps at most
    max_slices = channels // (2 * dt_B_C.shape[-1])
    parts, slices = backward_shares(-(-threads // sets), batch, max_slices)
    lanes = block_lanes(channels, slices)
    sums = [torch.empty(arrays[0].shape, dtype=torch.float32) for _ in range(sets)]
    ddt_B_C = torch.zeros(slices, *arrays[1].shape, dtype=torch.float32)
    partial = [torch.zeros(parts, *array.shape, dtype=torch.float32) for array in arrays[2:]]
    ss2d_bwd_kernel(
        threads,
        sets * parts * slices,
        dy.numpy(),
        states.detach().contiguous().numpy(),
        *arrays,
        *(t.numpy() for t in (sums[0], sums[-1], ddt_B_C, *partial)),
        _table(x, orders),
        *size,
        sets,
        lanes,
    )
    return (
        unflatten_map(_sum(*sums), size),
        ddt_B_C.sum(0).view(dt_B_C.shape),
        *(t.sum(0) for t in partial),
    )
