"""Depthwise convolutions of maps on a GPU: the Triton kernels.

Maps are channels-last, (B, H, W, C), and the lanes of a program are channels, beside
COLUMNS positions of a row. A program walks down the rows of a strip: each row of x is
loaded once for each column of the kernel, and added to every row of z that it reaches,
so that SIDE sums are in registers at a time. Tensors are:

- x, y, dy, dz: (B, H, W, C), z the convolution and y its activation;
- weight: (C, SIDE, SIDE); bias: (C,);
- dweight: (parts, C, SIDE, SIDE); dbias: (parts, C), parts of their gradients.

All sums are float32. Nothing is added atomically; two runs give the same bits.
"""

import triton
import triton.language as tl

from .rows import wide

# not specialised, because images come in many sizes and compiling takes seconds
_SIZES = ('height', 'width', 'strip')
_ROOT_HALF = tl.constexpr(0.7071067811865476)
# 1 / sqrt(2 pi)
_DENSITY = tl.constexpr(0.3989422804014327)


@triton.jit
def _program_tile(width, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr):
    """Find the image (int64), columns (COLUMNS,) and channels (BLOCK,) of a program."""
    BLOCKS: tl.constexpr = (CHANNELS + BLOCK - 1) // BLOCK
    i = tl.program_id(0)
    channel = i % BLOCKS * BLOCK + tl.arange(0, BLOCK)
    i = i // BLOCKS
    tiles = tl.cdiv(width, COLUMNS)
    column = i % tiles * COLUMNS + tl.arange(0, COLUMNS)
    return wide(i // tiles), column, channel


@triton.jit
def _load(ptr, row, column, channel, height, width, CHANNELS: tl.constexpr):
    """Load a tile (COLUMNS, BLOCK) of a row of an image in float32, zero outside it."""
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    offsets = (wide(row) * width + column)[:, None] * CHANNELS + channel[None, :]
    mask = inside[:, None] & (channel < CHANNELS)[None, :]
    return tl.load(ptr + offsets, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _activate(z, ACTIVATION: tl.constexpr):
    if ACTIVATION == 'silu':
        z = z / (1.0 + tl.exp(-z))
    elif ACTIVATION == 'gelu':
        z = 0.5 * z * (1.0 + tl.erf(z * _ROOT_HALF))
    return z


@triton.jit
def _slope(z, ACTIVATION: tl.constexpr):
    if ACTIVATION == 'silu':
        share = 1.0 / (1.0 + tl.exp(-z))
        slope = share * (1.0 + z * (1.0 - share))
    else:
        slope = 0.5 * (1.0 + tl.erf(z * _ROOT_HALF)) + z * _DENSITY * tl.exp(-0.5 * z * z)
    return slope


@triton.jit(do_not_specialize=_SIZES)
def depthwise_conv_kernel(
    x_ptr,
    weight_ptr,
    bias_ptr,
    dy_ptr,
    out_ptr,
    height,
    width,
    strip,
    CHANNELS: tl.constexpr,
    SIDE: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ADJOINT: tl.constexpr,
    ACTIVATION: tl.constexpr,
    BACKWARD: tl.constexpr,
    BLOCK: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Convolve a strip of rows, and activate the result or multiply dy by its slope.

    Grid: (images, tiles of columns and blocks of channels; strips).

    Args:
        x_ptr: x (B, H, W, C).
        weight_ptr: Weight (C, SIDE, SIDE).
        bias_ptr: Bias (C,), not read if ADJOINT.
        dy_ptr: Gradient of y (B, H, W, C), read if BACKWARD.
        out_ptr: y, or dz if BACKWARD (B, H, W, C), written.
        height, width: Size of the map.
        strip: Number of rows to a program.
        CHANNELS: Number of channels C.
        SIDE: Side of the kernel, odd.
        RESIDUAL: True to add x.
        ADJOINT: True to convolve with the turned kernel and without a bias, which takes a
            gradient back.
        ACTIVATION: ``'none'``, ``'silu'`` or ``'gelu'``.
        BACKWARD: True to make the gradient of z.
        BLOCK: Number of channels to a program.
        COLUMNS: Number of columns to a program.
    """
    i_image, column, channel = _program_tile(width, CHANNELS, BLOCK, COLUMNS)
    REACH: tl.constexpr = SIDE // 2
    image = i_image * height * width * CHANNELS
    x_ptr += image
    dy_ptr += image
    out_ptr += image
    known = channel < CHANNELS
    bias = tl.load(bias_ptr + channel, mask=known & (not ADJOINT), other=0.0)
    weights = ()
    for k in tl.static_range(SIDE * SIDE):
        place = SIDE * SIDE - 1 - k if ADJOINT else k
        weight = tl.load(weight_ptr + channel * (SIDE * SIDE) + place, mask=known, other=0.0)
        if RESIDUAL and k == SIDE * SIDE // 2:
            weight += 1.0
        weights = weights + (weight,)
    start = tl.program_id(1) * strip
    end = min(start + strip, height)
    zero = tl.zeros([COLUMNS, BLOCK], tl.float32)
    sums = ()
    for j in tl.static_range(SIDE):
        sums = sums + (zero,)
    for row in range(start - REACH, end + REACH):
        tiles = ()
        for k in tl.static_range(SIDE):
            tiles = tiles + (
                _load(x_ptr, row, column + (k - REACH), channel, height, width, CHANNELS),
            )
        # the j-th sum is that of row `row - REACH + j`
        added = ()
        for j in tl.static_range(SIDE):
            total = sums[j]
            for k in tl.static_range(SIDE):
                total += tiles[k] * weights[(SIDE - 1 - j) * SIDE + k][None, :]
            added = added + (total,)
        done = row - REACH
        value = added[0] + bias[None, :]
        offsets = (wide(done) * width + column)[:, None] * CHANNELS + channel[None, :]
        mask = (column < width)[:, None] & known[None, :] & (done >= start)
        if BACKWARD:
            dy = tl.load(dy_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
            value = dy * _slope(value, ACTIVATION)
        else:
            value = _activate(value, ACTIVATION)
        tl.store(out_ptr + offsets, value, mask=mask)
        sums = ()
        for j in tl.static_range(SIDE - 1):
            sums = sums + (added[j + 1],)
        sums = sums + (zero,)


@triton.jit(do_not_specialize=_SIZES)
def depthwise_weight_kernel(
    dz_ptr,
    x_ptr,
    dweight_ptr,
    dbias_ptr,
    height,
    width,
    strip,
    CHANNELS: tl.constexpr,
    SIDE: tl.constexpr,
    BLOCK: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Sum the gradients of weight and bias over a strip of rows.

    Grid: as for `depthwise_conv_kernel`; images, tiles and strips make the parts.

    Args:
        dz_ptr: Gradient of z (B, H, W, C).
        x_ptr: x (B, H, W, C).
        dweight_ptr: Parts (parts, C, SIDE, SIDE), written.
        dbias_ptr: Parts (parts, C), written.
        height, width, strip, CHANNELS, SIDE, BLOCK, COLUMNS: As for
            `depthwise_conv_kernel`.
    """
    i_image, column, channel = _program_tile(width, CHANNELS, BLOCK, COLUMNS)
    REACH: tl.constexpr = SIDE // 2
    BLOCKS: tl.constexpr = (CHANNELS + BLOCK - 1) // BLOCK
    image = i_image * height * width * CHANNELS
    x_ptr += image
    dz_ptr += image
    start = tl.program_id(1) * strip
    end = min(start + strip, height)
    zero = tl.zeros([COLUMNS, BLOCK], tl.float32)
    # the gradients of the SIDE rows of z that a row of x reaches, the lowest last
    rows = ()
    for j in tl.static_range(SIDE):
        rows = rows + (zero,)
    sums = ()
    for k in tl.static_range(SIDE * SIDE):
        sums = sums + (zero,)
    total = zero
    for row in range(start - REACH, end + REACH):
        reached = ()
        for j in tl.static_range(SIDE - 1):
            reached = reached + (rows[j + 1],)
        # none below the strip, which are the next program's
        lowest = tl.where(row + REACH < end, row + REACH, height)
        rows = reached + (_load(dz_ptr, lowest, column, channel, height, width, CHANNELS),)
        total += rows[SIDE - 1]
        added = ()
        tiles = ()
        for k in tl.static_range(SIDE):
            tiles = tiles + (
                _load(x_ptr, row, column + (k - REACH), channel, height, width, CHANNELS),
            )
        for k in tl.static_range(SIDE * SIDE):
            added = added + (sums[k] + tiles[k % SIDE] * rows[SIDE - 1 - k // SIDE],)
        sums = added
    i_part = wide(tl.program_id(0) // BLOCKS) * tl.num_programs(1) + tl.program_id(1)
    slot = i_part * CHANNELS + channel
    known = channel < CHANNELS
    for k in tl.static_range(SIDE * SIDE):
        tl.store(dweight_ptr + slot * (SIDE * SIDE) + k, tl.sum(sums[k], 0), mask=known)
    tl.store(dbias_ptr + slot, tl.sum(total, 0), mask=known)
