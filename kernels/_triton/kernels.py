"""The selective scan on a GPU: the Triton kernels of both operators.

Maps are channels-last, (B, L, D) with L = H W, and the lanes of a program are
channels, so that a direction is nothing but an order of addresses. A program
takes a block of channels of one image and walks over the positions, ROWS at a
time: first everything that does not depend on the state, then the short chain
h = a h + v.

What they read and write, int64 addresses throughout:

- x, y, dy, dx: (B, L, D);
- p: (B, L, K G, R + 2N), for each of K directions and G groups of channels
  dt (R), B (N) and C (N) of a position; without dt (R = 0) there is
- delta: (B, L, D), the step sizes before bias and softplus;
- weight: (K, R, D), from dt to step sizes; bias and skip: (K, D);
- A: (K, D, N);
- states: (B, K, ceil(L / KEPT), N, D), before every KEPT-th position;
- partial: (SPLITS, B, L, D), sums over the directions of a program.

Each state index is a sweep of its own: N = 1 is what the kernels are made
for. Nothing is added atomically; two runs give the same bits.
"""

import triton
import triton.language as tl

from .rows import LOG2_E, load_rows, load_scalars, positions, program_block, step_sizes, wide

# images come in many sizes, and compiling takes seconds
_SIZES = ('height', 'width', 'group_blocks', 'chunk', 'chunks', 'slots', 'slot_chunk')


