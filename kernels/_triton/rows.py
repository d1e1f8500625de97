"""Where a program of the Triton kernels is, and what it reads there.

The terms are those of :mod:`sparx_mm.kernels._triton.kernels`. ROWS positions
are taken at a time; what belongs to each is a tuple with an entry for each.
"""

import triton
import triton.language as tl

from ..softplus import LOG1P

LOG2_E = tl.constexpr(1.4426950408889634)
_LOG1P = tl.constexpr(LOG1P)


@triton.jit
def _softplus(z):
    """softplus(z), accurate also where it is small, and exp(-|z|)."""
    w = tl.exp2(tl.abs(z) * -LOG2_E)
    ratio = tl.zeros_like(w) + _LOG1P[9]
    for i in tl.static_range(9):
        ratio = ratio * w + _LOG1P[8 - i]
    # a NaN is lost in the maximum, and comes back with w
    return tl.maximum(z, 0.0) + ratio * w, w


@triton.jit
def wide(value):
    """In int64: what is multiplied by it can pass 2^31."""
    return tl.full([], value, tl.int64)


@triton.jit
def program_block(group_blocks, CHANNELS: tl.constexpr, GROUPS: tl.constexpr, BLOCK: tl.constexpr):
    """Image, group, part of the group and channels of a program."""
    blocks = GROUPS * group_blocks
    block = tl.program_id(0) % blocks
    group, part = block // group_blocks, block % group_blocks
    channel = part * BLOCK + tl.arange(0, BLOCK)
    there = channel < CHANNELS // GROUPS
    channel += group * (CHANNELS // GROUPS)
    return wide(tl.program_id(0) // blocks), group, part, channel, there


@triton.jit
def positions(step, k, height, width, ROWS: tl.constexpr):
    """Where direction k is on the map at ROWS successive steps."""
    length = height * width
    # a line is what the positions are counted along: a column, or the map
    line = tl.where(k % 2 == 1, height, length)
    stride = tl.where(k % 2 == 1, width, 1)
    i = step % line
    at = i * stride + step // line
    rows = ()
    for t in tl.static_range(ROWS):
        # directions 2 and 3 are 0 and 1 from the other end
        rows = rows + (tl.where(k < 2, at, length - 1 - at).to(tl.int64),)
        i += 1
        at += tl.where(i == line, stride + 1 - line * stride, stride)
        i = tl.where(i == line, 0, i)
    return rows


@triton.jit
def load_rows(tensor, at, channel, there, step, length, CHANNELS: tl.constexpr, ROWS: tl.constexpr):
    """Values of ROWS positions; zeros after the end."""
    rows = ()
    for t in tl.static_range(ROWS):
        rows = rows + (
            tl.load(
                tensor + at[t] * CHANNELS + channel, mask=there & (step + t < length), other=0.0
            ).to(tl.float32),
        )
    return rows


@triton.jit
def load_scalars(tensor, at, step, length, STRIDE: tl.constexpr, ROWS: tl.constexpr):
    """One value for all channels at ROWS positions; zeros after the end."""
    rows = ()
    for t in tl.static_range(ROWS):
        rows = rows + (
            tl.load(tensor + at[t] * STRIDE, mask=step + t < length, other=0.0).to(tl.float32),
        )
    return rows


@triton.jit
def _add_rank(
    z,
    p,
    weight,
    at,
    channel,
    there,
    step,
    length,
    r,
    CHANNELS: tl.constexpr,
    STRIDE: tl.constexpr,
    ROWS: tl.constexpr,
):
    """z + dt_r weight_r at ROWS positions."""
    weight_r = tl.load(weight + r * CHANNELS + channel, mask=there, other=0.0)
    dt = load_scalars(p + r, at, step, length, STRIDE, ROWS)
    total = ()
    for t in tl.static_range(ROWS):
        total = total + (z[t] + dt[t] * weight_r,)
    return total


@triton.jit
def step_sizes(
    delta,
    p,
    weight,
    bias,
    at,
    channel,
    there,
    step,
    length,
    CHANNELS: tl.constexpr,
    STRIDE: tl.constexpr,
    RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """delta, zero where there is nothing, and the slope of its softplus."""
    if RANK:
        z = ()
        for t in tl.static_range(ROWS):
            z = z + (bias,)
        # a long loop is unrolled in part only
        if RANK <= 32:
            for r in tl.static_range(RANK):
                z = _add_rank(
                    z, p, weight, at, channel, there, step, length, r, CHANNELS, STRIDE, ROWS
                )
        else:
            for r in tl.range(RANK, loop_unroll_factor=4):
                z = _add_rank(
                    z, p, weight, at, channel, there, step, length, r, CHANNELS, STRIDE, ROWS
                )
    else:
        z = ()
        given = load_rows(delta, at, channel, there, step, length, CHANNELS, ROWS)
        for t in tl.static_range(ROWS):
            z = z + (given[t] + bias,)
    sizes = ()
    slopes = ()
    for t in tl.static_range(ROWS):
        size = z[t]
        slope = tl.zeros_like(size) + 1.0
        if SOFTPLUS:
            size, w = _softplus(z[t])
            slope = tl.where(z[t] > 0, 1.0, w) / (1.0 + w)
        # channels that are not there too: they reach the sums over a block
        sizes = sizes + (tl.where(there & (step + t < length), size, 0.0),)
        slopes = slopes + (slope,)
    return sizes, slopes
