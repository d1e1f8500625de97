"""Addresses, loads and step sizes of the Triton kernels.

A row is the values of a program's channels at one position. ROWS positions are
taken at a time: what belongs to each is a tuple with an entry for each. Terms are
those of docs/scan_glossary.md, tensors those of `_triton/kernels.py`.
"""

import triton
import triton.language as tl

from ..softplus import LOG1P

LOG2_E = tl.constexpr(1.4426950408889634)
_LOG1P = tl.constexpr(LOG1P)


@triton.jit
def _softplus(z):
    """Compute softplus(z), accurate also where it is small, and exp(-|z|)."""
    w = tl.exp2(tl.abs(z) * -LOG2_E)
    ratio = tl.zeros_like(w) + _LOG1P[9]
    for i in tl.static_range(9):
        ratio = ratio * w + _LOG1P[8 - i]
    # the maximum loses a NaN, which w brings back
    return tl.maximum(z, 0.0) + ratio * w, w


@triton.jit
def wide(value):
    """Convert a scalar to int64, because its multiples can pass 2^31."""
    return tl.full([], value, tl.int64)


@triton.jit
def program_block(group_blocks, CHANNELS: tl.constexpr, GROUPS: tl.constexpr, BLOCK: tl.constexpr):
    """Find the image and the channels of a program.

    Args:
        group_blocks: Number of blocks of channels in a group.
        CHANNELS: Number of channels D.
        GROUPS: Number of groups G of channels.
        BLOCK: Number of channels to a program.

    Returns:
        tuple: Index of the image (int64), of the group, and of the block in its
        group; indices (BLOCK,) of the channels, and the mask (BLOCK,) of those that
        exist.
    """
    blocks = GROUPS * group_blocks
    block = tl.program_id(0) % blocks
    i_group, i_block = block // group_blocks, block % group_blocks
    channel = i_block * BLOCK + tl.arange(0, BLOCK)
    mask = channel < CHANNELS // GROUPS
    channel += i_group * (CHANNELS // GROUPS)
    return wide(tl.program_id(0) // blocks), i_group, i_block, channel, mask


@triton.jit
def map_offsets(table_ptr, position, k, height, width, TABLE: tl.constexpr, ROWS: tl.constexpr):
    """Locate ROWS successive positions of a direction on the map.

    Args:
        table_ptr: Orders (K, L), read if there is a table.
        position: First position, counted in the direction's order.
        k: Direction: without a table 0 row-major, 1 column-major, 2 and 3 their
            reverses.
        height: Number of rows H of the map.
        width: Number of columns W of the map.
        TABLE: True if there is a table.
        ROWS: Number of positions.

    Returns:
        tuple: For each position its offset in the row-major map (int64).
    """
    length = height * width
    offsets = ()
    if TABLE:
        table_ptr += wide(k) * length + position
        for t in tl.static_range(ROWS):
            offset = tl.load(table_ptr + t, mask=position + t < length, other=0)
            offsets = offsets + (offset.to(tl.int64),)
    else:
        # a line is what positions are counted along: a column, or the whole map
        line = tl.where(k % 2 == 1, height, length)
        stride = tl.where(k % 2 == 1, width, 1)
        i = position % line
        offset = i * stride + position // line
        for t in tl.static_range(ROWS):
            # directions 2 and 3 are 0 and 1 from the other end
            offsets = offsets + (tl.where(k < 2, offset, length - 1 - offset).to(tl.int64),)
            i += 1
            offset += tl.where(i == line, stride + 1 - line * stride, stride)
            i = tl.where(i == line, 0, i)
    return offsets


@triton.jit
def load_rows(
    ptr, offsets, channel, mask, position, length, CHANNELS: tl.constexpr, ROWS: tl.constexpr
):
    """Load the values of a block of channels at ROWS positions.

    Args:
        ptr: Pointer to an image of a (B, L, D) tensor.
        offsets: Offsets on the map, from `map_offsets`.
        channel: Indices (BLOCK,) of the channels.
        mask: Mask (BLOCK,) of the channels to load.
        position: First position.
        length: Number of positions L.
        CHANNELS: Number of channels D.
        ROWS: Number of positions to load.

    Returns:
        tuple: Rows (BLOCK,) in float32; zeros after the end.
    """
    rows = ()
    for t in tl.static_range(ROWS):
        rows = rows + (
            tl.load(
                ptr + offsets[t] * CHANNELS + channel,
                mask=mask & (position + t < length),
                other=0.0,
            ).to(tl.float32),
        )
    return rows


@triton.jit
def load_scalars(ptr, offsets, position, length, STRIDE: tl.constexpr, ROWS: tl.constexpr):
    """Load one value, the same for all channels, at ROWS positions.

    Args:
        ptr: Pointer to the value at offset 0 of the image.
        offsets: Offsets on the map, from `map_offsets`.
        position: First position.
        length: Number of positions L.
        STRIDE: Elements from one offset to the next.
        ROWS: Number of positions to load.

    Returns:
        tuple: Scalars in float32; zeros after the end.
    """
    scalars = ()
    for t in tl.static_range(ROWS):
        scalars = scalars + (
            tl.load(ptr + offsets[t] * STRIDE, mask=position + t < length, other=0.0).to(
                tl.float32
            ),
        )
    return scalars


@triton.jit
def _add_rank(
    z,
    dt_ptr,
    weight_ptr,
    offsets,
    channel,
    mask,
    position,
    length,
    r,
    CHANNELS: tl.constexpr,
    STRIDE: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Add dt_r weight_r to z at ROWS positions."""
    weight_r = tl.load(weight_ptr + r * CHANNELS + channel, mask=mask, other=0.0)
    dt = load_scalars(dt_ptr + r, offsets, position, length, STRIDE, ROWS)
    total = ()
    for t in tl.static_range(ROWS):
        total = total + (z[t] + dt[t] * weight_r,)
    return total


@triton.jit
def load_deltas(
    delta_ptr,
    dt_ptr,
    weight_ptr,
    bias,
    offsets,
    channel,
    mask,
    position,
    length,
    CHANNELS: tl.constexpr,
    STRIDE: tl.constexpr,
    RANK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Load or compute the step sizes at ROWS positions.

    Args:
        delta_ptr: Pointer to an image of the given step sizes, read if RANK is 0.
        dt_ptr: Pointer to the dt of the image, direction and group.
        weight_ptr: Pointer to the (R, D) weight of the direction.
        bias: Bias (BLOCK,) of the step sizes.
        offsets: Offsets on the map, from `map_offsets`.
        channel: Indices (BLOCK,) of the channels.
        mask: Mask (BLOCK,) of the channels that exist.
        position: First position.
        length: Number of positions L.
        CHANNELS: Number of channels D.
        STRIDE: Elements from the dt of one offset to the next.
        RANK: Rank R of dt.
        SOFTPLUS: True to apply softplus.
        ROWS: Number of positions.

    Returns:
        tuple: Step sizes, rows (BLOCK,), zero where there is no channel or position;
        and the slopes of their softplus, likewise.
    """
    if RANK:
        z = ()
        for t in tl.static_range(ROWS):
            z = z + (bias,)
        # unrolled in part only: a kernel that is unrolled to rank 32 compiles for minutes,
        # and is no faster
        for r in tl.range(RANK, loop_unroll_factor=4 if RANK % 4 == 0 else 2):
            z = _add_rank(
                z,
                dt_ptr,
                weight_ptr,
                offsets,
                channel,
                mask,
                position,
                length,
                r,
                CHANNELS,
                STRIDE,
                ROWS,
            )
    else:
        z = ()
        given = load_rows(delta_ptr, offsets, channel, mask, position, length, CHANNELS, ROWS)
        for t in tl.static_range(ROWS):
            z = z + (given[t] + bias,)
    deltas = ()
    slopes = ()
    for t in tl.static_range(ROWS):
        delta = z[t]
        slope = tl.zeros_like(delta) + 1.0
        if SOFTPLUS:
            delta, w = _softplus(z[t])
            slope = tl.where(z[t] > 0, 1.0, w) / (1.0 + w)
        # channels outside the mask too, because they reach the sums over a block
        deltas = deltas + (tl.where(mask & (position + t < length), delta, 0.0),)
        slopes = slopes + (slope,)
    return deltas, slopes
