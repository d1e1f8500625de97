"""Norms of maps on a GPU: the Triton kernels of both operators.

Maps are channels-last, (B, L, C) with L = H W, and their lanes are channels. A group
norm's statistics are those of a group of channels over a whole image, so that each
pass has two kernels: one leaves partial sums, those of a block of channels at a chunk
of positions, the other merges them and writes the map. A layer norm's are those of a
position: a program has them in registers, and one kernel does.

Tensors that several kernels read and write, with int64 addresses throughout:

- x, y, dy, dx: (B, L, C); weight, bias: (C,);
- states: (2, rows), mean and 1 / sqrt(variance + eps) of each image and group, or of
  each position;
- parts: (B G, chunks, blocks of a group, 2), two sums of each part;
- dparameters: (2, chunks of all images, C), parts of dweight and dbias.

All sums are float32. Nothing is added atomically; two runs give the same bits.
"""

import triton
import triton.language as tl

from .rows import program_block, wide

# not specialised, because images come in many sizes and compiling takes seconds
_SIZES = ('length', 'chunk', 'rows')


@triton.jit
def _load_tile(ptr, position, end, channel, mask, CHANNELS: tl.constexpr, ROWS: tl.constexpr):
    """Load ROWS positions of a block of channels.

    Args:
        ptr: Pointer to an image of a (B, L, C) tensor.
        position: First position.
        end: Position after the last one.
        channel: Indices (BLOCK,) of the channels.
        mask: Mask (BLOCK,) of the channels that exist.
        CHANNELS: Number of channels C.
        ROWS: Number of positions.

    Returns:
        tuple: Values (ROWS, BLOCK) in float32, zero where there is nothing; their
        offsets (int64), and the mask of those that exist.
    """
    row = position + tl.arange(0, ROWS)
    offsets = row[:, None].to(tl.int64) * CHANNELS + channel[None, :]
    valid = (row < end)[:, None] & mask[None, :]
    return tl.load(ptr + offsets, mask=valid, other=0.0).to(tl.float32), offsets, valid