@triton.jit(do_not_specialize=_SIZES)
def chunk_kernel(
    x,
    delta,
    p,
    weight,
    bias,
    A,
    totals,
    sums,
    height,
    width,
    group_blocks,
    chunk,
    slots,
    slot_chunk,
    BACKWARD: tl.constexpr,
    CHANNELS: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    GROUPS: tl.constexpr,
    RANK: tl.constexpr,
    STATE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """What each chunk of positions makes of nothing.

    Forward that is the state after the chunk, from none before it; backward,
    with dy for x, the gradient of the state before it, from none after it.

    Grid: (images and blocks of channels, chunks, directions).

    Writes totals, (B, K, slots, N, D), at every ``slot_chunk``-th slot, and
    sums of the step sizes, (B, K, chunks, D), which give the chunk's decay.
    """
    b, group, part, channel, there = program_block(group_blocks, CHANNELS, GROUPS, BLOCK)
    k = tl.program_id(2)
    length = height * width
    start = tl.program_id(1) * chunk
    STRIDE: tl.constexpr = DIRECTIONS * GROUPS * (RANK + 2 * STATE)
    x += b * length * CHANNELS
    delta += b * length * CHANNELS
    p += b * length * STRIDE + (k * GROUPS + group) * (RANK + 2 * STATE)
    weight += k * RANK * CHANNELS
    bias_k = tl.load(bias + k * CHANNELS + channel, mask=there, other=0.0)
    slot = (b * DIRECTIONS + k) * slots + tl.program_id(1) * slot_chunk
    sums += ((b * DIRECTIONS + k) * tl.num_programs(1) + tl.program_id(1)) * CHANNELS
    for n in range(STATE):
        rate = tl.load(A + (k * CHANNELS + channel) * STATE + n, mask=there, other=0.0) * LOG2_E
        total = tl.zeros([BLOCK], tl.float32)
        passed = tl.zeros([BLOCK], tl.float32)
        for step in range(start, min(start + chunk, length), ROWS):
            at = positions(step, k, height, width, ROWS)
            size, slope = step_sizes(
                delta,
                p,
                weight,
                bias_k,
                at,
                channel,
                there,
                step,
                length,
                CHANNELS,
                STRIDE,
                RANK,
                SOFTPLUS,
                ROWS,
            )
            u = load_rows(x, at, channel, there, step, length, CHANNELS, ROWS)
            gain = load_scalars(
                p + RANK + n + (STATE if BACKWARD else 0), at, step, length, STRIDE, ROWS
            )
            for t in tl.static_range(ROWS):
                passed += size[t]
                if BACKWARD:
                    total += tl.exp2(passed * rate) * gain[t] * u[t]
                else:
                    total = tl.exp2(size[t] * rate) * total + size[t] * gain[t] * u[t]
        tl.store(totals + (slot * STATE + n) * CHANNELS + channel, total, mask=there)
        if n == 0:
            tl.store(sums + channel, passed, mask=there)


@triton.jit(do_not_specialize=_SIZES)
def carry_kernel(
    totals,
    sums,
    A,
    chunks,
    slots,
    slot_chunk,
    REVERSE: tl.constexpr,
    CHANNELS: tl.constexpr,
    STATE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Chain the chunks: a total becomes what the chunk starts from.

    Grid: (images, blocks of channels, directions).
    """
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = channel < CHANNELS
    k = tl.program_id(2)
    row = wide(tl.program_id(0)) * tl.num_programs(2) + k
    for n in range(STATE):
        rate = tl.load(A + (k * CHANNELS + channel) * STATE + n, mask=there, other=0.0) * LOG2_E
        carry = tl.zeros([BLOCK], tl.float32)
        for i in range(chunks):
            c = chunks - 1 - i if REVERSE else i
            passed = tl.load(sums + (row * chunks + c) * CHANNELS + channel, mask=there, other=0.0)
            here = totals + ((row * slots + c * slot_chunk) * STATE + n) * CHANNELS + channel
            total = tl.load(here, mask=there, other=0.0)
            tl.store(here, carry, mask=there)
            carry = tl.exp2(passed * rate) * carry + total


@triton.jit(do_not_specialize=_SIZES)
def forward_kernel(
    x,
    delta,
    p,
    weight,
    bias,
    A,
    skip,
    states,
    partial,
    y,
    height,
    width,
    group_blocks,
    chunk,
    CHUNKED: tl.constexpr,
    CHANNELS: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    SPLITS: tl.constexpr,
    GROUPS: tl.constexpr,
    RANK: tl.constexpr,
    STATE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    KEPT: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """The scan of a chunk, in every SPLITS-th direction.

    Grid: (images and blocks of channels, chunks, SPLITS).

    Where a program sums over all directions, its last sweep writes y; else it
    leaves its sum in partial. States at the entry of chunks are read if there
    are several chunks, the others written.
    """
    b, group, part, channel, there = program_block(group_blocks, CHANNELS, GROUPS, BLOCK)
    split = tl.program_id(2)
    length = height * width
    start = tl.program_id(1) * chunk
    STRIDE: tl.constexpr = DIRECTIONS * GROUPS * (RANK + 2 * STATE)
    SWEEPS: tl.constexpr = DIRECTIONS // SPLITS * STATE
    slots = tl.cdiv(length, KEPT)
    batch = wide(tl.num_programs(0) // (GROUPS * group_blocks))
    image = b * length * CHANNELS
    x += image
    delta += image
    y += image
    partial += split * batch * length * CHANNELS + image
    p += b * length * STRIDE + group * (RANK + 2 * STATE)
    for sweep in range(SWEEPS):
        # what the sweep before has summed is read by whichever lane
        tl.debug_barrier()
        k, n = split + SPLITS * (sweep // STATE), sweep % STATE
        p_k = p + k * GROUPS * (RANK + 2 * STATE)
        bias_k = tl.load(bias + k * CHANNELS + channel, mask=there, other=0.0)
        # the direct path goes with the first state
        skip_k = tl.load(skip + k * CHANNELS + channel, mask=there & (n == 0), other=0.0)
        rate = tl.load(A + (k * CHANNELS + channel) * STATE + n, mask=there, other=0.0) * LOG2_E
        kept = states + ((b * DIRECTIONS + k) * slots * STATE + n) * CHANNELS + channel
        h = tl.zeros([BLOCK], tl.float32)
        if CHUNKED:
            h = tl.load(kept + wide(start // KEPT) * STATE * CHANNELS, mask=there, other=0.0)
        for step in range(start, min(start + chunk, length), ROWS):
            tl.store(
                kept + wide(step // KEPT) * STATE * CHANNELS, h, mask=there & (step % KEPT == 0)
            )
            at = positions(step, k, height, width, ROWS)
            u = load_rows(x, at, channel, there, step, length, CHANNELS, ROWS)
            B = load_scalars(p_k + RANK + n, at, step, length, STRIDE, ROWS)
            C = load_scalars(p_k + RANK + STATE + n, at, step, length, STRIDE, ROWS)
            out = load_rows(partial, at, channel, there & (sweep > 0), step, length, CHANNELS, ROWS)
            size, slope = step_sizes(
                delta,
                p_k,
                weight + k * RANK * CHANNELS,
                bias_k,
                at,
                channel,
                there,
                step,
                length,
                CHANNELS,
                STRIDE,
                RANK,
                SOFTPLUS,
                ROWS,
            )
            for t in tl.static_range(ROWS):
                h = tl.exp2(size[t] * rate) * h + size[t] * u[t] * B[t]
                value = out[t] + skip_k * u[t] + C[t] * h
                here = at[t] * CHANNELS + channel
                valid = there & (step + t < length)
                if SPLITS == 1:
                    last = sweep == SWEEPS - 1
                    tl.store(y + here, value, mask=valid & last)
                    tl.store(partial + here, value, mask=valid & (not last))
                else:
                    tl.store(partial + here, value, mask=valid)


@triton.jit(do_not_specialize=_SIZES)
def backward_kernel(
    dy,
    states,
    x,
    delta,
    p,
    weight,
    bias,
    A,
    skip,
    entries,
    partial,
    dz,
    dgains,
    dparameters,
    height,
    width,
    group_blocks,
    chunk,
    CHUNKED: tl.constexpr,
    CHANNELS: tl.constexpr,
    DIRECTIONS: tl.constexpr,
    SPLITS: tl.constexpr,
    GROUPS: tl.constexpr,
    RANK: tl.constexpr,
    STATE: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    KEPT: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Gradients of a chunk, in every SPLITS-th direction.

    Grid: as for :func:`forward_kernel`.

    ROWS positions at a time are scanned again from the last kept state, then
    walked back. Reads entries, (B, K, chunks, N, D), the gradients of the
    states after the chunks, if there are several. Writes

    - partial, (SPLITS, B, L, D), sums of dx;
    - dz, (K, B, L, D), gradients of the step sizes before their softplus;
    - dgains, (blocks of a group, B, L, K G, 2N), parts of dB and dC;
    - dparameters, (3, B chunks, K, N, D), parts of dA, dbias and dskip.
    """
    b, group, part, channel, there = program_block(group_blocks, CHANNELS, GROUPS, BLOCK)
    split, chunks = tl.program_id(2), tl.num_programs(1)
    length = height * width
    batch = wide(tl.num_programs(0) // (GROUPS * group_blocks))
    start = tl.program_id(1) * chunk
    end = min(start + chunk, length)
    P: tl.constexpr = RANK + 2 * STATE
    STRIDE: tl.constexpr = DIRECTIONS * GROUPS * P
    GAINS: tl.constexpr = DIRECTIONS * GROUPS * 2 * STATE
    SWEEPS: tl.constexpr = DIRECTIONS // SPLITS * STATE
    slots = tl.cdiv(length, KEPT)
    image = b * length * CHANNELS
    dy += image
    x += image
    delta += image
    partial += split * batch * length * CHANNELS + image
    p += b * length * STRIDE + group * P
    dgains += (part * batch + b) * length * GAINS
    row = b * chunks + tl.program_id(1)
    for sweep in range(SWEEPS):
        # what the sweep before has summed is read by whichever lane
        tl.debug_barrier()
        k, n = split + SPLITS * (sweep // STATE), sweep % STATE
        p_k = p + k * GROUPS * P
        weight_k = weight + k * RANK * CHANNELS
        dz_k = dz + k * batch * length * CHANNELS + image
        dB = dgains + (k * GROUPS + group) * 2 * STATE + n
        bias_k = tl.load(bias + k * CHANNELS + channel, mask=there, other=0.0)
        skip_k = tl.load(skip + k * CHANNELS + channel, mask=there & (n == 0), other=0.0)
        A_n = tl.load(A + (k * CHANNELS + channel) * STATE + n, mask=there, other=0.0)
        rate = A_n * LOG2_E
        kept = states + ((b * DIRECTIONS + k) * slots * STATE + n) * CHANNELS + channel
        carry = tl.zeros([BLOCK], tl.float32)
        if CHUNKED:
            carry = tl.load(
                entries
                + (((b * DIRECTIONS + k) * chunks + tl.program_id(1)) * STATE + n) * CHANNELS
                + channel,
                mask=there,
                other=0.0,
            )
        dA = tl.zeros([BLOCK], tl.float32)
        dbias = tl.zeros([BLOCK], tl.float32)
        dskip = tl.zeros([BLOCK], tl.float32)
        count = tl.cdiv(end - start, ROWS)
        for i in range(count):
            step = start + (count - 1 - i) * ROWS
            first = step // KEPT * KEPT
            h = tl.load(kept + wide(step // KEPT) * STATE * CHANNELS, mask=there, other=0.0)
            # from the kept state to the first of these rows
            for before in range(first, step, ROWS):
                at = positions(before, k, height, width, ROWS)
                u = load_rows(x, at, channel, there, before, length, CHANNELS, ROWS)
                B = load_scalars(p_k + RANK + n, at, before, length, STRIDE, ROWS)
                size, slope = step_sizes(
                    delta,
                    p_k,
                    weight_k,
                    bias_k,
                    at,
                    channel,
                    there,
                    before,
                    length,
                    CHANNELS,
                    STRIDE,
                    RANK,
                    SOFTPLUS,
                    ROWS,
                )
                for t in tl.static_range(ROWS):
                    h = tl.exp2(size[t] * rate) * h + size[t] * u[t] * B[t]
            at = positions(step, k, height, width, ROWS)
            u = load_rows(x, at, channel, there, step, length, CHANNELS, ROWS)
            grad = load_rows(dy, at, channel, there, step, length, CHANNELS, ROWS)
            du = load_rows(partial, at, channel, there & (sweep > 0), step, length, CHANNELS, ROWS)
            B = load_scalars(p_k + RANK + n, at, step, length, STRIDE, ROWS)
            C = load_scalars(p_k + RANK + STATE + n, at, step, length, STRIDE, ROWS)
            size, slope = step_sizes(
                delta,
                p_k,
                weight_k,
                bias_k,
                at,
                channel,
                there,
                step,
                length,
                CHANNELS,
                STRIDE,
                RANK,
                SOFTPLUS,
                ROWS,
            )
            decay = ()
            h_before = ()
            for t in tl.static_range(ROWS):
                decay = decay + (tl.exp2(size[t] * rate),)
                h_before = h_before + (h,)
                h = decay[t] * h + size[t] * u[t] * B[t]
            for t in tl.static_range(ROWS - 1, -1, -1):
                valid = step + t < length
                here = at[t] * CHANNELS + channel
                g = C[t] * grad[t] + carry
                carry = decay[t] * g
                along_a = carry * h_before[t]
                dA += along_a * size[t]
                dskip += u[t] * grad[t]
                tl.store(
                    partial + here,
                    du[t] + g * B[t] * size[t] + skip_k * grad[t],
                    mask=there & valid,
                )
                dz_t = (along_a * A_n + g * B[t] * u[t]) * slope[t]
                dbias += dz_t
                if STATE > 1:
                    dz_t += tl.load(dz_k + here, mask=there & valid & (n > 0), other=0.0)
                tl.store(dz_k + here, dz_t, mask=there & valid)
                gains = dB + at[t] * GAINS
                tl.store(gains, tl.sum(g * size[t] * u[t]), mask=valid)
                tl.store(gains + STATE, tl.sum(grad[t] * h), mask=valid)
                h = h_before[t]
        slot = ((row * DIRECTIONS + k) * STATE + n) * CHANNELS + channel
        size_of = batch * chunks * DIRECTIONS * STATE * CHANNELS
        tl.store(dparameters + slot, dA, mask=there)
        tl.store(dparameters + size_of + slot, dbias, mask=there)
        tl.store(dparameters + 2 * size_of + slot, tl.where(n == 0, dskip, 0.0), mask=there)


@triton.jit
def merge_kernel(partial, y, size, SPLITS: tl.constexpr, BLOCK: tl.constexpr):
    """Sum the partial sums of a map in float32, in a fixed order."""
    i = wide(tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
    total = tl.load(partial + i, mask=i < size, other=0.0)
    for split in tl.static_range(1, SPLITS):
        total += tl.load(partial + split * wide(size) + i, mask=i < size, other=0.0)
    tl.store(y + i, total, mask=i < size)