@triton.jit
def _part_sizes(i, length, chunk, GROUP: tl.constexpr, BLOCK: tl.constexpr):
    """Count the elements of the i-th part of an image and group, in float32."""
    BLOCKS: tl.constexpr = (GROUP + BLOCK - 1) // BLOCK
    positions = tl.minimum(chunk, length - i // BLOCKS * chunk)
    channels = tl.minimum(BLOCK, GROUP - i % BLOCKS * BLOCK)
    return positions.to(tl.float32) * channels.to(tl.float32)


@triton.jit
def _load_parts(
    parts_ptr,
    i_row,
    length,
    chunk,
    GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTS: tl.constexpr,
):
    """Load both sums of all parts of an image and group.

    Args:
        parts_ptr: Pointer to the parts.
        i_row: Index (int64) of the image and group.
        length: Number of positions L.
        chunk: Number of positions to a part.
        GROUP: Number of channels of a group.
        BLOCK: Number of channels to a part.
        PARTS: Power of two, no less than the number of parts.

    Returns:
        tuple: First and second sums (PARTS,), zero where there is no part; sizes
        (PARTS,) of the parts, likewise.
    """
    BLOCKS: tl.constexpr = (GROUP + BLOCK - 1) // BLOCK
    parts = tl.cdiv(length, chunk) * BLOCKS
    i = tl.arange(0, PARTS)
    p_parts = parts_ptr + (i_row * parts + i) * 2
    valid = i < parts
    first = tl.load(p_parts, mask=valid, other=0.0)
    second = tl.load(p_parts + 1, mask=valid, other=0.0)
    return first, second, tl.where(valid, _part_sizes(i, length, chunk, GROUP, BLOCK), 0.0)


@triton.jit(do_not_specialize=_SIZES)
def group_norm_moments_kernel(
    x_ptr,
    parts_ptr,
    length,
    chunk,
    CHANNELS: tl.constexpr,
    GROUPS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Compute the mean of each part and the sum of its squared deviations from it.

    Grid: (images and blocks of channels, chunks).

    Args:
        x_ptr: x (B, L, C).
        parts_ptr: Parts, written.
        length: Number of positions L.
        chunk: Number of positions to a part.
        CHANNELS, GROUPS: C and G.
        BLOCK: Number of channels to a program.
        ROWS: Number of positions taken at a time.
    """
    GROUP: tl.constexpr = CHANNELS // GROUPS
    BLOCKS: tl.constexpr = (GROUP + BLOCK - 1) // BLOCK
    i_image, i_group, i_block, channel, mask = program_block(BLOCKS, CHANNELS, GROUPS, BLOCK)
    i_chunk = tl.program_id(1)
    start = i_chunk * chunk
    end = min(start + chunk, length)
    x_ptr += i_image * length * CHANNELS
    i_part = i_chunk * BLOCKS + i_block
    size = _part_sizes(i_part, length, chunk, GROUP, BLOCK)
    tile, offsets, valid = _load_tile(x_ptr, start, end, channel, mask, CHANNELS, ROWS)
    # deviations from a value amid the others, because squares of large values cancel
    pivot = tl.sum(tile) / tl.sum(valid.to(tl.float32))
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    squares = tl.zeros([ROWS, BLOCK], tl.float32)
    for position in range(start, end, ROWS):
        tile, offsets, valid = _load_tile(x_ptr, position, end, channel, mask, CHANNELS, ROWS)
        deviation = tl.where(valid, tile - pivot, 0.0)
        total += deviation
        squares += deviation * deviation
    shift = tl.sum(total) / size
    p_part = (i_image * GROUPS + i_group) * tl.num_programs(1) * BLOCKS + i_part
    tl.store(parts_ptr + 2 * p_part, pivot + shift)
    tl.store(parts_ptr + 2 * p_part + 1, tl.sum(squares) - shift * shift * size)


@triton.jit(do_not_specialize=_SIZES)
def group_norm_fwd_kernel(
    x_ptr,
    weight_ptr,
    bias_ptr,
    parts_ptr,
    states_ptr,
    y_ptr,
    length,
    chunk,
    rows,
    eps,
    CHANNELS: tl.constexpr,
    GROUPS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """Merge the moments of an image and group, and normalise a part of it.

    Grid: as for `group_norm_moments_kernel`.

    Args:
        x_ptr: x (B, L, C).
        weight_ptr, bias_ptr: Scale and shift (C,) of each channel.
        parts_ptr: Parts of `group_norm_moments_kernel`.
        states_ptr: States, written.
        y_ptr: y (B, L, C), written.
        length: Number of positions L.
        chunk: Number of positions to a part.
        rows: Number of images and groups B G.
        eps: What is added to the variance.
        CHANNELS, GROUPS, BLOCK, ROWS: As for `group_norm_moments_kernel`.
        PARTS: Power of two, no less than the number of parts of an image and group.
    """
    GROUP: tl.constexpr = CHANNELS // GROUPS
    BLOCKS: tl.constexpr = (GROUP + BLOCK - 1) // BLOCK
    i_image, i_group, i_block, channel, mask = program_block(BLOCKS, CHANNELS, GROUPS, BLOCK)
    i_chunk = tl.program_id(1)
    i_row = i_image * GROUPS + i_group
    means, squares, sizes = _load_parts(parts_ptr, i_row, length, chunk, GROUP, BLOCK, PARTS)
    size = length.to(tl.float32) * GROUP
    mean = tl.sum(means * sizes) / size
    away = tl.where(sizes > 0, means - mean, 0.0)
    variance = tl.sum(squares + sizes * away * away) / size
    rstd = 1.0 / tl.sqrt(variance + eps)
    leader = (i_chunk == 0) & (i_block == 0)
    tl.store(states_ptr + i_row, mean, mask=leader)
    tl.store(states_ptr + rows + i_row, rstd, mask=leader)
    scale = rstd * tl.load(weight_ptr + channel, mask=mask, other=0.0)
    bias = tl.load(bias_ptr + channel, mask=mask, other=0.0)
    start = i_chunk * chunk
    end = min(start + chunk, length)
    x_ptr += i_image * length * CHANNELS
    y_ptr += i_image * length * CHANNELS
    for position in range(start, end, ROWS):
        tile, offsets, valid = _load_tile(x_ptr, position, end, channel, mask, CHANNELS, ROWS)
        tl.store(y_ptr + offsets, (tile - mean) * scale[None, :] + bias[None, :], mask=valid)


@triton.jit(do_not_specialize=_SIZES)
def group_norm_sums_kernel(
    dy_ptr,
    states_ptr,
    x_ptr,
    weight_ptr,
    parts_ptr,
    dparameters_ptr,
    length,
    chunk,
    rows,
    CHANNELS: tl.constexpr,
    GROUPS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Sum the gradients over each part, by channel and, weighted, over channels.

    Grid: as for `group_norm_moments_kernel`.

    Args:
        dy_ptr: Gradient of y (B, L, C).
        states_ptr: States from `group_norm_fwd_kernel`.
        x_ptr: x (B, L, C).
        weight_ptr: Scale (C,) of each channel.
        parts_ptr: Parts, written: sums of weight dy, and of it times the normed x.
        dparameters_ptr: Parts (2, B chunks, C) of dweight and dbias, written.
        length, chunk, rows, CHANNELS, GROUPS, BLOCK, ROWS: As for
            `group_norm_fwd_kernel`.
    """
    GROUP: tl.constexpr = CHANNELS // GROUPS
    BLOCKS: tl.constexpr = (GROUP + BLOCK - 1) // BLOCK
    i_image, i_group, i_block, channel, mask = program_block(BLOCKS, CHANNELS, GROUPS, BLOCK)
    i_chunk = tl.program_id(1)
    i_row = i_image * GROUPS + i_group
    mean = tl.load(states_ptr + i_row)
    rstd = tl.load(states_ptr + rows + i_row)
    start = i_chunk * chunk
    end = min(start + chunk, length)
    dy_ptr += i_image * length * CHANNELS
    x_ptr += i_image * length * CHANNELS
    along = tl.zeros([ROWS, BLOCK], tl.float32)
    total = tl.zeros([ROWS, BLOCK], tl.float32)
    for position in range(start, end, ROWS):
        x, offsets, valid = _load_tile(x_ptr, position, end, channel, mask, CHANNELS, ROWS)
        dy, offsets, valid = _load_tile(dy_ptr, position, end, channel, mask, CHANNELS, ROWS)
        along += dy * ((x - mean) * rstd)
        total += dy
    dweight, dbias = tl.sum(along, 0), tl.sum(total, 0)
    i_part = i_image * tl.num_programs(1) + i_chunk
    count = rows // GROUPS * tl.num_programs(1)
    p_part = dparameters_ptr + i_part * CHANNELS + channel
    tl.store(p_part, dweight, mask=mask)
    tl.store(p_part + wide(count) * CHANNELS, dbias, mask=mask)
    weight = tl.load(weight_ptr + channel, mask=mask, other=0.0)
    p_sums = parts_ptr + 2 * ((i_row * tl.num_programs(1) + i_chunk) * BLOCKS + i_block)
    tl.store(p_sums, tl.sum(weight * dbias))
    tl.store(p_sums + 1, tl.sum(weight * dweight))


@triton.jit(do_not_specialize=_SIZES)
def group_norm_bwd_kernel(
    dy_ptr,
    states_ptr,
    x_ptr,
    weight_ptr,
    parts_ptr,
    dx_ptr,
    length,
    chunk,
    rows,
    CHANNELS: tl.constexpr,
    GROUPS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """Merge the sums of an image and group, and write a part of dx.

    Grid: as for `group_norm_moments_kernel`.

    Args:
        dy_ptr, states_ptr, x_ptr, weight_ptr: As for `group_norm_sums_kernel`.
        parts_ptr: Parts of `group_norm_sums_kernel`.
        dx_ptr: Gradient of x (B, L, C), written.
        length, chunk, rows, CHANNELS, GROUPS, BLOCK, ROWS, PARTS: As for
            `group_norm_fwd_kernel`.
    """
    GROUP: tl.constexpr = CHANNELS // GROUPS
    BLOCKS: tl.constexpr = (GROUP + BLOCK - 1) // BLOCK
    i_image, i_group, i_block, channel, mask = program_block(BLOCKS, CHANNELS, GROUPS, BLOCK)
    i_row = i_image * GROUPS + i_group
    first, second, sizes = _load_parts(parts_ptr, i_row, length, chunk, GROUP, BLOCK, PARTS)
    size = length.to(tl.float32) * GROUP
    total, along = tl.sum(first) / size, tl.sum(second) / size
    mean = tl.load(states_ptr + i_row)
    rstd = tl.load(states_ptr + rows + i_row)
    weight = tl.load(weight_ptr + channel, mask=mask, other=0.0)
    start = tl.program_id(1) * chunk
    end = min(start + chunk, length)
    dy_ptr += i_image * length * CHANNELS
    x_ptr += i_image * length * CHANNELS
    dx_ptr += i_image * length * CHANNELS
    for position in range(start, end, ROWS):
        x, offsets, valid = _load_tile(x_ptr, position, end, channel, mask, CHANNELS, ROWS)
        dy, offsets, valid = _load_tile(dy_ptr, position, end, channel, mask, CHANNELS, ROWS)
        normed = (x - mean) * rstd
        dx = (weight[None, :] * dy - total - normed * along) * rstd
        tl.store(dx_ptr + offsets, dx, mask=valid)


@triton.jit(do_not_specialize=_SIZES)
def layer_norm_fwd_kernel(
    x_ptr,
    weight_ptr,
    bias_ptr,
    states_ptr,
    y_ptr,
    rows,
    eps,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Normalise the channels of ROWS positions.

    Grid: (blocks of positions, 1).

    Args:
        x_ptr: x (B, L, C).
        weight_ptr, bias_ptr: Scale and shift (C,) of each channel.
        states_ptr: States, written.
        y_ptr: y (B, L, C), written.
        rows: Number of positions of all images, B L.
        eps: What is added to the variance.
        CHANNELS: Number of channels C.
        BLOCK: Power of two, no less than C.
        ROWS: Number of positions to a program.
    """
    channel = tl.arange(0, BLOCK)
    mask = channel < CHANNELS
    position = wide(tl.program_id(0)) * ROWS
    tile, offsets, valid = _load_tile(x_ptr, position, rows, channel, mask, CHANNELS, ROWS)
    mean = tl.sum(tile, 1) / CHANNELS
    deviation = tl.where(valid, tile - mean[:, None], 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(deviation * deviation, 1) / CHANNELS + eps)
    weight = tl.load(weight_ptr + channel, mask=mask, other=0.0)
    bias = tl.load(bias_ptr + channel, mask=mask, other=0.0)
    y = deviation * rstd[:, None] * weight[None, :] + bias[None, :]
    tl.store(y_ptr + offsets, y, mask=valid)
    row = position + tl.arange(0, ROWS)
    tl.store(states_ptr + row, mean, mask=row < rows)
    tl.store(states_ptr + rows + row, rstd, mask=row < rows)


@triton.jit(do_not_specialize=_SIZES)
def layer_norm_bwd_kernel(
    dy_ptr,
    states_ptr,
    x_ptr,
    weight_ptr,
    dx_ptr,
    dparameters_ptr,
    rows,
    chunk,
    CHANNELS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Write dx of a chunk of positions, and sum the parameters' gradients over it.

    Grid: (chunks, 1).

    Args:
        dy_ptr: Gradient of y (B, L, C).
        states_ptr: States from `layer_norm_fwd_kernel`.
        x_ptr: x (B, L, C).
        weight_ptr: Scale (C,) of each channel.
        dx_ptr: Gradient of x (B, L, C), written.
        dparameters_ptr: Parts (2, chunks, C) of dweight and dbias, written.
        rows: Number of positions of all images, B L.
        chunk: Number of positions to a program.
        CHANNELS, BLOCK: As for `layer_norm_fwd_kernel`.
        ROWS: Number of positions taken at a time.
    """
    channel = tl.arange(0, BLOCK)
    mask = channel < CHANNELS
    weight = tl.load(weight_ptr + channel, mask=mask, other=0.0)
    start = wide(tl.program_id(0)) * chunk
    end = min(start + chunk, rows)
    dweight = tl.zeros([ROWS, BLOCK], tl.float32)
    dbias = tl.zeros([ROWS, BLOCK], tl.float32)
    for position in range(start, end, ROWS):
        row = position + tl.arange(0, ROWS)
        mean = tl.load(states_ptr + row, mask=row < end, other=0.0)
        rstd = tl.load(states_ptr + rows + row, mask=row < end, other=0.0)
        x, offsets, valid = _load_tile(x_ptr, position, end, channel, mask, CHANNELS, ROWS)
        dy, offsets, valid = _load_tile(dy_ptr, position, end, channel, mask, CHANNELS, ROWS)
        normed = tl.where(valid, (x - mean[:, None]) * rstd[:, None], 0.0)
        dweight += dy * normed
        dbias += dy
        gradient = dy * weight[None, :]
        total = tl.sum(gradient, 1) / CHANNELS
        along = tl.sum(gradient * normed, 1) / CHANNELS
        dx = (gradient - total[:, None] - normed * along[:, None]) * rstd[:, None]
        tl.store(dx_ptr + offsets, dx, mask=valid)
    p_part = dparameters_ptr + wide(tl.program_id(0)) * CHANNELS + channel
    tl.store(p_part, tl.sum(dweight, 0), mask=mask)
    tl.store(p_part + wide(tl.num_programs(0)) * CHANNELS, tl.sum(dbias, 0), mask=mask)
